"""The bill of materials and the list of advisories are up to date with what is pinned."""

from __future__ import annotations

import importlib.util
import json
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADVISORIES = ROOT / "docs" / "security" / "advisories.json"


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leukoweb_sbom", ROOT / "deploy" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bill_is_up_to_date_and_the_same_twice(sbom: ModuleType) -> None:
    assert sbom.text() == sbom.text()
    assert sbom.TARGET.read_text(encoding="utf-8") == sbom.text(), "run `make sbom`"


def test_the_bill_names_every_pin_and_every_vendored_package(sbom: ModuleType) -> None:
    bill = json.loads(sbom.text())
    named = {(part["name"], part["version"]) for part in bill["components"]}
    assert set(sbom.pins((ROOT / "constraints.txt").read_text(encoding="utf-8")).items()) <= named
    assert {"bootstrap", "openseadragon"} <= {name for name, _ in named}
    assert len({part["bom-ref"] for part in bill["components"]}) == len(bill["components"])
    assert "timestamp" not in json.dumps(bill)


def test_another_version_gives_another_serial_number(sbom: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sbom.document()["serialNumber"]
    monkeypatch.setattr(sbom, "pins", lambda text: {"django": "0.1"})
    assert sbom.document()["serialNumber"] != before


def test_a_line_that_pins_nothing_is_refused(sbom: ModuleType) -> None:
    with pytest.raises(ValueError, match="not an exact pin"):
        sbom.pins("django>=5\n")


def test_each_pinned_version_was_looked_at(sbom: ModuleType) -> None:
    """A changed pin must be looked at again: the list names exactly the pinned versions."""
    document = json.loads(ADVISORIES.read_text(encoding="utf-8"))
    listed = {row["name"]: row["version"] for row in document["packages"]}
    assert listed == sbom.pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    for row in document["packages"]:
        date.fromisoformat(row["checked"])
        assert row["how"] in document["how"], row
        for advisory in row["advisories"]:
            assert set(advisory) == {"id", "what", "this_version", "source"}, row
            assert advisory["this_version"] in ("not affected", "unknown", "affected"), row


def test_nothing_is_shipped_that_is_known_to_be_affected() -> None:
    document = json.loads(ADVISORIES.read_text(encoding="utf-8"))
    affected = [
        (row["name"], one["id"])
        for row in document["packages"]
        for one in row["advisories"]
        if one["this_version"] == "affected"
    ]
    assert affected == []

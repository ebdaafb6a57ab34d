"""Vendored files are the ones that the checksum list and VENDOR.md describe."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[1] / "leukoweb" / "static" / "leukoweb" / "vendor"
LISTS = {"SHA256SUMS", "VENDOR.md"}


def _listed() -> dict[str, str]:
    lines = (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def test_every_vendored_file_is_listed_with_its_checksum() -> None:
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name not in LISTS
    }
    assert found == _listed()


def test_every_vendored_package_brings_its_licence() -> None:
    packages = {name.split("/")[0] for name in _listed()}
    assert packages == {"bootstrap", "openseadragon"}
    for package in packages:
        assert any(name.startswith(f"{package}/LICENSE") for name in _listed())


def test_versions_in_the_table_are_the_versions_in_the_files() -> None:
    table = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|", (VENDOR / "VENDOR.md").read_text(encoding="utf-8"), re.M))
    for name in ("bootstrap.min.css", "bootstrap.bundle.min.js"):
        head = (VENDOR / "bootstrap" / name).read_text(encoding="utf-8")[:300]
        assert f"v{table['bootstrap']} " in head
    viewer = (VENDOR / "openseadragon" / "openseadragon.min.js").read_text(encoding="utf-8")[:300]
    assert f"openseadragon {table['openseadragon']}" in viewer


def test_no_vendored_file_refers_to_something_that_is_not_here() -> None:
    """The production storage fails on a source map that does not exist; CSS must not fetch from elsewhere."""
    for name in _listed():
        text = (VENDOR / name).read_text(encoding="utf-8")
        assert "sourceMappingURL=" not in text, name
        if name.endswith(".css"):
            assert all(target.startswith("data:") for target in re.findall(r"url\([\"']?([^\"')]+)", text)), name

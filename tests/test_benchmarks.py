"""Benchmarks are run by hand; what is tested is that they can be, and that no figure of the document was typed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.results import DOCUMENT, FOLDER, MARKED, Result, Table, in_words, machine, rendered

TABLE = Table("Pages", ["page", "ms"], [["start | page", 12.345], ["x", None]])
RESULT = Result("web", "python -m benchmarks.web", [TABLE])


def test_a_result_survives_its_file_and_becomes_a_table(tmp_path: Path) -> None:
    path = RESULT.save(tmp_path)
    loaded = Result.load(path)
    assert loaded == RESULT
    text = rendered("before\n<!-- bench web -->\nold\n<!-- /bench -->\nafter", tmp_path)
    assert text.startswith("before\n<!-- bench web -->")
    assert text.endswith("<!-- /bench -->\nafter")
    assert "| start \\| page | 12.3 |" in text
    assert "old" not in text
    assert in_words(machine()) in text
    assert rendered(text, tmp_path) == text


def test_a_part_without_a_result_stays_as_it_is(tmp_path: Path) -> None:
    text = "<!-- bench nothing -->\nkept\n<!-- /bench -->"
    assert rendered(text, tmp_path) == text


def test_a_row_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Table("Pages", ["page", "ms"], [["only one"]])
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="no result"):
        Result.load(tmp_path / "other.json")


def test_the_document_says_what_the_results_say() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert rendered(text, FOLDER) == text, "run: python -m benchmarks.results"
    assert {path.stem for path in FOLDER.glob("*.json")} == {match["name"] for match in MARKED.finditer(text)}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_named_benchmark_is_there(name: str) -> None:
    assert importlib.util.find_spec(BENCHMARKS[name].command.split()[0]) is not None


@pytest.mark.django_db
def test_the_filler_fills_what_the_pages_look_for(client: object) -> None:
    """Small, but every page of the benchmark of pages answers on it."""
    from django.test import Client

    from benchmarks.filler import STUDY_CASES, Filler, Size
    from benchmarks.web import PAGES, wake
    from leukoweb.core.audit import chain_verify
    from leukoweb.core.models import User

    places = Filler(Size(STUDY_CASES, fields=3)).fill()
    assert chain_verify().intact
    clients: dict[str, Client] = {}
    for page in PAGES:
        user = User.objects.filter(username=page.user).first()
        if user is None or "{big" in page.path:
            continue  # only made where there are enough patients
        if page.user not in clients:
            clients[page.user] = Client()
            clients[page.user].force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            wake(clients[page.user])
        assert clients[page.user].get(page.path.format(**places)).status_code == 200, page.title

"""The published study, rebuilt, through the database, the job and the pages: every printed number with an interval."""

from __future__ import annotations

import random
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from reader_study.analysis.canonical import sha256_of
from reader_study.bundle import bundle_bytes
from reader_study.models import Analysis, Study
from reader_study.services.analyses import analysis_ensure
from reader_study.services.reconstruction import reconstruction_load
from reader_study.verification import verify
from tests.reader_study.analysis.test_bundle import Kept, file_at, flipped

pytestmark = pytest.mark.django_db

# Tables S1 and S2 of doi:10.21037/jmai-24-74: PPV, sensitivity, F1, accuracy, specificity.
PRINTED = {
    "three": {"AI": "0.95 0.94 0.94 0.92 0.95", "P1-1": "0.86 0.91 0.88 0.92 0.96", "P1-2": "0.84 0.86 0.85 0.91 0.95",
              "P2": "0.88 0.93 0.90 0.91 0.95", "P3": "0.85 0.93 0.88 0.91 0.96"},
    "five": {"AI": "0.80 0.80 0.77 0.70 0.93", "P1-1": "0.76 0.76 0.72 0.86 0.96", "P1-2": "0.73 0.71 0.71 0.84 0.96",
             "P2": "0.81 0.88 0.83 0.86 0.96", "P3": "0.75 0.84 0.78 0.86 0.97"},
}  # fmt: skip
KAPPAS = {"three": {"AI and readers": ("0.74", "0.77"), "between readers": ("0.82", "0.87")},
          "five": {"AI and readers": ("0.52", "0.53"), "between readers": ("0.72", "0.79")}}  # fmt: skip
INTERVAL = re.compile(r"^\(-?\d\.\d\d to -?\d\.\d\d\)$")


class Tables(HTMLParser):
    """Tables of a page by their key: rows of cells, each a list of texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.key = ""
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self.key = dict(attrs).get("data-table", "")
            self.tables[self.key] = []
        elif tag == "tr" and self.key:
            self.tables[self.key].append([])
        elif tag in ("td", "th") and self.key:
            self.tables[self.key][-1].append([])
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.key = ""
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside and data.strip():
            self.tables[self.key][-1][-1].append(data.strip())


@pytest.fixture
def analysed(as_role: Any, run_jobs: Any, monkeypatch: Any) -> tuple[Client, Analysis]:
    """The reconstruction, analysed by its job; drawing ahead is left to the test that looks at files."""
    monkeypatch.setattr("reader_study.worker.analysis.draw_ahead", lambda *_: None)
    client = as_role("coordinator")
    study = reconstruction_load(coordinators=[client.user])
    analysis = analysis_ensure(study)
    run_jobs()
    return client, Analysis.objects.get(pk=analysis.pk)


def page(client: Client, analysis: Analysis, section: str) -> Tables:
    response = client.get(f"/analyses/{analysis.public_id}/{section}/")
    assert response.status_code == 200
    assert "RECONSTRUCTION" in response.content.decode()
    return Tables(response.content.decode())


def test_50_of_50_numbers_and_all_kappa_ranges_on_screen(analysed: tuple[Client, Analysis]) -> None:
    accuracy, agreement = page(*analysed, "accuracy").tables, page(*analysed, "agreement").tables
    found = 0
    for level, evaluators in PRINTED.items():
        rows = {row[0][0]: row for row in accuracy[f"metrics_{level}"][1:]}
        assert list(rows) == ["AI", "P1-1", "P1-2", "P2", "P3"]
        for name, printed in evaluators.items():
            for wanted, cell in zip(printed.split(), rows[name][2:7], strict=True):
                assert cell[0] == wanted, (level, name)
                found += 1
        ranges = {row[0][0]: row for row in agreement[f"kappa_ranges_{level}"][1:]}
        for pairs, (lowest, highest) in KAPPAS[level].items():
            assert (ranges[pairs][2][0], ranges[pairs][3][0]) == (lowest, highest)
            assert INTERVAL.match(ranges[pairs][4][1])
    assert found == 50


def test_every_estimate_on_screen_has_an_interval_or_is_undefined(analysed: tuple[Client, Analysis]) -> None:
    checked = 0
    for section in ("endpoints", "accuracy", "agreement", "comparison", "sessions"):
        response = analysed[0].get(f"/analyses/{analysed[1].public_id}/{section}/").content.decode()
        for text, rest in re.findall(r'<span class="estimate">([^<]*)</span>(.{0,60})', response):
            interval = re.search(r'<span class="interval">([^<]*)</span>', rest)
            assert text == "-" or (interval and INTERVAL.match(interval[1])), (section, text, rest)
            checked += 1
    assert checked > 500


def test_sessions_of_one_reader_are_shown_as_such(analysed: tuple[Client, Analysis]) -> None:
    rows = page(*analysed, "participants").tables["evaluators"][1:]
    about = {row[0][0]: (row[2][0], row[3][0], row[4][0]) for row in rows}
    assert about["P1-1"] == ("P1", "1", "yes")
    assert about["P1-2"] == ("P1", "2", "no")
    intra = page(*analysed, "agreement").tables["intra_five"][1:]
    assert [[cell[0] for cell in row[:3]] for row in intra] == [["P1", "P1-1", "P1-2"]]
    assert INTERVAL.match(intra[0][4][1])


def test_the_discordant_cases_of_the_paper(analysed: tuple[Client, Analysis]) -> None:
    """Ten cases that all three readers called right and the AI wrong, two the other way round."""
    shown = page(*analysed, "cases").tables["discordance_five"][1:]
    rows = {row[0][0]: [cell[0] for cell in row[1:4]] for row in shown}
    assert rows["3 of 3"][1] == "10"
    assert rows["0 of 3"][0] == "2"


def test_each_case_and_each_count_leads_to_the_cases_behind_it(analysed: tuple[Client, Analysis]) -> None:
    client, analysis = analysed
    text = client.get(f"/analyses/{analysis.public_id}/cases/").content.decode()
    table = re.search(r'data-table="discordant_cases_five">.*?</table>', text, re.DOTALL)[0]
    cases = re.findall(r'<th scope="row">(?:<a href="([^"]+)">)?([^<]+)', table)
    assert len(cases) > 12
    assert all(address.endswith(f"/cases/{code}/") for address, code in cases)
    assert f"Case {cases[0][1]}" in client.get(cases[0][0]).content.decode()
    table = re.search(r'data-table="discordance_five">.*?</table>', text, re.DOTALL)[0]
    counts = re.findall(r'<td class="num">(?:<a href="([^"]+)">)?(\d+)', table)
    linked = [(unescape(address), int(count)) for address, count in counts if address]
    assert sum(count for _, count in linked) == 64
    for address, count in linked:
        page = client.get(address).content.decode()
        assert page.count('<tr><th scope="row" class="text-nowrap"><a') == min(count, 50), address
        assert f"<p>{count} case" in page
    ten = next(address for address, count in linked if count == 10)
    first = re.search(r'<tr><th scope="row" class="text-nowrap"><a href="([^"]+)"', client.get(ten).content.decode())[1]
    page = client.get(unescape(first)).content.decode()
    assert page.count("differs</span>") == 1, "three readers right, the AI wrong"
    assert "3 of 3 readers right, the AI wrong" in page
    assert 'rel="next"' in page
    assert 'rel="prev"' not in page


def test_a_cell_that_is_not_there_is_not_found(analysed: tuple[Client, Analysis]) -> None:
    client, analysis = analysed
    whole = {"analysis": str(analysis.public_id), "level": "five", "right": "1", "ai": "wrong"}
    address = f"/studies/{analysis.study.public_id}/cases/"
    assert client.get(address, whole).status_code == 200
    for key in whole:
        assert client.get(address, whole | {key: "x"}).status_code == 404, key
    other = "12345678-1234-4234-8234-123456789abc"
    assert client.get(address, whole | {"analysis": other}).status_code == 404


def test_nothing_leads_to_the_cases_before_the_unblinding(analysed: tuple[Client, Analysis]) -> None:
    client, analysis = analysed
    Study.objects.filter(pk=analysis.study_id).update(state="frozen")
    text = client.get(f"/analyses/{analysis.public_id}/cases/").content.decode()
    assert f"/studies/{analysis.study.public_id}/cases/" not in text


def test_words_where_three_patients_make_a_number_meaningless(analysed: tuple[Client, Analysis]) -> None:
    texts = " ".join(row[1][0] for row in page(*analysed, "remarks").tables["remarks"][1:])
    assert "Only 3 patients have CLL. Even 3 of 3 right has an interval from 0.29 to 1" in texts


@pytest.mark.both_databases
@pytest.mark.parametrize("n_flips", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_the_bundle_passes_and_of_its_flips_each_is_named(analysed: tuple[Client, Analysis], n_flips: int) -> None:
    analysis = analysed[1]
    data = bundle_bytes(analysis.inputs, analysis.result.result)
    again = Analysis.objects.get(pk=analysis.pk)
    assert bundle_bytes(again.inputs, again.result.result) == data
    assert sha256_of(again.inputs) == again.inputs_sha256
    assert sha256_of(again.result.result) == again.result.result_sha256
    version, kept = again.result.app_version, Kept()
    assert verify(data, version=version, compute=kept).intact
    rng = random.Random(64)
    for _ in range(n_flips):
        at = rng.randrange(len(data))
        problems = verify(flipped(data, at, rng.randrange(8)), version=version, compute=kept).problems
        assert problems, at
        name = file_at(data, at)
        if name:
            assert name in {p.file for p in problems}, (at, name)
            if name.startswith("tables/"):
                assert name[7:-4] in {p.table for p in problems}


@pytest.mark.both_databases
def test_loading_again_changes_nothing(coordinator: Any, run_jobs: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("reader_study.worker.analysis.draw_ahead", lambda *_: None)
    call_command("load_reconstruction")
    run_jobs()
    call_command("load_reconstruction")
    study = Study.objects.get(reconstruction=True)
    assert study.analyses.count() == 1
    assert list(study.coordinators.all()) == [coordinator]
    assert study.cases.count() == 64

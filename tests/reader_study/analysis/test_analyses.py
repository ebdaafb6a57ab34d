"""Analyses through the database: who may, when, what is refused, what is recorded, what leaves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cases.models import Exposure
from leukoweb.core.exceptions import Conflict, DomainError, NotAllowed
from leukoweb.core.models import AuditEvent, Job
from reader_study.analysis.inputs import InputsRefused, parse
from reader_study.analysis.run import analyse as compute
from reader_study.analysis_files import FILES
from reader_study.models import Analysis, Reading, ReadingSession, StudyReader
from reader_study.selectors.analysis_inputs import study_inputs
from reader_study.services.analyses import analysis_create, evaluator_import
from tests.reader_study.analysis.read_studies import PIPELINE, analyse, csv_of, read, unblind, with_ai
from tests.reader_study.factories import MadeStudy, make_study
from tests.support.jobs import JOB_OFFERS

pytestmark = pytest.mark.django_db


@pytest.fixture
def no_drawing(monkeypatch: Any) -> None:
    monkeypatch.setattr("reader_study.worker.analysis.draw_ahead", lambda *_: None)


@pytest.fixture
def client(made: MadeStudy) -> Client:
    client = Client()
    client.force_login(made.coordinator, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_not_before_the_unblinding_unless_interim_with_a_reason(made: MadeStudy) -> None:
    with_ai(made)
    with pytest.raises(Conflict, match="not unblinded"):
        analyse(made)
    with pytest.raises(DomainError, match="reason"):
        analyse(made, interim=True, reason=" ")
    analysis = analyse(made, interim=True, reason="a safety question")
    event = AuditEvent.objects.get(action="analysis.interim")
    assert (event.reason, event.data["analysis"]) == ("a safety question", str(analysis.public_id))


def test_only_a_coordinator_of_this_study_asks_and_looks(made: MadeStudy, as_role: Any, make_user: Any) -> None:
    with_ai(made)
    unblind(made)
    with pytest.raises(NotAllowed):
        analysis_create(actor=make_user("coordinator"), study=made.study)
    analysis = analyse(made)
    address = f"/analyses/{analysis.public_id}/"
    for role, status in (("technician", 403), ("pathologist", 403), ("admin", 403), ("coordinator", 404)):
        other = as_role(role)
        for path in (address, f"{address}files/bundle.zip", f"{address}tables/endpoints.csv",
                     f"{address}figures/f1_five.svg", f"/studies/{made.study.public_id}/analyses/"):  # fmt: skip
            assert other.get(path).status_code == status, (role, path)


def test_an_open_session_is_named_and_an_interim_analysis_leaves_it_out(made: MadeStudy) -> None:
    with_ai(made)
    reader = StudyReader.objects.create(study=made.study, label="P9")
    ReadingSession.objects.create(reader=reader, number=1, seed=1, state="open")
    unblind(made)
    with pytest.raises(InputsRefused, match="P9") as caught:
        analyse(made)
    assert caught.value.code == "E_OPEN_SESSION"
    marks = analyse(made, interim=True, reason="looking early").inputs["marks"]
    assert (marks["left_out"], marks["without_answers"]) == (["P9"], [])


def test_void_sessions_and_the_panel_are_no_evaluators(made: MadeStudy) -> None:
    panel = StudyReader.objects.create(study=made.study, label="Panel")
    session = ReadingSession.objects.create(reader=panel, number=1, seed=0, state="sealed", imported=True)
    Reading.objects.create(
        session=session, study_case=made.cases[0], position=1, diagnosis="AML", n_images=2, n_viewed=0, reread=True
    )  # fmt: skip
    gone = StudyReader.objects.create(study=made.study, label="Gone")
    ReadingSession.objects.create(reader=gone, number=1, seed=0, state="void")
    with_ai(made)
    names = [e["name"] for e in study_inputs(made.study)["evaluators"]]
    assert names == ["AI", "P1-1", "P1-2", "P2-1", "P2-2"]


def test_a_label_like_a_session_of_another_reader_is_told_apart(made: MadeStudy) -> None:
    """No lock takes such labels any more; a study that has them is analysed all the same."""
    with_ai(made)
    other = StudyReader.objects.create(study=made.study, label="P1-2")
    read(ReadingSession.objects.create(reader=other, number=1, seed=1), made)
    names = [e.name for e in parse(study_inputs(made.study)).evaluators]
    assert names == ["AI", "P1-1", "P1 (session 2)", "P1-2", "P2-1", "P2-2"]


@pytest.mark.parametrize(("name", "version"), [("P 1", "b"), ("P", "1 b"), ("outside", "1 b")])
def test_an_imported_ai_is_not_named_like_anybody_else(made: MadeStudy, name: str, version: str) -> None:
    with_ai(made)
    StudyReader.objects.create(study=made.study, label="P 1 b")
    give = {"actor": made.coordinator, "study": made.study, "source": "s", "data": csv_of(made)}
    if name == "outside":
        evaluator_import(**give, name="outside 1", version="b")  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="somebody else"):
        evaluator_import(**give, name=name, version=version)  # type: ignore[arg-type]


def test_a_void_primary_session_takes_its_reader_out_and_not_the_study(made: MadeStudy) -> None:
    """The protocol takes session 1; that of the first reader became void when the study was stopped early."""
    with_ai(made)
    ReadingSession.objects.filter(pk=made.session(0).pk).update(state="void")
    unblind(made)
    inputs = parse(analyse(made).inputs)
    assert [e.name for e in inputs.outside] == ["P1"]
    assert [e.name for e in inputs.sessions] == ["P2-1", "P2-2"]
    assert any("P1 has no sealed primary session" in row["text"] for row in compute(inputs.document)["remarks"])


def test_a_sealed_session_without_readings_is_refused(made: MadeStudy) -> None:
    with_ai(made)
    reader = StudyReader.objects.create(study=made.study, label="P9")
    ReadingSession.objects.create(reader=reader, number=1, seed=1, state="sealed")
    unblind(made)
    with pytest.raises(InputsRefused, match=r"P9 has no readings") as caught:
        analyse(made)
    assert caught.value.code == "E_NO_READINGS"


def test_a_missing_prediction_is_refused_with_the_cases(made: MadeStudy) -> None:
    unblind(made)
    with pytest.raises(InputsRefused, match="outside 1 has no prediction for 10 of 10 cases") as caught:
        analyse(made)
    assert caught.value.code == "E_NO_PREDICTION"


def test_the_page_says_why_it_refuses(made: MadeStudy, client: Client) -> None:
    unblind(made)
    response = client.post(f"/studies/{made.study.public_id}/analyses/")
    assert response.status_code == 400
    assert "has no prediction for 10 of 10 cases" in response.content.decode()
    assert not Analysis.objects.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe", "not UTF-8"), (b"", "empty"), (b"code,five\nx,AML\n", "needs a column case"),
        (b"case,five\nnone,AML\n", "case none is not in the study"),
    ],
)  # fmt: skip
def test_files_of_ai_answers_that_cannot_be_taken(made: MadeStudy, data: bytes, words: str) -> None:
    with pytest.raises(DomainError, match=words):
        evaluator_import(actor=made.coordinator, study=made.study, source="s", data=data, **PIPELINE)  # type: ignore[arg-type]
    assert not made.study.imported_evaluators.exists()


def test_no_more_of_an_uploaded_table_is_read_than_one_may_hold(
    made: MadeStudy, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    monkeypatch.setattr("reader_study.views.analyses.BYTES_MAX", 10)
    monkeypatch.setattr("reader_study.views.analyses.evaluator_import", lambda **given: read.append(given["data"]))
    file = SimpleUploadedFile("ai.csv", b"x" * 1000)
    answer = client.post(
        reverse("analysis_evaluator_create", args=[made.study.public_id]),
        {"name": "AI", "version": "1", "source": "s", "file": file},
    )
    assert (answer.status_code, read) == (302, [b"x" * 11])


def test_a_class_outside_the_protocol_is_refused_at_the_import(made: MadeStudy) -> None:
    data = csv_of(made, **{made.cases[2].code: "MDS"})
    with pytest.raises(DomainError, match="'MDS' is not one of"):
        evaluator_import(actor=made.coordinator, study=made.study, source="s", data=data, **PIPELINE)  # type: ignore[arg-type]
    with_ai(made)
    with pytest.raises(Conflict, match="imported already"):
        with_ai(made)


@pytest.mark.both_databases
def test_from_sealed_sessions_to_pages_and_files(
    made: MadeStudy, client: Client, run_jobs: Any, no_drawing: None
) -> None:
    with_ai(made)
    unblind(made)
    response = client.post(f"/studies/{made.study.public_id}/analyses/")
    assert response.status_code == 302
    address = response["Location"]
    assert "Asked for" in client.get(address).content.decode()
    job = Job.objects.get(pk=Analysis.objects.get().job_id)
    for status, asked, offered in JOB_OFFERS:
        Job.objects.filter(pk=job.pk).update(status=status, cancel_requested=asked)
        page = client.get(address).content.decode()
        shown = [name for name in ("cancel", "retry") if reverse(f"job_{name}", args=[job.pk]) in page]
        assert shown == offered, (status, asked)
    Job.objects.filter(pk=job.pk).update(status="queued", cancel_requested=False)
    run_jobs()
    for section in ("", "participants/", "accuracy/", "agreement/", "comparison/", "cases/", "sessions/", "remarks/"):
        response = client.get(address + section)
        assert response.status_code == 200, section
        assert "SYNTHETIC" in response.content.decode()
    noted = re.compile(r'title="(\d+ of \d+, [^"]+)"')  # fingers and keyboards do not reach a title: a switch shows it
    notes = noted.findall(client.get(address + "accuracy/").content.decode())
    shown = client.get(address + "accuracy/?show=notes").content.decode()
    assert notes
    assert all(f'<span class="cell-note">{note}</span>' in shown for note in notes)
    assert not noted.search(shown)
    assert f'href="{address}agreement/?show=notes"' in shown
    analysis = Analysis.objects.get()
    patients = {case.patient_id for case in made.cases}
    for kind in ("reference", "result"):
        seen = Exposure.objects.filter(user=made.coordinator, kind=kind).values_list("patient_id", flat=True)
        assert set(seen) == patients
    for name in sorted(set(FILES) - {"report.pdf", "report.html"}):
        first, second = client.get(f"{address}files/{name}"), client.get(f"{address}files/{name}")
        assert first.status_code == 200, name
        assert first.content == second.content, name
        assert "attachment" in first["Content-Disposition"]
        assert "no-store" in first["Cache-Control"]
    exports = AuditEvent.objects.filter(action="analysis.export", target=f"analysis:{analysis.public_id}")
    assert {event.data["file"] for event in exports} == set(FILES) - {"report.pdf", "report.html"}
    assert client.get(f"{address}files/nothing.txt").status_code == 404
    assert client.get(f"{address}nowhere/").status_code == 404


@pytest.mark.both_databases
def test_looking_and_asking_again_freezes_the_same_inputs(made: MadeStudy) -> None:
    with_ai(made)
    unblind(made)
    first, second = analyse(made), analyse(made)
    assert first.inputs_sha256 == second.inputs_sha256
    assert [event["action"] for event in first.inputs["audit"]] == ["study.import_ai"]


def test_an_interim_analysis_says_so_everywhere(
    made: MadeStudy, client: Client, run_jobs: Any, no_drawing: None
) -> None:
    with_ai(made)
    analysis = analyse(made, interim=True, reason="looking early")
    run_jobs()
    address = f"/analyses/{analysis.public_id}/"
    assert "INTERIM" in client.get(address).content.decode()
    for path in ("tables/endpoints.csv", "tables/metrics_five.tex", "tables/metrics_five.html", "tables/endpoints.json",
                 "files/readings.csv", "files/readings.json", "files/readings.imrmc", "files/redcap_records.csv",
                 "files/results.json"):  # fmt: skip
        response = client.get(address + path)
        assert "INTERIM" in response.content.decode("utf-8-sig"), path
        assert "-interim-" in response["Content-Disposition"], path


def test_numbers_of_queries_do_not_grow_with_cases(coordinator: Any, make_user: Any) -> None:
    counts = []
    for n in (4, 12):
        study = make_study(
            users=[make_user("pathologist")], coordinator=coordinator, n_cases=n, title=f"Study {n}", materialise=False
        )
        read(study.sessions[0], study)
        with CaptureQueriesContext(connection) as seen:
            study_inputs(study.study)
        counts.append(len(seen))
    assert counts == [17, 17]


def test_the_consistency_page(client: Client) -> None:
    page = client.get("/consistency/")
    example = page.context["form"].initial["table"]
    asked = {"table": example, "average": "macro", "rounding": "half-up"}
    text = client.post("/consistency/", asked).content.decode()
    assert "possible" in text
    assert '<td class="num">23</td>' in text
    wrong = example.replace("0.77 0.70", "0.77 0.77")
    assert "impossible" in client.post("/consistency/", asked | {"table": wrong}).content.decode()
    bad = client.post("/consistency/", asked | {"table": "nonsense"})
    assert bad.status_code == 400


def test_results_are_json_without_surprises(made: MadeStudy) -> None:
    with_ai(made)
    document = study_inputs(made.study)
    assert json.loads(json.dumps(document, allow_nan=False)) == document

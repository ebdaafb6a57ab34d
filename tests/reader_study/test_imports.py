"""Readings from a file: all of it or nothing, every problem with its line, marked imported, sealed."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cases.csv_tables import CsvRefused
from cases.models import Patient
from leukoweb.core.exceptions import Conflict, NotAllowed
from leukoweb.core.models import AuditEvent, User
from reader_study.models import Reading, ReadingSession, SessionSeal, Study
from reader_study.selectors.washout import washout_warnings
from reader_study.services.imports import readings_import, readings_import_by_system
from reader_study.services.locking import study_lock_by_system
from reader_study.services.seals import COLUMNS, _older_form, seal_problem, seal_verify
from reader_study.services.seals import SIGNED as HASHED
from tests.conftest import BACKEND
from tests.reader_study.pages import SIGNED, url
from tests.reader_study.protocols import reader
from tests.reader_study.studies import make_locked, make_study, sessions, sign, user, world

pytestmark = pytest.mark.django_db
CLASSES = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


@pytest.fixture
def study(coordinator: User) -> Study:
    """P1 read twice elsewhere; P2 reads here."""
    readers = [reader("P1", "", ("blinded", "blinded")), reader("P2", "p2")]
    return make_locked(coordinator, readers=readers)


def rows(study: Study, *, session: int = 1, seed: int = 1) -> list[list[str]]:
    draw = random.Random(seed)
    codes = list(study.cases.values_list("patient__code", flat=True))
    draw.shuffle(codes)
    return [[code, "P1", str(session), draw.choice(CLASSES), "", "4"] for code in codes]


def csv(table: list[list[str]]) -> bytes:
    header = ["case", "reader", "session", "diagnosis", "reason", "confidence"]
    return "\n".join(",".join(row) for row in [header, *table]).encode()


def take(study: Study, coordinator: User, data: bytes) -> int:
    return readings_import(actor=coordinator, study=study, data=data, signature=sign(coordinator))


@pytest.mark.both_databases
def test_a_seal_holds_whatever_offset_the_file_writes(study: Study, coordinator: User) -> None:
    at = ["2026-01-31T14:05:00+01:00", "2026-01-31T23:59:59.25-05:30", "", "2025-07-01T09:00+02:00", "", ""]
    text = csv(rows(study)).decode().splitlines()
    data = "\n".join([text[0] + ",answered_at", *(f"{line},{t}" for line, t in zip(text[1:], at, strict=True))])
    take(study, coordinator, data.encode())
    session = ReadingSession.objects.get(reader__label="P1", number=1)
    assert seal_problem(session) == ""
    assert session.opened_at == datetime(2025, 7, 1, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        (["2026-01-31T14:05:00+05:45", "2026-01-31T14:06:00+05:45"], True),
        (["2025-07-01T09:00:00+02:00", "2025-12-01T09:00:00+01:00"], True),  # one place, summer and winter
        (["2025-07-01T09:00:00+02:00", "2025-12-01T09:01:00+01:00"], False),  # not what was signed
    ],
)
def test_seals_of_the_first_version_hold_where_that_can_be_proven(at: list[str], holds: bool) -> None:
    """They hashed the text of the file; the database gives the moments back in UTC."""
    signed = [dict.fromkeys(COLUMNS) | {"position": n, "diagnosis": "AML"} for n in (1, 2)]
    canonical = [{name: row[name] for name in HASHED} for row in signed]
    for row, text in zip(canonical, at, strict=True):
        row["answered_at"] = datetime.fromisoformat(text).isoformat(timespec="microseconds")
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    if not holds:
        at[1] = "2025-12-01T09:00:00+01:00"
    for row, text_ in zip(signed, at, strict=True):
        row["answered_at"] = datetime.fromisoformat(text_).astimezone(UTC)
    assert _older_form(signed, hashlib.sha256(text.encode()).hexdigest()) is holds


@pytest.mark.both_databases
def test_readings_are_stored_marked_and_sealed(study: Study, coordinator: User) -> None:
    table = rows(study)
    table[2][3:5] = ["", "Too few cells"]
    assert take(study, coordinator, csv(table + rows(study, session=2, seed=2))) == 12
    readings = Reading.objects.filter(session__reader__label="P1", session__number=1).order_by("position")
    assert [r.study_case.patient.code for r in readings] == [row[0] for row in table]
    assert all(r.imported for r in readings)
    assert [(r.cannot_decide, r.reason) for r in readings][2] == (True, "Too few cells")
    for session in ReadingSession.objects.filter(reader__label="P1"):
        assert (session.state, session.imported, session.seal.signed_by) == ("sealed", True, coordinator)
        assert seal_verify(session)
    assert AuditEvent.objects.get(action="study.readings_import").data["sessions"] == ["P1-1", "P1-2"]
    with pytest.raises(Conflict, match="No session waits for a file"):
        take(study, coordinator, csv(table))


def test_a_case_that_was_not_read_has_no_reading_and_one_of_a_withdrawn_patient_may_be_absent(
    study: Study, coordinator: User
) -> None:
    """Else it would be undecided, which an analysis may count as wrong."""
    table = rows(study)
    gone = table.pop()[0]
    with pytest.raises(CsvRefused, match=r"lacks 1 case: .* Write NOT_READ as the diagnosis of a case that the reader"):
        take(study, coordinator, csv(table))
    Patient.objects.filter(code=gone).update(withdrawn_at=datetime(2026, 1, 1, tzinfo=UTC))
    table[1][3:] = ["NOT_READ", "the slide was broken", ""]
    assert take(study, coordinator, csv(table)) == 4
    session = ReadingSession.objects.get(reader__label="P1", number=1)
    read = session.readings.order_by("position")
    assert [r.study_case.patient.code for r in read] == [row[0] for row in table if row[3] != "NOT_READ"]
    assert not any(r.cannot_decide for r in read)
    assert seal_verify(session)
    assert AuditEvent.objects.get(action="study.readings_import").data["not_read"] == {"P1-1": 2}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t[2].__setitem__(3, "NOT_READ"), "Line 4: A case that was not read has no confidence"),
        (lambda t: [row.__setitem__(slice(3, 6), ["NOT_READ", "", ""]) for row in t],
         "Session 1 of P1 has no answer at all"),
        (lambda t: t[0].__setitem__(0, "X-9"), "Line 2: Case 'X-9' is not in the study"),
        (lambda t: t[1].__setitem__(1, "P2"), "Line 3: The study waits for no session 1 of reader 'P2'"),
        (lambda t: t[1].__setitem__(2, "3"), "Line 3: The study waits for no session 3 of reader 'P1'"),
        (lambda t: t[1].__setitem__(2, "one"), "Line 3: session 'one' is not a number"),
        (lambda t: t[3].__setitem__(3, "ACUTE"), "Line 5: 'ACUTE' is not one of ALL, AML, CLL, CML, NO_LEUKEMIA"),
        (lambda t: t[3].__setitem__(3, ""), "Line 5: No diagnosis and no reason"),
        (lambda t: t[3].__setitem__(5, "6"), "Line 5: confidence '6' is not a number from 1 to 5"),
        (lambda t: t[3].__setitem__(0, t[0][0]), "Line 5: The case stands on line 2 already"),
        (lambda t: t.pop(), "lacks 1 case:"),
        (lambda t: t[2].append("extra"), "Line 4: 7 cells, 6 expected"),
    ],
)  # fmt: skip
def test_every_problem_has_its_line_and_nothing_is_stored(
    study: Study, coordinator: User, spoil: Any, words: str
) -> None:
    table = rows(study)
    spoil(table)
    with pytest.raises(CsvRefused) as refused:
        take(study, coordinator, csv(table))
    assert words in refused.value.message
    assert not Reading.objects.exists()
    assert not SessionSeal.objects.exists()
    assert all(session.state == "planned" for session in sessions(study))


def dated(study: Study, session: int, day: date | None, *, seed: int = 1) -> list[list[str]]:
    """A row with ``answered_at`` for each case, a minute apart."""
    times = [f"{day}T10:{minute:02d}+00:00" if day else "" for minute in range(len(CLASSES) + 1)]
    return [[*row, at] for row, at in zip(rows(study, session=session, seed=seed), times, strict=True)]


def with_times(table: list[list[str]]) -> bytes:
    return csv(table).replace(b",confidence", b",confidence,answered_at", 1)


def test_a_time_that_has_not_come_yet_is_refused(study: Study, coordinator: User) -> None:
    with pytest.raises(CsvRefused, match=r"Line 2: '2099-01-01T10:00.00:00' has not come yet"):
        take(study, coordinator, with_times(dated(study, 1, date(2099, 1, 1))))
    assert not Reading.objects.exists()


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (date(2020, 1, 13), "Session 2 of P1 began 12.0 days after session 1 of P1; the protocol asks for 42."),
        (date(2019, 1, 1), "Session 2 of P1 began before session 1 of P1 had ended"),
        (None, "The time between session 1 of P1 and session 2 of P1 is not known"), (date(2020, 3, 1), ""),
    ],
)  # fmt: skip
def test_a_washout_that_was_not_kept_is_said_at_the_import(
    study: Study, coordinator: User, second: date | None, words: str
) -> None:
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    for number, day in ((1, date(2020, 1, 1)), (2, second)):
        file = SimpleUploadedFile("r.csv", with_times(dated(study, number, day, seed=number)))
        page = client.post(url("study_import", study), SIGNED | {"readings": file}, follow=True)
        said = [str(message) for message in page.context["messages"] if message.level_tag == "warning"]
        assert len(said) == bool(words) * (number == 2)
    assert all(text.startswith(words) for text in said)
    with CaptureQueriesContext(connection) as seen:
        assert washout_warnings(study) == said
    assert len(seen) == 2


@pytest.mark.parametrize("data", [b"", b"case;reader\n", b"\xff\xfe", b"case,reader,session\n", b"a\x00b"])
def test_what_is_no_such_file_is_refused(study: Study, coordinator: User, data: bytes) -> None:
    with pytest.raises(CsvRefused):
        take(study, coordinator, data)


def test_a_number_of_thousands_of_digits_is_no_number(study: Study, coordinator: User) -> None:
    table = rows(study)
    table[0][2] = table[1][5] = "9" * 5000
    with pytest.raises(CsvRefused, match="is not a number from"):
        take(study, coordinator, csv(table))


def test_only_a_coordinator_of_the_study_imports(study: Study, coordinator: User) -> None:
    other = user("coordinator", "other")
    with pytest.raises(NotAllowed):
        readings_import(actor=other, study=study, data=csv(rows(study)), signature=sign(other))
    with pytest.raises(Conflict, match="Only a reconstruction"):
        readings_import_by_system(study=study, data=csv(rows(study)), meaning="x")


def test_a_study_of_people_is_not_locked_by_the_program(coordinator: User) -> None:
    with pytest.raises(Conflict, match="Only a study of drawn patients"):
        study_lock_by_system(make_study(coordinator, "Real"))


def test_the_page_imports_under_a_signature(study: Study, coordinator: User) -> None:
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    page = client.get(url("study_import", study)).content.decode()
    assert "P1, session 1" in page
    assert client.get(url("study_detail", study)).status_code == 200, "a session that waits for a file has no rules"
    bad = SimpleUploadedFile("r.csv", csv(rows(study)).replace(b",4", b",9"))
    refused = client.post(url("study_import", study), SIGNED | {"readings": bad})
    assert b"Line 2: confidence" in refused.content
    unsigned = SimpleUploadedFile("r.csv", csv(rows(study)))
    assert client.post(url("study_import", study), {"readings": unsigned}).status_code == 400
    good = SimpleUploadedFile("r.csv", csv(rows(study)))
    assert client.post(url("study_import", study), SIGNED | {"readings": good}).status_code == 302
    assert Reading.objects.count() == 6


@pytest.mark.both_databases
def test_a_sealed_reading_cannot_be_changed_by_any_way_in(study: Study, coordinator: User) -> None:
    """Import again, API verbs, .update(), bulk_update, save, delete, raw SQL; each tried, nothing moves."""
    take(study, coordinator, csv(rows(study)))
    before = list(Reading.objects.order_by("pk").values())
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    with pytest.raises(CsvRefused, match="waits for no session 1"):
        take(study, coordinator, csv(rows(study, seed=9)))
    api = f"/api/v1/studies/{study.public_id}/readings/"
    for verb in (client.put, client.patch, client.delete):
        assert verb(api, data="{}", content_type="application/json").status_code == 405
    reading = Reading.objects.first()
    reading.diagnosis = "CML" if reading.diagnosis != "CML" else "ALL"

    def raw(statement: str) -> Any:
        def run() -> None:
            with connection.cursor() as cursor:
                cursor.execute(statement)

        return run

    ways = [
        lambda: Reading.objects.update(diagnosis="AML", comment="changed"),
        lambda: Reading.objects.bulk_update([reading], ["diagnosis"]),
        reading.save,
        reading.delete,
        lambda: Reading.objects.all().delete(),
        raw("UPDATE reader_study_reading SET diagnosis = 'AML', comment = 'changed'"),
        raw("DELETE FROM reader_study_reading"),
        raw("UPDATE reader_study_sessionseal SET signed_name = 'x'"),
        raw("DELETE FROM reader_study_sessionseal"),
    ]
    for way in ways:
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            way()
    if connection.vendor == "postgresql":
        raw("SET CONSTRAINTS ALL IMMEDIATE")()  # TRUNCATE waits for no pending check
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            raw("TRUNCATE reader_study_reading CASCADE")()
    assert list(Reading.objects.order_by("pk").values()) == before
    assert seal_verify(sessions(study)[0])


def test_there_is_no_admin_site(coordinator: User) -> None:
    from django.conf import settings
    from django.urls import NoReverseMatch, reverse

    assert "django.contrib.admin" not in settings.INSTALLED_APPS
    with pytest.raises(NoReverseMatch):
        reverse("admin:index")

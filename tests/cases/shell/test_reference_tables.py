"""Many reference diagnoses by a table on a page: a dry run first, all or none, with the person on record."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from cases.acquisition_csv import parse_references_csv
from cases.csv_spreadsheets import spreadsheet_text
from cases.csv_tables import CsvRefused
from cases.forms_references import BYTES_MAX, ROWS_MAX
from cases.models import Cohort, Exposure, Patient, ReferenceDiagnosis
from cases.services import reference_add, reference_tables
from cases.services.reference_tables import references_import, references_plan
from leukoweb.core.audit import chain_verify
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import AuditEvent

HEADER = "patient,diagnosis,source,decided_on,note\n"
HERE = "/references/upload/"


@pytest.fixture
def patients(db: None) -> list[Patient]:
    cohort = Cohort.objects.create(name="Basel", purpose=Cohort.Purpose.DEVELOPMENT)
    return [Patient.objects.create(cohort=cohort, code=f"B-{n}") for n in (1, 2, 3)]


def upload(client: Client, table: str | bytes, **more: str) -> Any:
    data = table.encode() if isinstance(table, str) else table
    return client.post(HERE, {"file": SimpleUploadedFile("t.csv", data), "source": "flow cytometry"} | more)


def hidden(page: str) -> dict[str, str]:
    import html

    found = re.findall(r'<input type="hidden" name="(table|source|plan|sealed)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found}


def test_a_table_whose_rows_say_how_they_were_established_needs_no_common_word(
    as_role: Any, patients: list[Patient]
) -> None:
    client = as_role("coordinator")
    lacking = upload(client, HEADER + "B-1,AML,genetics,,\nB-2,CML,,,\n", source="").content.decode()
    told = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", lacking))
    assert "3 source It is not said how this diagnosis was established." in told
    page = upload(client, HEADER + "B-1,AML,genetics,,\nB-2,CML,flow,,\n", source="").content.decode()
    assert "2 diagnoses entered" in client.post(f"{HERE}confirm/", hidden(page), follow=True).content.decode()
    assert list(ReferenceDiagnosis.objects.order_by("patient").values_list("source", flat=True)) == ["genetics", "flow"]


def test_a_table_is_looked_at_first_and_entered_once_by_its_person(as_role: Any, patients: list[Patient]) -> None:
    reference_add(actor=None, patient=patients[0], diagnosis="AML", source="flow cytometry")
    reference_add(actor=None, patient=patients[1], diagnosis="CML", source="flow cytometry")
    client = as_role("coordinator")
    assert f'href="{HERE}"' in client.get("/references/").content.decode()
    assert b"import_references" not in client.get("/references/").content
    table = "\ufeff" + HEADER.replace(",", ";") + "B-1;AML;;;\nB-2;ALL;genetics;2024-01-05;Käse\nB-3;NO_LEUKEMIA;;;\n"
    page = upload(client, table)
    words = page.content.decode()
    assert (page.status_code, "1 new, 1 in place of another entry, 1 as they stand" in words) == (200, True)
    assert ReferenceDiagnosis.objects.count() == 2
    assert not AuditEvent.objects.filter(action="reference.import").exists()
    assert Exposure.objects.filter(user=client.user, kind="reference").count() == 3, "the page shows what stands there"
    told = client.post(f"{HERE}confirm/", hidden(words), follow=True).content.decode()
    assert "2 diagnoses entered; 1 stood there already." in told
    twice = client.post(f"{HERE}confirm/", hidden(words), follow=True).content.decode()
    assert ("Nothing was left to enter: 3 diagnoses stood there." in twice, "Somebody" in twice) == (True, False)
    newest = [p.references.order_by("-id").first() for p in patients]
    assert [entry.diagnosis for entry in newest] == ["AML", "ALL", "NO_LEUKEMIA"]
    assert (newest[1].source, newest[1].note, newest[1].entered_by) == ("genetics", "Käse", client.user)
    event = AuditEvent.objects.get(action="reference.import")
    assert event.actor == client.user
    assert {key: event.data[key] for key in ("new", "changed", "unchanged")} == {"new": 1, "changed": 1, "unchanged": 1}
    assert "AML" not in str(event.data)
    assert event.data["table_sha256"] == hashlib.sha256(table.encode()).hexdigest(), "of the file as it came"
    named = AuditEvent.objects.filter(action="reference.add", target=f"patient:{patients[1].pk}").latest("id")
    assert (named.actor, named.data) == (client.user, {"reference": newest[1].pk})
    assert chain_verify().intact
    again = upload(client, HEADER + "B-3,NO_LEUKEMIA,,,\n").content.decode()
    assert "Nothing would change." in again


def test_what_somebody_else_entered_meanwhile_is_shown_before_anything_is(
    as_role: Any, patients: list[Patient]
) -> None:
    client = as_role("coordinator")
    looked_at = hidden(upload(client, HEADER + "B-1,AML,,,\nB-2,ALL,,,\n").content.decode())
    reference_add(actor=None, patient=patients[0], diagnosis="CLL", source="a panel")
    page = client.post(f"{HERE}confirm/", looked_at)
    assert (page.status_code, ReferenceDiagnosis.objects.count()) == (409, 1)
    words = page.content.decode()
    assert "since you looked" in words
    assert 'data-class="CLL"' in words
    assert client.post(f"{HERE}confirm/", hidden(words)).status_code == 302
    assert ReferenceDiagnosis.objects.count() == 3


def test_another_table_is_not_entered_under_the_hash_of_the_file(as_role: Any, patients: list[Patient]) -> None:
    client = as_role("coordinator")
    looked_at = hidden(upload(client, HEADER + "B-1,AML,,,\nB-2,ALL,,,\n").content.decode())
    for more in ({"table": looked_at["table"].replace("ALL", "CLL")}, {"sealed": looked_at["sealed"][:-1]}):
        assert client.post(f"{HERE}confirm/", looked_at | more).status_code == 400
    assert not ReferenceDiagnosis.objects.exists()
    as_browsers_send_it = looked_at | {"table": looked_at["table"].replace("\n", "\r\n")}
    assert client.post(f"{HERE}confirm/", as_browsers_send_it).status_code == 302


def test_a_look_writes_nothing_and_a_table_takes_few_statements(patients: list[Patient]) -> None:
    rows = parse_references_csv(HEADER + "B-1,AML,,,\nB-2,ALL,,,\nB-3,CLL,,,\n")
    with CaptureQueriesContext(connection) as looked:
        references_import(actor=None, rows=rows, source="flow", dry_run=True)
    assert [one["sql"] for one in looked if one["sql"].startswith(("INSERT", "SELECT pg_advisory"))] == []
    with CaptureQueriesContext(connection) as entered:
        references_import(actor=None, rows=rows, source="flow", dry_run=False)
    assert sum(one["sql"].startswith("INSERT") for one in entered) == 3, "references, their events, the table's"


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_a_table_confirmed_twice_at_once_is_entered_once(
    patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = parse_references_csv(HEADER + "B-1,AML,,,\nB-2,ALL,,,\n")
    key = references_plan(rows, source="flow").key
    both = threading.Barrier(2)
    plan_of = reference_tables.references_plan

    def planned(*args: Any, **more: Any) -> Any:
        plan = plan_of(*args, **more)
        with contextlib.suppress(threading.BrokenBarrierError):  # whoever comes first waits for the other's plan
            both.wait(0.3)
        return plan

    def confirm(_: int) -> str:
        try:
            references_import(actor=None, rows=rows, source="flow", dry_run=False, plan_key=key)
        except Conflict as error:
            return error.code
        finally:
            connection.close()
        return "entered"

    monkeypatch.setattr(reference_tables, "references_plan", planned)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(confirm, range(2))) == ["E_CHANGED", "entered"]
    assert ReferenceDiagnosis.objects.count() == 2


def test_the_same_entry_sent_twice_is_one(as_role: Any, patients: list[Patient]) -> None:
    client, address = as_role("coordinator"), f"/patients/{patients[0].pk}/references/"
    for _ in range(2):
        assert client.post(address, {"diagnosis": "AML", "source": "flow"}).status_code == 302
    assert ReferenceDiagnosis.objects.count() == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("B-1,XYZ,,,\nB-2,AML,,31.12.2023,\n", ("2</td><td>diagnosis", "3</td><td>decided_on")),
        ("B-1,AML,,,\nB-404,AML,,,\n", ("B-404 (line 3)",)),
        ("B-1,AML,,,\nB-1,CML,,,\n", ("3</td><td>diagnosis",)),
        ("", ("no row below its header",)),
        ("B-1,AML,,,\n" * (ROWS_MAX + 1), ("3</td><td>patient",)),
    ],
)
def test_a_table_with_faults_changes_nothing_and_names_their_lines(
    as_role: Any, patients: list[Patient], table: str, said: tuple[str, ...]
) -> None:
    page = upload(as_role("coordinator"), HEADER + table)
    assert page.status_code == 400
    for words in said:
        assert words in page.content.decode().replace('<td class="num">', "<td>"), words
    assert not ReferenceDiagnosis.objects.exists()


def test_rows_that_the_service_refuses_are_named_all(as_role: Any, patients: list[Patient]) -> None:
    table = "patient,diagnosis,transformed\nB-1,AML,yes\nB-2,CML,yes\nB-3,CLL,yes\n"
    words = upload(as_role("admin"), table).content.decode()
    assert "2 problems" in words
    assert words.count("transformed</td>") == 2
    assert not ReferenceDiagnosis.objects.exists()


def test_more_rows_or_bytes_than_a_page_takes_are_refused(as_role: Any, db: None) -> None:
    cohort = Cohort.objects.create(name="Many", purpose=Cohort.Purpose.DEVELOPMENT)
    Patient.objects.bulk_create(Patient(cohort=cohort, code=f"M-{n}") for n in range(ROWS_MAX + 1))
    client = as_role("coordinator")
    table = HEADER + "".join(f"M-{n},AML,,,\n" for n in range(ROWS_MAX + 1))
    assert f"the limit is {ROWS_MAX:,}" in upload(client, table).content.decode()
    assert "the limit is 1 MB" in upload(client, HEADER + "x" * BYTES_MAX).content.decode()


@pytest.mark.parametrize("role", ["technician", "pathologist"])
def test_who_may_not_enter_one_may_not_enter_many(as_role: Any, patients: list[Patient], role: str) -> None:
    client = as_role(role)
    assert upload(client, HEADER + "B-1,AML,,,\n").status_code == 403
    confirm = {"table": HEADER + "B-1,AML,,,\n", "source": "x", "plan": ""}
    assert client.post(f"{HERE}confirm/", confirm).status_code == 403
    assert client.get("/references/template.csv").status_code == 403
    assert not ReferenceDiagnosis.objects.exists()


def test_a_confirmation_without_a_look_is_refused(as_role: Any, patients: list[Patient]) -> None:
    page = as_role("coordinator").post(f"{HERE}confirm/", {"table": HEADER + "B-1,AML,,,\n", "source": "x", "plan": ""})
    assert page.status_code == 400
    assert not ReferenceDiagnosis.objects.exists()


def test_the_template_holds_those_who_wait(as_role: Any, patients: list[Patient]) -> None:
    reference_add(actor=None, patient=patients[1], diagnosis="CML", source="genetics")
    client = as_role("coordinator")
    empty = client.get("/references/template.csv").content.decode("utf-8-sig")
    assert empty == "patient,diagnosis,source,decided_on,transformed,note\r\n"
    filled = client.get(f"/references/template.csv?cohort={patients[0].cohort_id}").content.decode("utf-8-sig")
    assert [line.split(",")[0] for line in filled.split()[1:]] == ["B-1", "B-3"]
    assert client.get("/references/template.csv?cohort=x").status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        "patient;diagnosis;note\r\nB-1;AML;Käse, alt\r\n".encode("utf-8-sig"),
        "patient\tdiagnosis\tnote\nB-1\tAML\tKäse, alt\n".encode("utf-16"),
        "patient;diagnosis;note\r\n\r\nB-1;AML;Käse, alt\r\n".encode("cp1252"),
        'patient,diagnosis,note\rB-1,AML,"Käse, alt"\r'.encode(),
    ],
    ids=["BOM and semicolons", "UTF-16 and tabs", "Windows-1252", "old line ends"],
)
def test_tables_as_spreadsheet_programs_save_them(as_role: Any, patients: list[Patient], data: bytes) -> None:
    words = upload(as_role("coordinator"), data).content.decode()
    assert "1 new, 0 in place" in words
    assert escape("Käse, alt") in words
    assert ("Windows-1252" in words) == (b"\xe4" in data[10:] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"))


def test_a_spreadsheet_keeps_the_numbers_of_its_lines() -> None:
    sheet = spreadsheet_text(b'a;b\n\n"x\ny";2\nlast;3\n', bytes_max=100)
    assert sheet.text.split("\n")[4] == "last,3"
    faults = ((b"\x81\x8d", "not text"), (b"a,b\x00", "NUL"), (b'a;b\n"x;2\n', "cannot be read"), (b"x" * 11, "MB"))
    for data, said in faults:
        with pytest.raises(CsvRefused, match=said) as caught:
            spreadsheet_text(data, bytes_max=10)
        assert caught.value.problems

"""The audit trail as people read it: filters, what is withheld from whom, and the files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cases.models import Cohort, Patient, Slide
from leukoweb.core import audit_targets
from leukoweb.core.audit import audit_record, chain_verify
from leukoweb.core.audit_trail import COLUMNS, Asked, audit_events, audit_export
from leukoweb.core.chain import body_sha256
from leukoweb.core.guards import guards_lifted
from leukoweb.core.models import AuditEvent

pytestmark = pytest.mark.django_db


def record(action: str = "slide.create", target: str = "slide:1", actor: Any = None, **more: Any) -> AuditEvent:
    return audit_record(actor=actor, action=action, target=target, **more)


def at(event: AuditEvent, moment: datetime) -> None:
    with guards_lifted():
        AuditEvent.objects.filter(pk=event.pk).update(at=moment)


def found(client: Any, **asked: str) -> list[int]:
    page = client.get("/audit/", asked).context["page"]
    return [event.pk for event in page]


@pytest.mark.both_databases
def test_each_filter_finds_its_events(as_role: Any, technician: Any) -> None:
    first = record(actor=technician, data={"code": "Käse-7"})
    second = record("slide.recode", "slide:12", reason="A name stood in it")
    third = record("cohort.create", "cohort:1")
    at(first, datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    at(second, datetime(2026, 3, 2, tzinfo=UTC))
    at(third, datetime(2026, 3, 2, 23, 59, 59, 999999, tzinfo=UTC))
    admin = as_role("admin")
    ends = {"since": "0001-01-01", "until": "9999-12-31"}
    assert set(found(admin, **ends)) >= {first.pk, second.pk, third.pk}
    for asked, wanted in (
        ({"who": technician.username.upper()}, [first]),
        ({"action": "slide.recode"}, [second]),
        ({"on": "slide:1"}, [first]),
        ({"on": "slide"}, [second, first]),
        ({"since": "2026-03-02", "until": "2026-03-02"}, [third, second]),
        ({"until": "2026-03-01"}, [first]),
        ({"text": "käse-7" if connection.vendor == "postgresql" else "Käse-7"}, [first]),
        ({"text": "NAME STOOD"}, [second]),
        ({"text": "name stood", "action": "slide.create"}, []),
        ({"text": "100%_"}, []),
    ):
        assert found(admin, **asked) == [event.pk for event in wanted], asked


def test_filters_that_make_no_sense_are_told(as_role: Any) -> None:
    admin = as_role("admin")
    for asked, said in (
        ({"since": "yesterday"}, "Enter a valid date"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "lies before the first"),
        ({"text": "x" * 300}, "at most 200 characters"),
    ):
        response = admin.get("/audit/", asked)
        assert response.status_code == 400
        assert said in response.content.decode()
        assert admin.get("/audit/events.csv", asked).status_code == 400
    assert not AuditEvent.objects.filter(action="audit.export").exists()
    assert admin.get("/audit/events.exe").status_code == 404


def test_a_page_keeps_its_filters_and_asks_as_much_of_many_events_as_of_few(as_role: Any) -> None:
    admin, counts = as_role("admin"), []
    for n in (3, 60):
        for i in range(n):
            record(target=f"slide:{i}")
        with CaptureQueriesContext(connection) as queries:
            page = admin.get("/audit/", {"on": "slide", "who": "syst"}).content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert 'href="?on=slide&amp;who=syst&amp;page=2"' in page
    assert "/audit/events.csv?on=slide&amp;who=syst" in page
    assert "63 events" in page


def test_an_object_that_cannot_be_is_asked_for_in_vain(as_role: Any) -> None:
    keys = (str(uuid.uuid4()), "9" * 20, "9" * 18, "x", "\u0663", "\u00b2")
    asked = [f"{kind}:{key}" for kind in audit_targets._namers for key in keys]
    for client in (as_role("admin"), as_role("coordinator")):
        assert audit_targets.target_names(client.user, asked) == {}
        assert not any(audit_targets.target_parts(client.user, target) for target in asked)
        for target in (f"user:{keys[0]}", f"session:{keys[1]}"):
            response = client.get("/audit/", {"on": target})
            assert (response.status_code, len(response.context["page"])) == (200, 0)


def test_objects_are_called_by_their_names_and_lead_to_their_pages(as_role: Any, technician: Any) -> None:
    cohort = Cohort.objects.create(name="Basel", purpose=Cohort.Purpose.DEVELOPMENT)
    patient = Patient.objects.create(cohort=cohort, code="B-7")
    slide = Slide.objects.create(patient=patient, code="B-7-1")
    admin, counts = as_role("admin"), []
    for n in (1, 20):
        for _ in range(n):
            for target in (f"patient:{patient.pk}", f"slide:{slide.pk}", f"user:{technician.pk}", "patient:999999"):
                record("patient.create", target)
        with CaptureQueriesContext(connection) as queries:
            page = admin.get("/audit/", {"action": "patient.create"}).content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    for name, address in (("patient B-7", f"/patients/{patient.pk}/"), ("slide B-7-1", f"/slides/{slide.pk}/")):
        assert f'<a href="{address}">{name}</a>' in page
    assert f'href="/users/#user-{technician.pk}">user {technician.username}</a>' in page
    assert "patient:999999" in page
    events = found(admin, on=f"patient:{patient.pk}")
    assert {AuditEvent.objects.get(pk=pk).target for pk in events} == {f"patient:{patient.pk}", f"slide:{slide.pk}"}
    history = admin.get("/audit/", {"on": f"patient:{patient.pk}"}).content.decode()
    assert "<h1>History of patient B-7</h1>" in history
    for address in (f"/patients/{patient.pk}/", f"/slides/{slide.pk}/"):
        link = f"/audit/?on={address.split('/')[1][:-1]}:{address.split('/')[2]}"
        assert link in admin.get(address).content.decode()
        assert link not in as_role("technician").get(address).content.decode(), "no link to what one may not read"


def test_a_history_of_what_is_no_key_is_empty(as_role: Any) -> None:
    assert "No event matches." in as_role("coordinator").get("/audit/", {"on": "patient:x"}).content.decode()
    for wrong in ("patient:x", f"patient:{'9' * 40}", "study:-1", "study:1.5", "analysis:no-uuid", "user:", "patient:"):
        assert found(as_role("coordinator"), on=wrong) == []


def test_what_a_code_was_before_it_was_corrected_is_for_those_who_correct_codes(as_role: Any) -> None:
    record("patient.recode", "patient:1", data={"before": "Meier 1961", "after": "P-1"}, reason="Meier is a name")
    record("user.change", "user:3", data={"after": {"email": "meier@example.org"}})
    for role, shown in (("admin", True), ("coordinator", False)):
        client = as_role(role)
        page = client.get("/audit/").content.decode()
        assert "patient.recode" in page
        assert ("Meier" in page) == shown
        assert ("meier@" in page) == shown
        assert bool(found(client, text="meier")) == shown, "a search must not tell what the page withholds"
        for kind in ("csv", "jsonl"):
            body = b"".join(client.get(f"/audit/events.{kind}").streaming_content)
            assert (b"Meier" in body) == shown
            assert b"patient.recode" in body


@pytest.mark.parametrize("role", ["technician", "pathologist"])
def test_nobody_else_reads_it(as_role: Any, role: str) -> None:
    record()
    client = as_role(role)
    assert client.get("/audit/").status_code == 403
    assert client.get("/audit/events.csv").status_code == 403
    assert list(audit_events(for_user=client.user, asked=Asked())) == []


def test_the_files_hold_the_events_and_are_an_event_themselves(as_role: Any, technician: Any) -> None:
    for i in range(3):
        record(actor=technician, target=f"slide:{i}", data={"n": i, "note": "=1+1"}, reason="=HYPERLINK(1)")
    admin = as_role("admin")
    body = b"".join(admin.get("/audit/events.jsonl", {"on": "slide"}).streaming_content)
    rows = [json.loads(line) for line in body.decode().splitlines()]
    assert [row["on"] for row in rows] == ["slide:0", "slide:1", "slide:2"]
    for row in rows:  # whoever has the file can check each event's own hash
        event = {
            "previous": row["previous_hash"], "at": row["at"], "actor": row["who_id"], "actor_name": row["who"],
            "action": row["action"], "target": row["on"], "data": row["details"], "reason": row["reason"],
        }  # fmt: skip
        assert body_sha256(event) == row["hash"]
    told = AuditEvent.objects.get(action="audit.export")
    assert told.actor == admin.user
    assert told.data == {"format": "jsonl", "events": 3, "sha256": hashlib.sha256(body).hexdigest(),
                         "filters": {"on": "slide"}}  # fmt: skip
    body = b"".join(admin.get("/audit/events.csv", {"on": "slide"}).streaming_content)
    table = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    assert tuple(table[0]) == COLUMNS
    assert {row["reason"] for row in table} == {"'=HYPERLINK(1)"}
    assert all(not row["details"].startswith("=") for row in table)
    again = b"".join(admin.get("/audit/events.csv", {"on": "slide"}).streaming_content)
    assert body == again
    assert chain_verify().intact


def test_the_chain_in_words(as_role: Any) -> None:
    events = [record() for _ in range(4)]
    admin = as_role("admin")
    assert "The newest 4 events fit together." in admin.get("/audit/").content.decode()
    assert "The chain is whole" in admin.get("/audit/", {"verify": "1"}).content.decode()
    with guards_lifted():
        AuditEvent.objects.filter(pk=events[1].pk).update(reason="forged")
    assert f"broken at event {events[1].pk}" in admin.get("/audit/").content.decode()


class Interrupted(io.BytesIO):
    """A file that lets another connection write an event whenever something is written to it."""

    n = 0

    def write(self, data: Any, /) -> int:
        def work() -> None:
            record("meanwhile", "t:1")
            connection.close()

        if self.n < 3:
            self.n += 1
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        return super().write(data)


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_a_file_is_one_state_of_the_trail(admin_user: Any) -> None:
    events = [record(target=f"slide:{i}") for i in range(30)]
    file = Interrupted()
    assert audit_export(actor=admin_user, asked=Asked(), kind="jsonl", file=file) == 30
    rows = [json.loads(line) for line in file.getvalue().decode().splitlines()]
    assert [row["number"] for row in rows] == [event.pk for event in events]
    assert [row["previous_hash"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert AuditEvent.objects.filter(action="meanwhile").count() == 3
    assert chain_verify().intact

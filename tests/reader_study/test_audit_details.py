"""What happened in a study is told to everybody who reads the audit trail; the details only to its coordinators."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from leukoweb.core.audit import audit_record
from reader_study.models import Study
from tests.conftest import BACKEND
from tests.reader_study.factories import make_study

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def test_a_panels_diagnosis_is_not_for_other_coordinators_nor_for_admins(
    coordinator: Any, make_user: Any, admin_user: Any, pathologist: Any
) -> None:
    made = make_study(users=[pathologist], coordinator=coordinator, n_cases=1, n_fields=1)
    data = {"case": "00000", "diagnosis": "CML", "members": "Dr Secret"}
    audit_record(actor=coordinator, action="study.panel_read", target=f"study:{made.study.pk}", data=data)
    sealed = f"session:{made.session().pk}"
    audit_record(actor=pathologist, action="reading.seal", target=sealed, data={"by": "Dr Seal"})
    for user, shown in ((coordinator, True), (make_user("coordinator"), False), (admin_user, False)):
        client = signed_in(user)
        page = client.get("/audit/").content.decode()
        assert "study.panel_read" in page
        assert ("Dr Secret" in page, "Dr Seal" in page) == (shown, shown)
        assert len(client.get("/audit/", {"text": "CML"}).context["page"]) == shown
        body = b"".join(client.get("/audit/events.jsonl").streaming_content)
        assert (b"Dr Secret" in body) == shown


def test_the_rule_asks_as_much_of_many_studies_as_of_one(coordinator: Any) -> None:
    client, counts = signed_in(coordinator), []
    for n in (1, 8):
        for i in range(n):
            study = Study.objects.create(title=f"{n}/{i}", created_by=coordinator)
            study.coordinators.add(coordinator)
            audit_record(actor=coordinator, action="study.create", target=f"study:{study.pk}")
        with CaptureQueriesContext(connection) as queries:
            client.get("/audit/")
        counts.append(len(queries))
    assert counts[0] == counts[1]

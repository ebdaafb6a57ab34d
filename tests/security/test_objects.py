"""Behind the door: what belongs to somebody else is not there (404), at every address that names it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.reader_study.factories import make_study
from tests.security.test_routes import ROWS

pytestmark = pytest.mark.django_db
OF_A_STUDY = [row for row in ROWS.values() if re.match(r"(api/v1/)?studies/<uuid:public_id>/", row.address)]
OF_AN_ANALYSIS = [row for row in ROWS.values() if row.address.startswith("analyses/<uuid:analysis>/")]
OF_AN_UPLOAD = [row for row in ROWS.values() if row.address.startswith("api/v1/uploads/<uuid:pk>/")]
REST = {"pk": "1", "code": "00000", "name": "x.csv", "key": "x", "kind": "csv", "section": "x", "item_id": "1"}


def test_there_is_something_to_ask() -> None:
    assert len(OF_A_STUDY) >= 25
    assert len(OF_AN_ANALYSIS) >= 4
    assert len(OF_AN_UPLOAD) >= 4


def statuses(client: Client, rows: list[Any], name: str, value: uuid.UUID) -> dict[tuple[str, str], int]:
    found = {}
    for row in rows:
        path = re.sub(rf"<\w+:{name}>", str(value), row.address)
        path = re.sub(r"<\w+:(\w+)>", lambda match: REST[match.group(1)], path)
        for method in sorted(row.methods):
            found[(method, row.address)] = getattr(client, method.lower())(f"/{path}").status_code
    return found


def test_another_coordinators_study(as_role: Callable[[str], Client], make_user: Callable[..., Any]) -> None:
    own, other = as_role("coordinator"), as_role("coordinator")
    made = make_study(users=[make_user("pathologist")], coordinator=own.user, n_cases=1, n_fields=1)  # type: ignore[attr-defined]
    public_id = made.study.public_id
    asked = statuses(other, OF_A_STUDY, "public_id", public_id)
    assert asked == statuses(other, OF_A_STUDY, "public_id", uuid.uuid4()), "as if it had never been"
    assert set(asked.values()) <= {404, 400}, asked  # 400: a body that is refused before anything is looked up
    assert {status for (method, _), status in asked.items() if method == "GET"} == {404}
    mine = statuses(own, OF_A_STUDY, "public_id", public_id)
    assert mine["GET", "studies/<uuid:public_id>/"] == 200
    assert {status for (method, _), status in mine.items() if method == "GET"} >= {200}
    assert 500 not in mine.values()
    made.study.refresh_from_db()
    assert made.study.state == "locked", "nothing was done by asking"
    assert f"/studies/{public_id}/".encode() not in other.get("/studies/").content
    assert other.get("/api/v1/studies/").json()["results"] == []


def test_another_coordinators_analysis(as_role: Callable[[str], Client], make_user: Callable[..., Any]) -> None:
    from reader_study.models import Analysis

    own, other = as_role("coordinator"), as_role("coordinator")
    made = make_study(users=[make_user("pathologist")], coordinator=own.user, n_cases=1, n_fields=1)  # type: ignore[attr-defined]
    analysis = Analysis.objects.create(study=made.study, protocol=made.protocol, inputs={}, inputs_sha256="0" * 64)
    assert set(statuses(other, OF_AN_ANALYSIS, "analysis", analysis.public_id).values()) == {404}


def test_another_technicians_upload(as_role: Callable[[str], Client]) -> None:
    from cases.models import Cohort, UploadBatch

    own, other = as_role("technician"), as_role("technician")
    cohort = Cohort.objects.create(name="C", purpose="external")
    batch = UploadBatch.objects.create(cohort=cohort, created_by=own.user)  # type: ignore[attr-defined]
    asked = statuses(other, OF_AN_UPLOAD, "pk", batch.pk)
    assert set(asked.values()) <= {404, 415, 400}, asked
    assert asked == statuses(other, OF_AN_UPLOAD, "pk", uuid.uuid4()), "as if it had never been"
    assert own.get(f"/api/v1/uploads/{batch.pk}/").status_code == 200


def test_a_job_is_cancelled_by_its_owner_or_staff_only(as_role: Callable[[str], Client]) -> None:
    from leukoweb.core.jobs.ledger import job_create

    owner, other = as_role("technician"), as_role("pathologist")
    job = job_create(kind="demo.first", title="x", payload={}, actor=owner.user, key="x")  # type: ignore[attr-defined]
    for address in (f"/jobs/{job.pk}/cancel/", f"/api/v1/jobs/{job.pk}/cancel/"):
        assert other.post(address).status_code == 403
    job.refresh_from_db()
    assert job.status == "queued"
    assert owner.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 200

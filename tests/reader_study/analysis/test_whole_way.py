"""From a reader's first request to the exported tables: two scripted readers, freeze, unblinding, analysis, files."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client

from cases.models import ReferenceDiagnosis
from reader_study.models import Analysis, CaseIdentity, ReadingSession, Study
from reader_study.services.conduct import study_freeze, study_unblind
from reader_study.verification import verify
from tests.conftest import BACKEND
from tests.reader_study.factories import CLASSES, PASSWORD, make_study
from tests.reader_study.journey import signed_in
from tests.reader_study.studies import sign

pytestmark = pytest.mark.django_db


@pytest.mark.both_databases
def test_read_frozen_unblinded_analysed_exported(
    make_user: Any, coordinator: Any, run_jobs: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("reader_study.worker.analysis.draw_ahead", lambda *_: None)
    readers = [make_user("pathologist", f"reader{n}") for n in (1, 2)]
    for reader in readers:
        reader.set_password(PASSWORD)
        reader.save()
    made = make_study(
        users=readers, coordinator=coordinator, n_cases=5, n_fields=1,
        endpoints=[{"metric": "accuracy", "role": "primary", "comparison": "none"}],
    )  # fmt: skip
    said: dict[tuple[str, str], str] = {}
    for number, user in enumerate(readers):
        session = made.session(number)
        with signed_in(user.username, session) as journey:
            journey.consent()
            journey.read_all(lambda n, shift=number: CLASSES[(n + shift) % 5])
            journey.seal()
        session.refresh_from_db()
        assert session.state == ReadingSession.State.SEALED
        for identity in CaseIdentity.objects.filter(case__session=session).select_related("case", "study_case"):
            said[f"P{number + 1}", identity.study_case.code] = CLASSES[(identity.case.position + number) % 5]
    study = Study.objects.get(pk=made.study.pk)
    study_freeze(actor=coordinator, study=study, signature=sign(coordinator))
    study_unblind(actor=coordinator, study=study, reason="everybody has read", signature=sign(coordinator))

    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    address = client.post(f"/studies/{study.public_id}/analyses/")["Location"]
    run_jobs()
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}files/readings.csv").content.decode("utf-8-sig"))))
    assert {(row["reader"], row["case"]): row["answer_five"] for row in rows} == said
    truth = {c.code: ReferenceDiagnosis.objects.get(patient=c.patient).diagnosis for c in made.cases}
    assert all((row["right_five"] == "yes") == (row["answer_five"] == truth[row["case"]]) for row in rows)
    assert all(float(row["active_ms"]) > 0 and row["position"] for row in rows)
    bundle = client.get(f"{address}files/bundle.zip").content
    verdict = verify(bundle, version=Analysis.objects.get().result.app_version)
    assert verdict.intact, verdict.problems
    actions = [event["action"] for event in Analysis.objects.get().inputs["audit"]]
    assert actions.count("reading.seal") == 2
    assert actions[-2:] == ["study.freeze", "study.unblind"]

"""The wall itself: a blind request cannot ask a sealed table, however the query is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from cases.models import HpfImage, Patient, ReferenceDiagnosis
from leukoweb.core.audit import audit_record
from leukoweb.core.models import AuditEvent
from reader_study import sealed
from reader_study.models import CaseIdentity, DraftEvent, Reading, ReadingSession, SessionCase, SessionImage, StudyCase
from reader_study.sealed import OPEN_TABLES, SealedTable, blind, sealing
from reader_study.services.seals import seal_statement
from reader_study.views import desk
from tests.reader_study.factories import make_study
from tests.reader_study.journey import Journey

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
MakeUser = Callable[..., Any]

SECRETS = {
    "reference": lambda: list(ReferenceDiagnosis.objects.all()),
    "patient by join": lambda: list(CaseIdentity.objects.select_related("study_case__patient")),
    "count only": lambda: Patient.objects.count(),
    "exists": lambda: Reading.objects.exists(),
    "subquery": lambda: list(SessionCase.objects.filter(identity__in=CaseIdentity.objects.values("pk"))),
    "filter over a relation": lambda: list(SessionCase.objects.filter(identity__study_case__patient__code="x")),
    "ordering over a relation": lambda: list(SessionCase.objects.order_by("identity__study_case__code")),
    "forward relation": lambda: SessionCase.objects.order_by("pk").first().identity,
    "reverse relation": lambda: list(ReadingSession.objects.order_by("pk").first().readings.all()),
    "old answers": lambda: list(DraftEvent.objects.values_list("new")),
    "filter on old answers": lambda: DraftEvent.objects.filter(old__diagnosis="AML").exists(),
    "what events say": lambda: list(AuditEvent.objects.values_list("data")),
    "raw": lambda: connection.cursor().execute("SELECT count(*) FROM cases_referencediagnosis"),
    "raw, quoted and in capitals of SQL": lambda: connection.cursor().execute('select 1 from "cases_patient"'),
    "raw, hidden in a WITH": lambda: connection.cursor().execute(
        "WITH x AS (SELECT * FROM reader_study_reading) SELECT count(*) FROM x"
    ),
    "insert that reads": lambda: connection.cursor().execute(
        "INSERT INTO reader_study_draftevent (key) SELECT code FROM cases_patient"
    ),
    "update of a sealed table": lambda: StudyCase.objects.update(code="x"),
    "delete of a sealed table": lambda: HpfImage.objects.all().delete(),
    "the seal's statement without a seal": lambda: connection.cursor().execute(seal_statement(), [None] * 20),
}  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_cannot_be_asked_for(name: str, make_user: MakeUser) -> None:
    make_study(users=[make_user("pathologist")], n_cases=1, n_fields=1)
    with blind(), pytest.raises(SealedTable):
        SECRETS[name]()


def test_what_a_reader_needs_can_be_asked_for(make_user: MakeUser) -> None:
    user = make_user("pathologist")
    make_study(users=[user], n_cases=1, n_fields=1)
    with blind():
        assert list(SessionCase.objects.select_related("draft", "session__reader").prefetch_related("images"))
        audit_record(actor=user, action="reading.open")


def test_while_sealing_only_the_one_statement_goes_through(make_user: MakeUser) -> None:
    make_study(users=[make_user("pathologist")], n_cases=1, n_fields=1)
    statement = seal_statement()
    with blind(), sealing(statement):
        sealed.check(statement)
        for other in (statement + " RETURNING study_case_id", statement.replace("INSERT INTO", "INSERT  INTO"),
                      "SELECT study_case_id FROM reader_study_caseidentity"):  # fmt: skip
            with pytest.raises(SealedTable):
                sealed.check(other)
    with blind(), pytest.raises(SealedTable):
        sealed.check(statement)


def test_a_new_table_is_sealed_until_somebody_opens_it() -> None:
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    assert set(OPEN_TABLES) <= tables
    for table in sorted(tables - set(OPEN_TABLES)):
        with pytest.raises(SealedTable):
            sealed.check(f'SELECT 1 FROM "{table}"')


MUTANTS: dict[str, Callable[[Any], Any]] = {
    "reference": lambda request: ReferenceDiagnosis.objects.first(),
    "who it is": lambda request: CaseIdentity.objects.values_list("study_case__patient__code").first(),
    "others' answers": lambda request: Reading.objects.first(),
    "original name": lambda request: HpfImage.objects.values_list("original_name__name").first(),
}


@pytest.mark.parametrize("secret", MUTANTS)
def test_every_reader_route_is_behind_the_wall(secret: str, make_user: MakeUser, monkeypatch: Any) -> None:
    """A view that asks for a secret on purpose answers 500 and shows nothing, on each address under read/."""
    from django.urls import get_resolver

    from tests.core.test_access import routes

    made = make_study(users=[make_user("pathologist", "reader")], n_cases=1, n_fields=1)
    journey = Journey("reader", made.session())
    journey.login()
    journey.consent()
    case, image = SessionCase.objects.get(), SessionImage.objects.get()
    reached = 0
    for path, entry in routes(get_resolver()):
        if not path.startswith("read/"):
            continue
        concrete = "/" + path.replace("<str:session>", made.session().token)
        concrete = concrete.replace("<str:case>", case.token).replace("<str:image>", image.token)

        def leaky(request: Any, **kwargs: Any) -> Any:
            from django.http import HttpResponse

            return HttpResponse(repr(MUTANTS[secret](request)))

        leaky.required_action = "studies.read"  # type: ignore[attr-defined]
        monkeypatch.setattr(entry, "callback", leaky)
        response = journey.client.get(concrete)
        assert response.status_code == 500, path
        assert b"AML" not in re.sub(rb"[A-Za-z0-9_-]{22,}", b"", response.content), "but for random tokens"
        assert b"PAT-" not in response.content
        reached += 1
    assert reached == 14
    assert desk

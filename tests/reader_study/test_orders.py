"""Materialising a session: what is stored, under which tokens, on both databases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from cases.models import Cohort, Slide
from leukoweb.core.exceptions import Conflict, DomainError
from reader_study.models import CaseIdentity, DraftReading, ReadingSession, SessionCase, SessionImage
from reader_study.ordering import case_order, image_order
from reader_study.services.orders import session_materialise, session_rules_refresh
from tests.reader_study.factories import make_patients, make_study

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
MakeUser = Callable[..., Any]


def stored_order(session: ReadingSession) -> list[tuple[str, list[int]]]:
    """[(case code, capture positions in the order shown)]"""
    return [
        (case.identity.study_case.code, [image.capture_position for image in case.images.all()])
        for case in session.cases.select_related("identity__study_case")
    ]


def test_the_stored_order_regenerates_from_the_stored_seed(make_user: MakeUser) -> None:
    made = make_study(users=[make_user("pathologist")], n_cases=6, n_fields=3, n_training=2, sessions=["blinded"] * 2)
    codes = {case.code: case for case in made.cases}
    for session in made.sessions:
        order = case_order(codes, seed=session.seed, training={c.code for c in made.cases if c.training})
        expected = [
            (code, [i + 1 for i in image_order(
                [e["content_sha256"] for e in codes[code].manifest], seed=session.seed, case=code)])
            for code in order
        ]  # fmt: skip
        assert stored_order(session) == expected
        assert [case.training for case in session.cases.all()] == [True, True] + [False] * 6
    first, second = map(stored_order, made.sessions)
    assert first != second
    assert sorted(code for code, _ in first) == sorted(code for code, _ in second)


def test_both_databases_store_the_same_order(make_user: MakeUser) -> None:
    """The hash was computed once and written here: SQLite and PostgreSQL both have to give it."""
    made = make_study(users=[make_user("pathologist")], n_cases=8, n_fields=3)
    text = json.dumps(stored_order(made.sessions[0]))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "84308b0d9c5b60a4"


def test_tokens_are_random_and_never_shared(make_user: MakeUser) -> None:
    users = [make_user("pathologist"), make_user("pathologist")]
    made = make_study(users=users, n_cases=7, sessions=["blinded"] * 2)
    tokens = [
        *ReadingSession.objects.values_list("token", flat=True),
        *SessionCase.objects.values_list("token", flat=True),
        *SessionImage.objects.values_list("token", flat=True),
    ]
    assert len(set(tokens)) == len(tokens) == 4 + 28 + 56
    assert all(len(token) == 22 for token in tokens)
    assert DraftReading.objects.filter(answer={}, version=0).count() == 28
    assert len({tuple(code for code, _ in stored_order(s)) for s in made.sessions}) == 4


def test_a_fixed_number_of_fields_is_the_same_for_everybody(make_user: MakeUser) -> None:
    users = [make_user("pathologist"), make_user("pathologist")]
    made = make_study(
        users=users, n_fields=4, images_per_case={"rule": "fixed", "k": 2, "seed": 3}, sessions=["blinded"] * 2
    )
    chosen = [{code: sorted(shown) for code, shown in stored_order(s)} for s in made.sessions]
    assert all(found == chosen[0] for found in chosen)
    assert all(len(shown) == 2 for shown in chosen[0].values())


def test_the_rules_hold_nothing_of_cases_or_readers(make_user: MakeUser) -> None:
    made = make_study(users=[make_user("pathologist")])
    rules = made.sessions[0].rules
    assert {"cases", "readers", "ai", "endpoints", "order_seed", "images_per_case", "analysis"}.isdisjoint(rules)
    assert rules["classes"] == ["ALL", "AML", "CLL", "CML", "NO_LEUKEMIA"]
    assert made.sessions[0].washout_days == 42


def test_an_order_is_written_once_and_then_frozen(make_user: MakeUser) -> None:
    made = make_study(users=[make_user("pathologist")])
    with pytest.raises(Conflict, match="written already"):
        session_materialise(session=made.sessions[0], protocol=made.protocol)
    case, identity = SessionCase.objects.first(), CaseIdentity.objects.first()
    other = CaseIdentity.objects.last()
    for change in (
        lambda: SessionCase.objects.filter(pk=case.pk).update(position=99),
        lambda: SessionImage.objects.filter(case=case).update(token="x"),
        lambda: CaseIdentity.objects.filter(pk=identity.pk).update(study_case=other.study_case),
        lambda: CaseIdentity.objects.filter(pk=identity.pk).delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_an_amendment_changes_the_rules_and_leaves_the_order(make_user: MakeUser) -> None:
    made = make_study(users=[make_user("pathologist")])
    before = stored_order(made.sessions[0])
    made.protocol.document = made.protocol.document | {"washout_days": 14}
    made.protocol.version = 2
    session_rules_refresh(session=made.sessions[0], protocol=made.protocol)
    session = made.session()
    assert (session.washout_days, session.rules["version"]) == (14, 2)
    assert stored_order(session) == before


def test_the_scale_is_that_of_the_cases_own_slide(make_user: MakeUser) -> None:
    """Another patient's slide with the same bytes was registered before, at another magnification."""
    make_patients(Cohort.objects.create(name="Elsewhere", purpose="external"), 2, 2)
    Slide.objects.update(pixel_size_um=0.9)
    make_study(users=[make_user("pathologist")], n_cases=2)
    assert set(SessionImage.objects.values_list("pixel_size_um", flat=True)) == {0.1}


def test_a_session_with_ai_needs_a_pipeline_and_results(make_user: MakeUser) -> None:
    user = make_user("pathologist")
    with pytest.raises(DomainError, match="names no pipeline"), transaction.atomic():
        make_study(users=[user], sessions=["ai_assisted"])
    ai = {"primary": {"name": "starter", "version": "1"}, "comparators": []}
    with pytest.raises(DomainError, match="4 of 4 patients have no result"), transaction.atomic():
        make_study(users=[user], sessions=["ai_assisted"], ai=ai)
    assert not ReadingSession.objects.exists()

"""A signature belongs to one person, one moment and one set of readings: put elsewhere, it does not fit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from leukoweb.core.guards import guards_lifted
from leukoweb.core.signing import Signature
from reader_study.models import DraftReading, Reading, ReadingSession, SessionSeal
from reader_study.services.panel import panel_read
from reader_study.services.seals import MEANINGS, seal_problem, session_seal
from tests.reader_study.factories import CLASSES, MadeStudy, make_study

pytestmark = pytest.mark.django_db
N_READERS = 11
SIGNATURE = ("signed_by_id", "signed_name", "meaning", "n_readings", "readings_sha256", "at")


@pytest.fixture
def sealed(make_user: Callable[..., Any]) -> MadeStudy:
    """Eleven readers, each with two cases answered and signed."""
    users = [make_user("pathologist", f"reader{n}") for n in range(N_READERS)]
    made = make_study(users=users, n_cases=2, n_fields=1, require_all_viewed=False)
    ReadingSession.objects.update(state="open", opened_at=timezone.now())
    for n, reader in enumerate(made.readers):
        session = made.session(n)
        answer = {"diagnosis": CLASSES[n % 5], "confidence": 1 + n % 5}
        DraftReading.objects.filter(case__session=session).update(answer=answer, version=1, updated_at=timezone.now())
        session_seal(session=session, signature=Signature(reader.user, f"Reader {n}", MEANINGS["blinded"], "password"))
    return made


def put(seal: SessionSeal, values: dict[str, Any]) -> str:
    """The problem that is found with ``values`` in the seal; the seal is as before afterwards."""
    before = {name: getattr(seal, name) for name in SIGNATURE}
    with guards_lifted():
        SessionSeal.objects.filter(pk=seal.pk).update(**values)
        problem = seal_problem(ReadingSession.objects.get(pk=seal.session_id))
        SessionSeal.objects.filter(pk=seal.pk).update(**before)
    return problem


def test_of_110_transplanted_signatures_none_fits(sealed: MadeStudy) -> None:
    seals = list(SessionSeal.objects.select_related("session"))
    assert [seal_problem(seal.session) for seal in seals] == [""] * N_READERS
    pairs = list(itertools.permutations(seals, 2))
    found = [put(target, {name: getattr(source, name) for name in SIGNATURE}) for source, target in pairs]
    assert len(found) == 110
    assert all(found), f"{found.count('')} of {len(found)} transplanted signatures fit"


@pytest.mark.parametrize("what", ["name", "person", "meaning", "hash", "time"])
def test_each_part_is_bound_on_its_own(sealed: MadeStudy, what: str) -> None:
    one, other = SessionSeal.objects.order_by("pk")[:2]
    values = {
        "name": {"signed_name": other.signed_name}, "person": {"signed_by_id": other.signed_by_id},
        "meaning": {"meaning": "I have seen this."}, "hash": {"readings_sha256": other.readings_sha256},
        "time": {"at": one.at - timedelta(days=1)},
    }[what]  # fmt: skip
    assert put(one, values)


def test_the_command_names_the_session(sealed: MadeStudy, capsys: Any) -> None:
    call_command("verify_seals")
    assert "11 seals, all fit" in capsys.readouterr().out
    session = sealed.session(3)
    with guards_lifted():
        Reading.objects.filter(session=session, position=1).update(diagnosis="AML")
    with pytest.raises(CommandError, match="1 of 11 seals do not fit"):
        call_command("verify_seals")
    assert "session 1 of P4: the readings are not those that were signed" in capsys.readouterr().err


def test_what_a_panel_read_again_needs_no_seal_and_what_readers_read_does(
    sealed: MadeStudy, coordinator: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed.study.coordinators.add(coordinator)
    sealed.study.state = "unblinded"
    sealed.study.save()
    panel_read(actor=coordinator, study=sealed.study, case=sealed.cases[0], members="A, B", diagnosis="ALL")
    call_command("verify_seals")
    assert f"{N_READERS} seals, all fit" in capsys.readouterr().out
    for taken in ("seal", "seal and readings"):
        session = sealed.session(0 if taken == "seal" else 1)
        with guards_lifted():
            SessionSeal.objects.filter(session=session).delete()
            if taken != "seal":
                Reading.objects.filter(session=session).update(reread=True)
        with pytest.raises(CommandError, match=f"of {N_READERS} seals do not fit"):
            call_command("verify_seals")
        assert f"session 1 of {session.reader.label}: it is sealed and has no seal" in capsys.readouterr().err

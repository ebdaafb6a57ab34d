"""kill -9 of the web server during answers: what was acknowledged is there, whatever came after.

The long form takes ``CHAOS_ANSWERS`` (10,000) answers and ``CHAOS_KILLS`` (100) kills on each database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.chaos.answers import Desk, answering, wait_for_more
from tests.support.chaos.history import INVOKE, OK
from tests.support.chaos.schedule import Schedule
from tests.support.chaos.stack import Stack
from tests.support.chaos.web import Web

SEED = 20_270_104
KILLS, ANSWERS = int(os.environ.get("CHAOS_KILLS") or 100), int(os.environ.get("CHAOS_ANSWERS") or 10_000)


@pytest.fixture(params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    if request.param == "sqlite":
        yield Stack(tmp_path / "state")
        return
    bin_dir = postgres.programs()
    if bin_dir is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    with postgres.server(bin_dir) as url:
        yield Stack(tmp_path / "state", url)


@pytest.mark.faults
def test_no_acknowledged_answer_is_lost(stack: Stack) -> None:
    kill_while_answering(stack, kills=KILLS, answers=ANSWERS)


def test_no_acknowledged_answer_is_lost_in_short(migrated: Stack) -> None:
    kill_while_answering(migrated, kills=1, answers=30)


def kill_while_answering(stack: Stack, *, kills: int, answers: int) -> None:
    desk, web, schedule = Desk(stack), Web(stack), Schedule(SEED)
    with web.running(), answering(desk, stack.port) as history:
        in_flight = 0
        for number in range(1, kills + 1):
            share = answers * number // kills - history.count(OK)
            wait_for_more(history, max(2, schedule.between(share // 2, share + 2)))
            in_flight += history.count(INVOKE) > 0
            web.kill()
            web.start()
        wait_for_more(history, max(1, answers - history.count(OK)), seconds=1200)
    verdict = desk.verdict()
    engine = "PostgreSQL" if stack.database_url else "SQLite"
    print(f"{engine}: {kills} kills of gunicorn ({in_flight} with answers in flight), {schedule}: {verdict}")
    assert verdict.good, desk.history.keep(stack.data / "history.jsonl")
    assert history.troubles == []
    assert verdict.n_ok >= answers
    assert in_flight, "no kill met an answer in flight: nothing was tested"
    if not stack.database_url:
        assert stack.rows("PRAGMA integrity_check") == [("ok",)]

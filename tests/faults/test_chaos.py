"""Everything at once, as it happens: web and database killed, both networks cut, while eight people answer.

PostgreSQL behind a proxy, gunicorn, and readers behind another proxy. Each deed is followed by answers that arrive.
``CHAOS_DEEDS`` (100) says how long the long form is.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.chaos.answers import Desk, answering, wait_for_more
from tests.support.chaos.proxy import DELAY, DROP, HALF_CLOSE, RESET, Proxy, proxied
from tests.support.chaos.schedule import Schedule
from tests.support.chaos.stack import Stack, wait_until
from tests.support.chaos.web import Web, ask

DEEDS, SEED = int(os.environ.get("CHAOS_DEEDS") or 100), 20_261_126
PATIENCE_S = 4.0  # of a reader whose request gets no answer


class Scene:
    """Who can be hurt, and how."""

    def __init__(self, folder: Path, server: postgres.Server, inner: Proxy) -> None:
        self.server, self.inner = server, inner
        url = server.url.replace(f":{server.port}/", f":{inner.port}/")
        self.stack = Stack(folder / "state", url, direct_url=server.url)
        self.desk, self.web = Desk(self.stack), Web(self.stack)
        self.outer = Proxy(self.stack.port)
        self.deeds: dict[str, Callable[[float], None]] = {
            "kill the web server": self.kill_web,
            "kill the database": self.kill_database,
            "restart the database": lambda pause: self.server.restart(),
            **{f"{mode} between web and database": self.cut(self.inner, mode) for mode in (DROP, HALF_CLOSE, RESET)},
            **{
                f"{mode} between people and web": self.cut(self.outer, mode)
                for mode in (DROP, HALF_CLOSE, RESET, DELAY)
            },
        }

    def kill_web(self, pause: float) -> None:
        self.web.kill()
        time.sleep(pause)
        self.web.start()

    def kill_database(self, pause: float) -> None:
        self.server.kill()
        try:
            self.people_are_told()
            time.sleep(pause)
        finally:
            self.server.start()

    def cut(self, proxy: Proxy, mode: str) -> Callable[[float], None]:
        def deed(pause: float) -> None:
            with proxy.failing(mode):
                time.sleep(pause)

        return deed

    def people_are_told(self) -> None:
        """While the database is away: a page and a script, both signed in, and the load balancer's question."""
        port, headers = self.stack.port, self.desk.headers
        status, page = ask(port, "GET", "/", headers={"Cookie": headers["Cookie"]})
        assert (status, b"The database does not answer at the moment" in page) == (503, True), page[:500]
        status, answer = ask(port, "POST", self.desk.path(self.desk.cases[0]), "{}", headers=headers)
        assert (status, json.loads(answer)["error"]["code"]) == (503, "E_UNAVAILABLE")
        status, answer = ask(port, "GET", "/healthz", headers={"Cookie": headers["Cookie"]})
        assert (status, json.loads(answer)["database"]) == (503, "unreachable")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    bin_dir = postgres.programs()
    if bin_dir is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    with postgres.running(bin_dir) as server, proxied(server.port) as inner:
        made = Scene(tmp_path, server, inner)
        with made.web.running():
            yield made
        made.outer.close()


@pytest.mark.faults
def test_one_of_each_loses_nothing(scene: Scene) -> None:
    do(scene, count=len(scene.deeds), answers=3)


@pytest.mark.faults
def test_many_of_each_lose_nothing(scene: Scene) -> None:
    do(scene, count=DEEDS, answers=30)


def do(scene: Scene, *, count: int, answers: int) -> None:
    schedule, done = Schedule(SEED), Counter[str]()
    with answering(scene.desk, scene.outer.port, timeout=PATIENCE_S) as history:
        wait_for_more(history, answers)
        for name in schedule.deeds(count, list(scene.deeds)):
            scene.deeds[name](schedule.pause(0.1, 1.0))
            done[name] += 1
            wait_for_more(history, schedule.between(1, answers))
    wait_until(lambda: ask(scene.stack.port, "GET", "/healthz")[0] == 200, seconds=30, what="a healthy server")
    verdict = scene.desk.verdict()
    print(
        f"{count} deeds, {schedule}, {history.unknown} requests without an answer: {verdict}", *done.items(), sep="\n"
    )
    assert verdict.good, scene.desk.history.keep(scene.stack.data / "history.jsonl")
    assert history.unknown >= count, "most deeds met no request: nothing was tested"
    scene.stack.manage("verify_audit")

"""The harness itself: a checker that finds nothing would prove nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.chaos.disk import small_disk
from tests.support.chaos.history import FAIL, INFO, INVOKE, OK, History
from tests.support.chaos.proxy import DELAY, DROP, HALF_CLOSE, RESET, Proxy, proxied
from tests.support.chaos.schedule import Schedule


def history(**ends: str) -> History:
    made = History()
    for key, end in ends.items():
        made.note(INVOKE, key)
        made.note(end, key)
    return made


def test_the_checker_finds_what_was_lost_invented_doubled_and_refused_but_present() -> None:
    made = history(a=OK, b=OK, c=FAIL, d=FAIL, e=INFO, f=INFO)
    good = made.check_set(["a", "b", "e"])
    assert good.good
    assert (good.n_ok, good.n_fail, good.n_info, good.n_info_present) == (2, 2, 2, 1)
    assert made.check_set(["b"]).lost == ["a"]
    assert made.check_set(["a", "b", "c"]).ghosts == ["c"]
    assert made.check_set(["a", "b", "x"]).strangers == ["x"]
    assert made.check_set(["a", "a", "b"]).doubled == ["a"]
    assert "1 of them lost" in str(made.check_set(["b"]))


def test_the_last_word_of_an_operation_counts() -> None:
    made = history(a=INFO)
    made.note(OK, "a")
    made.note(INVOKE, "b")
    assert (made.count(OK), made.count(INVOKE), made.unknown) == (1, 1, 1)
    assert made.check_set([]).lost == ["a"]
    assert made.check_set(["a", "b"]).n_info_present == 1


def test_a_seed_gives_the_same_deeds_and_leaves_none_out() -> None:
    first, again = (list(Schedule(7).deeds(10, "abcd")) for _ in (1, 2))
    assert first == again
    assert set(first[:4]) == set("abcd")
    assert first != list(Schedule(8).deeds(10, "abcd"))


class Echo:
    """Answers each line with itself and remembers what it got."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got: list[bytes] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        try:
            while data := line.recv(100):
                self.got.append(data)
                line.sendall(data)
        except OSError:
            pass


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with proxied(echo.port, delay_s=0.3) as made:
        yield made


def connected(proxy: Proxy) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    line.sendall(b"hello")
    assert line.recv(100) == b"hello"
    return line


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_proxy_that_drops_keeps_the_line_open_and_passes_nothing(proxy: Proxy, echo: Echo) -> None:
    line = connected(proxy)
    with proxy.failing(DROP):
        line.sendall(b"lost")
        line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            line.recv(100)
    assert b"lost" not in echo.got
    connected(proxy).close()


def test_a_proxy_that_half_closes_delivers_what_nobody_hears_about(proxy: Proxy, echo: Echo) -> None:
    line = connected(proxy)
    with proxy.failing(HALF_CLOSE):
        assert line.recv(100) == b""
        line.sendall(b"done unheard")
        until(lambda: b"done unheard" in echo.got)


def test_a_proxy_that_resets_breaks_open_lines_and_refuses_new_ones(proxy: Proxy) -> None:
    line = connected(proxy)
    with proxy.failing(RESET):
        with pytest.raises(ConnectionError):
            line.recv(100)
        with pytest.raises(ConnectionError):
            connected(proxy).recv(100)
    connected(proxy).close()


def test_a_proxy_that_delays_is_late_and_complete(proxy: Proxy) -> None:
    line = connected(proxy)
    with proxy.failing(DELAY):
        began = time.monotonic()
        line.sendall(b"late")
        assert line.recv(100) == b"late"
        assert time.monotonic() - began >= 2 * proxy.delay_s


def test_a_small_disk_fills_up_and_turns_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        (disk.folder / "before").write_bytes(b"x")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "more").write_bytes(os.urandom(100_000))
        disk.clear()
        (disk.folder / "after").write_bytes(os.urandom(100_000))
        disk.read_only()
        with pytest.raises(OSError, match="Read-only"):
            (disk.folder / "never").write_bytes(b"x")

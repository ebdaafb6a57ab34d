"""One command starts everything and nothing of it is left behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leukoweb.launcher import addresses, processes

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data: Path) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")}
    return {**ours, "DATA_DIR": str(data), "http_proxy": "http://127.0.0.1:9"}  # nothing of ours asks a proxy


def of_this_folder(data: Path) -> list[int]:
    """Processes whose environment names the folder or that work inside it (the broker overwrites its environment)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            named = f"DATA_DIR={data}\0".encode() in (process / "environ").read_bytes() + b"\0"
            if named or (process / "cwd").resolve(strict=True).is_relative_to(data):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def broker_of(data: Path) -> int | None:
    for pid in of_this_folder(data):
        try:
            if Path(f"/proc/{pid}/exe").resolve(strict=True).name == "valkey-server":
                return pid
        except OSError:
            continue
    return None


@contextmanager
def launched(data: Path, port: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "manage.py", "up", "--port", str(port), "--no-demo", *more]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(data), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        deadline = time.monotonic() + PATIENCE_S
        while of_this_folder(data) and time.monotonic() < deadline:
            time.sleep(0.2)


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"the launcher ended without saying {text!r}:\n{seen}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "state"


def answers(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
        return bool(json.load(answer)["status"] == "ok")


def lives_without_its_broker(data: Path, port: int, process: subprocess.Popen[str]) -> None:
    victim = broker_of(data)
    assert victim
    os.kill(victim, signal.SIGKILL)
    assert answers(port)
    wait_for(process, "broker ended")
    deadline = time.monotonic() + PATIENCE_S
    while broker_of(data) in (None, victim) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert broker_of(data) not in (None, victim)


def refuses_a_second_one(data: Path) -> None:
    second = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", str(free_port())], cwd=ROOT, env=environment(data),
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_it_answers_without_its_broker_and_leaves_nothing_however_it_ends(data: Path, ending: signal.Signals) -> None:
    """Stopped, and then started in the same folder and killed."""
    port = free_port()
    with launched(data, port) as process:
        said = wait_for(process, "sets a password and signs in")
        assert f"http://localhost:{port}/join/" in said
        assert answers(port)
        refuses_a_second_one(data)
        lives_without_its_broker(data, port, process)
        os.killpg(process.pid, ending)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert "Stopped." in rest
        assert process.returncode == 0
        assert of_this_folder(data) == []
    with launched(data, port, "--host", "127.0.0.2") as process:
        said = wait_for(process, "sets a password and signs in")
        assert f"http://127.0.0.2:{port}/join/" in said, "its own address is answered to without ALLOWED_HOSTS"
        assert len(of_this_folder(data)) > 3
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        deadline = time.monotonic() + PATIENCE_S
        while (left := of_this_folder(data)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []


def test_which_names_are_answered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "own_names", lambda: ["192.168.1.5", "lab"])
    usual = ["localhost", "127.0.0.1"]
    assert addresses.allowed("127.0.0.1", usual, said=False) == usual
    assert addresses.allowed("192.168.1.5", usual, said=False) == [*usual, "192.168.1.5"]
    everywhere = addresses.allowed("0.0.0.0", usual, said=False)
    assert everywhere == [*usual, "192.168.1.5", "lab"]
    assert addresses.probe("0.0.0.0", 80) == "http://127.0.0.1:80"
    reach, more = addresses.remarks("0.0.0.0", 80, everywhere)
    assert reach == "Other machines reach it at http://192.168.1.5:80 or http://lab:80."
    assert more.startswith("For another name set ALLOWED_HOSTS=localhost,")
    told = addresses.allowed("192.168.1.5", ["lab"], said=True)
    assert told == ["lab"], "what ALLOWED_HOSTS says is all"
    assert "add 192.168.1.5 to ALLOWED_HOSTS" in addresses.remarks("192.168.1.5", 80, told)[0]
    assert addresses.askable(["*", ".example.org"]) == "example.org"


def test_a_taken_port_is_said_in_one_line(data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "up", "--port", str(port)], cwd=ROOT, env=environment(data),
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"Port {port} cannot be used" in done.stderr
    assert "make run PORT=" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_grew_large_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its child goes on writing into it, and when it is started again."""
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 1000)
    log = tmp_path / "web.log"
    log.write_text("old\n" * 300)
    go = tmp_path / "go"
    child = processes.Child("web", ["sh", "-c", f"echo one; until [ -e {go} ]; do sleep 0.02; done; echo two"], log)
    child.start({"PATH": os.environ["PATH"]})
    assert (tmp_path / "web.log.1").read_text() == "old\n" * 300
    deadline = time.monotonic() + PATIENCE_S
    while log.read_text() != "one\n" and time.monotonic() < deadline:
        time.sleep(0.01)
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 3)
    child.trim_log()
    go.touch()
    assert child.process is not None
    child.process.wait(PATIENCE_S)
    assert (tmp_path / "web.log.1").read_text() == "one\n"
    assert log.read_text() == "two\n", "it appends: no hole is left where the old lines were"
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 1000)
    child.trim_log()
    assert log.read_text() == "two\n"


def test_training_has_a_worker_of_its_own_where_torch_is_and_says_what_to_install_where_not() -> None:
    from leukoweb.management.commands import up

    with_torch, without = dict(up.workers(torch=True)), dict(up.workers(torch=False))
    assert with_torch == {"ops": "ops", "infer": "infer", "train": "train"}
    assert without == {"ops": "ops", "infer": "infer,train"}, "a training then fails at once instead of waiting"
    assert "pip install" in up.NO_TORCH
    command = up.worker_command("train", "train")
    assert command[-1] == "train" or "-Q train -c 1" in " ".join(command)

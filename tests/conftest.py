"""Fixtures that every test may use, and what a missing tool means."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, TransactionTestCase

from tests.support.once import Once, made_once

# The browser's driver keeps an event loop in the test's thread; Django would take our tests for asynchronous code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
# One test process a core: a pool of threads in each would only make them wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BACKEND = "django.contrib.auth.backends.ModelBackend"
MAY_BE_ABSENT = "LEUKOWEB_SHARED"  # golden and real data outside the repository


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With REQUIRE_ALL=1 a skip is a failure, unless it only misses data that the project does not carry."""
    outcome: Any = yield
    report = outcome.get_result()
    if os.environ.get("REQUIRE_ALL") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if MAY_BE_ABSENT not in reason:
            report.outcome = "failed"
            report.longrepr = f"REQUIRE_ALL=1, but this was skipped: {reason}"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> Iterator[None]:
    """SQLite tests run on a file, as the product does, so that threads and processes can race; nothing is fsynced."""
    from django.conf import settings

    config = settings.DATABASES["default"]
    folder = Path(tempfile.mkdtemp(prefix="leukoweb-test-"))
    if config["ENGINE"].endswith("sqlite3"):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        config.setdefault("TEST", {})["NAME"] = str(folder / f"test-{worker}.sqlite3")
        config["OPTIONS"]["init_command"] = config["OPTIONS"]["init_command"].replace("FULL", "OFF")
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of this run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def once(common_folder: Path) -> Once:
    """``once("name", make)`` -> a folder to read, filled by ``make(folder)`` in one process of this run."""
    return partial(made_once, common_folder)


@pytest.fixture(scope="session")
def migrated_database(common_folder: Path, django_db_modify_db_settings: None, django_db_blocker: Any) -> Any:
    from tests.support.database import Migrated

    with django_db_blocker.unblock():
        return Migrated(common_folder if "PYTEST_XDIST_WORKER" in os.environ else None)


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool, migrated_database: Any) -> bool:
    return django_db_keepdb or migrated_database.copied


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, migrated_database: Any, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Migrations run once for all test processes; a test that used real transactions leaves the database as it was."""
    from django.db import connection

    from tests.support.database import copy_of_database, teardown_of

    whole = tmp_path_factory.mktemp("database") / "whole.sqlite3"
    with django_db_blocker.unblock():
        if connection.vendor == "sqlite":
            copy_of_database(whole)
        migrated_database.publish()
    TransactionTestCase._fixture_teardown = teardown_of(whole)  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> Path:
    """Every test has state of its own and no broker."""
    settings.DATA_DIR = tmp_path
    settings.BLOB_ROOT = tmp_path / "blobs"
    settings.CACHE_ROOT = tmp_path / "cache"
    settings.CELERY_BROKER_URL = ""
    settings.WHITENOISE_AUTOREFRESH = True  # otherwise every client of every test begins by listing all static files
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return tmp_path


@pytest.fixture
def make_user(db: None) -> Callable[..., Any]:
    """``make_user("pathologist")`` -> a user with the password "correct horse"."""
    from leukoweb.core.models import User

    def make(role: str, username: str = "") -> Any:
        n = User.objects.count()
        return User.objects.create_user(username=username or f"{role}{n}", password="correct horse", role=role)

    return make


@pytest.fixture
def technician(make_user: Callable[..., Any]) -> Any:
    return make_user("technician")


@pytest.fixture
def pathologist(make_user: Callable[..., Any]) -> Any:
    return make_user("pathologist")


@pytest.fixture
def coordinator(make_user: Callable[..., Any]) -> Any:
    return make_user("coordinator")


@pytest.fixture
def admin_user(make_user: Callable[..., Any]) -> Any:
    return make_user("admin")


@pytest.fixture
def as_role(make_user: Callable[..., Any]) -> Callable[[str], Client]:
    """A client that is signed in as a new user of this role; the user is ``client.user``."""

    def sign_in(role: str) -> Client:
        client = Client()
        client.user = make_user(role)  # type: ignore[attr-defined]
        client.force_login(client.user, backend=BACKEND)  # type: ignore[attr-defined]
        return client

    return sign_in


@pytest.fixture
def run_jobs(db: None) -> Callable[[], int]:
    """Do all queued jobs here and now; returns how many."""
    from leukoweb.core.jobs.execute import execute
    from leukoweb.core.jobs.ledger import next_waiting
    from leukoweb.core.jobs.registry import QUEUES

    def run() -> int:
        count = 0
        while (job_id := next_waiting(list(QUEUES))) is not None:
            execute(job_id)
            count += 1
        return count

    return run


@pytest.fixture
def job_worker(transactional_db: None) -> Iterator[None]:
    """A worker in a thread for as long as the test runs; for browser tests."""
    from django.db import connections

    from leukoweb.core.jobs.execute import execute
    from leukoweb.core.jobs.ledger import next_waiting
    from leukoweb.core.jobs.registry import QUEUES

    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.wait(0.05):
                if (job_id := next_waiting(list(QUEUES))) is not None:
                    execute(job_id)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(timeout=60)
    assert not thread.is_alive(), "a job did not end"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of golden and real data that the project does not carry."""
    folder = os.environ.get(MAY_BE_ABSENT, "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"{MAY_BE_ABSENT} does not name a folder")
    return Path(folder)


CHROMIUM_FLAGS = (  # noqa: SIM905
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium of this machine (CHROMIUM names another), best without its windows: that takes a quarter less time."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not path:
        pytest.skip("no Chromium on this machine (install one, or set CHROMIUM to its path)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def browser_as(browser: Any, live_server: Any, make_user: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """``browser_as("technician")`` -> a page of the live server, signed in. Script errors and CSP violations fail."""
    from django.conf import settings

    contexts, troubles = [], []

    def open_page(role: str, **options: Any) -> Any:
        client = Client()
        user = make_user(role)
        client.force_login(user, backend=BACKEND)
        context = browser.new_context(base_url=live_server.url, **options)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
        page.on("console", lambda m: troubles.append(m.text) if "Content Security Policy" in m.text else None)
        page.user = user
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles, troubles

"""From the first version's schema to today's, with rows in every table: nothing is lost, the record goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from leukoweb.core.guards import missing_guards
from tests.browser.sorting_support import cohort_with_fields, sorting_task

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def empty_database(tmp_path: Path) -> Any:
    """Environment of a process with an empty database of the kind that this run is about."""
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    environment.pop("DATABASE_URL", None)
    if not settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        yield environment
        return
    import psycopg

    url, name = os.environ["DATABASE_URL"], f"upgrade_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        yield {**environment, "DATABASE_URL": f"{url.rpartition('/')[0]}/{name}"}
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.both_databases
def test_the_first_versions_database_becomes_todays(empty_database: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tests.support.upgrade"]
    done = subprocess.run(command, cwd=ROOT, env=empty_database, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["differences"] == []
    assert told["tables"] >= 18
    assert told["rows"] >= 50
    assert told["chain"] == [True, 6]
    assert told["missing_guards"] == []
    assert told["update_refused"]
    assert told["reviews"] == {"S0": "waiting", "S1": "passed"}  # drawn slides need no person's review
    assert told["result"] == "CHRONIC"


def test_a_lost_row_and_a_lost_column_would_be_named() -> None:
    from tests.support.upgrade import differences

    before = {"a": (["id", "x"], [("1", "2")]), "b": (["id"], []), "c": (["id", "x"], [("1", "2")])}
    after = {"a": (["id", "x"], [("1", "3")]), "c": (["id"], [("1",)])}
    assert differences(before, after) == ["a: rows differ", "b is gone", "c lost ['x']"]


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_a_table_that_a_trigger_names_is_made_anew_and_keeps_its_rows(make_user: Any) -> None:
    """SQLite makes a table anew to add a column, and renames it; triggers of other tables stand in the way of that."""
    cohort = cohort_with_fields(2)
    task = sorting_task(cohort, [make_user("pathologist")])
    call_command("migrate", "cases", "0011", verbosity=0)
    assert missing_guards() == []
    call_command("migrate", verbosity=0)
    assert missing_guards() == []
    assert [seat.items.count() for seat in task.seats.all()] == [2]
    connection.check_constraints()

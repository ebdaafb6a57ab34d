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

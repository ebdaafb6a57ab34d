"""Short faults begin with the tables of the test database; migrating takes longer than they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chaos.stack import Stack


@pytest.fixture
def migrated(tmp_path: Path, db: None) -> Stack:
    """A stack on SQLite whose tables are there already, where the suite itself runs on SQLite."""
    from django.db import connection

    stack = Stack(tmp_path / "state")
    if connection.vendor == "sqlite":
        stack.take_tables_of(Path(str(connection.settings_dict["NAME"])))
    return stack

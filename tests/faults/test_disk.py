"""A disk that is full or read-only: people are told, nothing is half-written, and it goes on when there is room."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.faults.test_upload_kills import picture
from tests.support.chaos.disk import small_disk
from tests.support.chaos.stack import Stack
from tests.support.chaos.uploads import Uploader
from tests.support.chaos.web import Web

pytestmark = pytest.mark.faults
FILES = dict(picture(number) for number in (1, 2))


def error(answer: bytes) -> tuple[str, str]:
    said = json.loads(answer)["error"]
    return said["code"], said["message"]


def leftovers(stack: Stack) -> tuple[int, int]:
    """Files of the store, and those that are no complete blob."""
    names = [path.name for path in (stack.data / "blobs").glob("??/??/*")]
    return len(names), sum(not re.fullmatch(r"[0-9a-f]{64}", name) for name in names)


def test_a_full_and_a_read_only_store_of_files(migrated: Stack) -> None:
    with small_disk(migrated.data / "blobs", megabytes=4) as disk:
        uploader = Uploader(migrated)
        with Web(migrated).running():
            status, batch = uploader.announce(FILES)
            assert status == 201
            first, second = [(uploader.address(batch, item), FILES[item["path"]]) for item in batch["items"]]
            assert uploader.put(*first)[0] == 200
            assert "Nothing can be written" not in uploader.health()

            disk.fill()
            status, answer = uploader.put(*second)
            assert (status, *error(answer)) == (
                507, "E_STORAGE", "The file could not be stored: No space left on device."
            )  # fmt: skip
            assert "Nothing can be written: No space left on device." in uploader.health()
            assert leftovers(migrated) == (1, 0)
            assert uploader.ask("GET", f"/slides/{uploader.slide}/")[0] == 200, "what is stored can be seen"

            disk.clear()
            disk.read_only()
            status, answer = uploader.put(*second)
            assert (status, *error(answer)) == (
                507, "E_STORAGE", "The file could not be stored: Read-only file system."
            )  # fmt: skip
            assert "Nothing can be written: Read-only file system." in uploader.health()

            disk.writable()
            assert uploader.put(*second)[0] == 200
        assert leftovers(migrated) == (2, 0)
        assert migrated.rows("SELECT count(*) FROM cases_hpfimage") == [(2,)]
        assert "all there" in migrated.manage("verify_media").stdout


def test_a_full_disk_under_the_database(tmp_path: Path, migrated: Stack) -> None:
    """SQLite on a disk without room: refused in words, undamaged, and it goes on when there is room."""
    with small_disk(tmp_path / "small", megabytes=24) as disk:
        stack = Stack(disk.folder / "state")
        shutil.copyfile(migrated.data / "db.sqlite3", stack.data / "db.sqlite3")
        stack.migrated = True
        uploader = Uploader(stack)
        with Web(stack).running():
            disk.fill()
            status, answer = uploader.ask("POST", "/api/v1/uploads/", announcement(uploader), "application/json")
            assert (status, *error(answer)) == (
                507, "E_STORAGE", "The server's disk is full, so nothing was saved."
            )  # fmt: skip
            assert "Nothing can be written" in uploader.health()
            disk.clear()
            status, batch = uploader.announce(FILES)
            assert status == 201
            for item in batch["items"]:
                assert uploader.put(uploader.address(batch, item), FILES[item["path"]])[0] == 200
        assert stack.rows("PRAGMA integrity_check") == [("ok",)]
        assert stack.rows("SELECT count(*) FROM cases_uploadbatch") == [(1,)], "the refused one left nothing"
        assert "intact" in stack.manage("verify_audit").stdout


def announcement(uploader: Uploader) -> bytes:
    """So many files that their rows need new pages of the database."""
    rows = [{"path": f"{n:0150d}.jpg", "size": 1000 + n, "sha256": f"{n:064x}"} for n in range(900)]
    return json.dumps({"slide": uploader.slide, "files": rows}).encode()

"""A backup taken under load restores into an empty installation, where every value is compared."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from cases import services
from cases.models import HpfImage
from leukoweb.backup import database
from leukoweb.backup.database import BackupFailed
from leukoweb.backup.digests import table_digests
from leukoweb.backup.media import files_copy
from leukoweb.backup.place import held
from leukoweb.backup.service import backup_check, backup_take, backups_tidy
from leukoweb.core.audit import audit_record
from leukoweb.core.models import AuditEvent
from leukoweb.core.storage import BlobStore, blobs
from tests.cases.shell.pictures import picture

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def image(technician: Any, admin_user: Any) -> Any:
    cohort = services.cohort_create(actor=technician, name="External", purpose="external")
    patient = services.patient_create(actor=technician, cohort=cohort, code="P-1")
    slide = services.slide_create(actor=technician, patient=patient, code="P-1-S1")
    services.reference_add(actor=admin_user, patient=patient, diagnosis="AML", source="flow cytometry")
    return services.image_add(actor=technician, slide=slide, data=picture(1), name="field.png").image


class Elsewhere:
    """An empty installation of the same kind of database, and ``manage.py`` in it."""

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, "DATA_DIR": str(folder), "LOG_LEVEL": "ERROR", "PYTHONPATH": str(ROOT)}
        if connection.vendor == "postgresql":
            url = urlsplit(os.environ["DATABASE_URL"])
            self.environment["DATABASE_URL"] = urlunsplit(url._replace(path=f"/{self.name}"))

    name = "restored"

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    def make(sql: str) -> None:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(sql)

    make(f"CREATE DATABASE {Elsewhere.name}")
    yield Elsewhere(tmp_path / "elsewhere")
    make(f"DROP DATABASE {Elsewhere.name}")


def write_until(stop: threading.Event, acknowledged: list[int]) -> None:
    try:
        while not stop.is_set():
            acknowledged.append(audit_record(actor=None, action="test.load", target=f"n:{len(acknowledged)}").pk)
            stop.wait(0.005)  # the backup has to get a turn on a busy machine too
    finally:
        connections.close_all()


def test_tables_are_read_piece_by_piece_with_the_same_digests(image: Any) -> None:
    """On PostgreSQL by a cursor of the server; the digests are those of a cursor of the client, as in older backups."""

    def at_once(sql: str) -> Iterator[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            yield from cursor.fetchall()

    with transaction.atomic():
        assert table_digests(database._rows) == table_digests(at_once)
        if connection.vendor == "postgresql":
            rows = database._rows("SELECT n FROM generate_series(1, 5000) n ORDER BY n")
            assert next(rows) == (1,)
            assert list(at_once("SELECT count(*) FROM pg_cursors")) == [(1,)]
            assert sum(1 for _ in rows) == 4999


def test_a_backup_under_load_restores_value_by_value(image: Any, elsewhere: Elsewhere, tmp_path: Path) -> None:
    stop, acknowledged = threading.Event(), []
    writer = threading.Thread(target=write_until, args=(stop, acknowledged))
    writer.start()
    while len(acknowledged) < 20:
        stop.wait(0.01)
    before = len(acknowledged)
    report = backup_take(tmp_path / "backups")
    stop.set()
    writer.join()
    assert (report.n_files, report.n_copied, report.missing) == (1, 1, [])

    # What a restore that was killed on its way leaves behind: files, and a database without a table.
    left = BlobStore(tmp_path / "elsewhere" / "blobs")
    files_copy([image.content_sha256], blobs(), left)
    (left.path(image.content_sha256).parent / ".tmp-half").write_bytes(b"half")
    done = elsewhere.manage("restore", str(report.folder))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "Restored and verified" in done.stdout
    assert elsewhere.manage("verify_audit").returncode == 0
    assert "1 images, all there" in elsewhere.manage("verify_media").stdout
    held = json.loads((report.folder / "manifest.json").read_text())["tables"]["core_auditevent"]["rows"]
    others = AuditEvent.objects.exclude(action__in=["test.load", "backup.take"]).count()
    assert held >= before + others  # nothing that was acknowledged before the backup is missing

    again = elsewhere.manage("restore", str(report.folder))
    assert (again.returncode, "not empty" in again.stderr, "Traceback" in again.stderr) == (2, True, False)


def test_a_later_backup_copies_only_what_is_new(image: Any, tmp_path: Path, monkeypatch: Any) -> None:
    first = backup_take(tmp_path / "b")
    blobs().put(b"weights")
    second = _later(tmp_path / "b", monkeypatch)
    assert (first.n_copied, second.n_copied, second.n_files) == (1, 1, 2)
    assert backup_check(first.folder) == backup_check(second.folder) == []
    for name in second.folder.iterdir():
        name.unlink()
    with pytest.raises(BackupFailed, match="no complete backup; nothing was removed"):
        backups_tidy(tmp_path / "b")  # a killed backup, or one that is deleted by half
    second.folder.rmdir()
    for path in (tmp_path / "b" / "blobs").glob("??/??/*"):
        os.utime(path, (1, 1))
    assert backups_tidy(tmp_path / "b") == 1
    assert backup_check(first.folder) == []


def _later(folder: Path, monkeypatch: Any) -> Any:
    """A backup one second on: folders are named by the second."""
    import time_machine

    with time_machine.travel("2030-01-01 00:00Z"):
        return backup_take(folder)


def test_damage_is_named_and_a_damaged_backup_is_not_restored(
    image: Any, elsewhere: Elsewhere, tmp_path: Path, capsys: Any
) -> None:
    report = backup_take(tmp_path / "b")
    stored = next((tmp_path / "b" / "blobs").glob("??/??/*"))
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    with pytest.raises(CommandError):
        call_command("backup", str(report.folder), "--check")
    assert stored.name in capsys.readouterr().err
    done = elsewhere.manage("restore", str(report.folder))
    assert (done.returncode, "damaged" in done.stderr) == (2, True)
    assert not (tmp_path / "elsewhere" / "blobs").exists()

    # One lost picture must not cost the database.
    done = elsewhere.manage("restore", str(report.folder), "--without-damaged")
    assert (done.returncode, stored.name in done.stderr) == (1, True)
    assert elsewhere.manage("verify_audit").returncode == 0

    call_command("backup", str(tmp_path / "b"), "--verify")
    assert backup_check(report.folder) == [], "copied anew, for the older backup as well"


def test_a_damaged_live_file_is_never_kept_as_a_saved_one(image: Any, tmp_path: Path) -> None:
    stored = blobs().path(image.content_sha256)
    stored.chmod(0o640)
    stored.write_bytes(b"rotten")
    report = backup_take(tmp_path / "b")
    assert (report.missing, report.n_copied) == ([image.content_sha256], 0)
    assert not list((tmp_path / "b" / "blobs").glob("??/??/*"))
    assert backup_check(report.folder) == []


@pytest.mark.parametrize("live", [b"", b"cut short", None])
def test_the_last_intact_copy_is_never_overwritten(image: Any, tmp_path: Path, live: bytes | None) -> None:
    """The live file was cut short, or is lost: what the pool has is all there is of it."""
    name = image.content_sha256
    report = backup_take(tmp_path / "b")
    stored = blobs().path(name)
    stored.chmod(0o640)
    if live is None:
        stored.unlink()
    else:
        stored.write_bytes(live)
    pool = BlobStore(tmp_path / "b" / "blobs")
    for verify in (False, True):
        assert files_copy([name], blobs(), pool, verify=verify) == (0, [])
        assert pool.intact(name)
    assert backup_check(report.folder) == []


def test_a_file_system_without_locks_takes_backups_all_the_same(
    image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("leukoweb.backup.place.fcntl.flock", unsupported)
    assert backup_check(backup_take(tmp_path / "b").folder) == []


def test_the_live_files_are_no_place_for_backups(image: Any, settings: Any, tmp_path: Path) -> None:
    data = Path(settings.BLOB_ROOT).parent
    for place in (data, Path(settings.BLOB_ROOT)):
        with pytest.raises(BackupFailed, match="holds the live files"):
            backup_take(place)
    with pytest.raises(BackupFailed, match="holds the live files"):
        backups_tidy(data)
    assert blobs().intact(image.content_sha256)
    with pytest.raises(BackupFailed, match="holds no backups"):
        backups_tidy(tmp_path / "elsewhere")
    backup_take(data / "backups")


def test_two_commands_do_not_work_in_one_folder(image: Any, tmp_path: Path) -> None:
    report = backup_take(tmp_path / "b")
    with held(tmp_path / "b"):
        for deed in (backup_take, backups_tidy):
            with pytest.raises(BackupFailed, match="Another backup"):
                deed(tmp_path / "b")
    assert [path.name for path in sorted((tmp_path / "b").glob("2*"))] == [report.folder.name]
    assert backups_tidy(tmp_path / "b") == 0


def test_a_missing_file_is_reported_and_the_rest_is_saved(image: Any, tmp_path: Path, capsys: Any) -> None:
    blobs().purge(image.content_sha256)
    with pytest.raises(CommandError, match="1 stored files are missing or damaged"):
        call_command("backup", str(tmp_path / "b"))
    assert image.content_sha256 in capsys.readouterr().err
    assert len(list((tmp_path / "b").glob("*/manifest.json"))) == 1
    assert AuditEvent.objects.get(action="backup.take").data["missing"] == 1, "which the page of health tells"


def test_what_is_removed_while_a_backup_is_taken_is_not_missing(image: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """It was listed, perhaps even looked at, and gone before its turn came."""
    names, copy_in = BlobStore.names, BlobStore.copy_in

    def removed_before_its_turn(self: BlobStore, sha256: str, source: BlobStore) -> None:
        source.purge(sha256)
        HpfImage.objects.all().delete()
        copy_in(self, sha256, source)

    monkeypatch.setattr(BlobStore, "copy_in", removed_before_its_turn)
    assert list(names(blobs())) == [image.content_sha256]
    report = backup_take(tmp_path / "b")
    assert (report.n_files, report.missing) == (0, [])
    assert backup_check(report.folder) == []


def test_a_backup_says_which_database_it_saved(image: Any, tmp_path: Path, capsys: Any) -> None:
    """From cron, without the server's environment, it would save another one and be content."""
    call_command("backup", str(tmp_path / "b"))
    said = capsys.readouterr().out
    config = connection.settings_dict
    assert (f"database SQLite {config['NAME']} and 1 files" if connection.vendor == "sqlite" else " at ") in said
    if config["PASSWORD"]:
        assert config["PASSWORD"] not in said


def test_no_database_is_said_in_one_line(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "LEUKOWEB_MODE")}
    done = subprocess.run(
        [sys.executable, "manage.py", "backup", str(tmp_path / "b")], cwd=ROOT, capture_output=True, text=True,
        env=env | {"DATA_DIR": str(tmp_path / "none")}, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"There is no database at {tmp_path / 'none' / 'db.sqlite3'}." in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "b").glob("2*"))


def test_a_folder_without_a_manifest_is_no_backup(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no manifest"):
        call_command("backup", str(tmp_path), "--check")
    (tmp_path / "manifest.json").write_text("{]")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("restore", str(tmp_path))

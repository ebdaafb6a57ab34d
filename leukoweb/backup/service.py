"""Taking a backup and restoring one. The database first, then the files: so every row of the dump has its file.

Layout of a backup folder::

    blobs/aa/bb/<sha256>              the pool of stored files, shared by all backups in the folder
    20261126T101500Z/database.*       one consistent dump
    20261126T101500Z/manifest.json    what it holds, written last: without it the backup is not complete
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from cases.models import HpfImage
from inference.models import ModelVersion
from leukoweb.backup.database import (
    BackupFailed,
    database_dump,
    database_load,
    database_place,
    live_digests,
    require_empty_database,
)
from leukoweb.backup.media import files_copy, files_damaged
from leukoweb.backup.place import held, pool_of
from leukoweb.core.audit import audit_record, chain_verify
from leukoweb.core.guards import install_guards, missing_guards
from leukoweb.core.storage import BlobStore, blobs

SCHEMA = "leukoweb/backup/1"
NAMED = "%Y%m%dT%H%M%SZ"  # backups, by their time in UTC
_BACKUP = re.compile(r"\d{8}T\d{6}Z")
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class BackupReport:
    """``folder`` of the backup, files it needs, how many of them were copied, and names that no store has intact.

    ``place`` names the database that was saved.
    """

    folder: Path
    place: str
    n_files: int
    n_copied: int
    missing: list[str]


def backup_take(destination: Path, *, verify: bool = False) -> BackupReport:
    """Write a backup below ``destination``; the installation may be in use.

    A file that the live store lacks, or has only damaged, does not stop the backup (the rest is worth saving); it is
    reported. ``verify`` hashes the whole pool and copies anew what is no longer what its name says.
    Pixels of a patient who was withdrawn stay in older backups: delete those backups, then `backup --tidy`.
    """
    folder = destination / datetime.now(UTC).strftime(NAMED)
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with held(destination):
            folder.mkdir()
            return _take(folder, BlobStore(pool_of(destination)), verify=verify)
    except FileExistsError as error:
        raise BackupFailed(f"{folder} exists already.", hint="Wait a second, then try again.") from error
    except OSError as error:
        raise BackupFailed(f"{folder} cannot be written: {error.strerror}.") from error


def _take(folder: Path, pool: BlobStore, *, verify: bool) -> BackupReport:
    try:
        dump, digests = database_dump(folder)
        store = blobs()
        names = sorted(set(store.names()) | _required_names())  # after the dump: every file of its rows is among these
        copied, absent = files_copy(names, store, pool, verify=verify)
        # What was withdrawn or removed while this ran is no longer asked for and is not missing.
        wanted = _required_names() if absent else set()
        gone = {name for name in absent if name not in wanted and store.size(name) is None}
        names, missing = sorted(set(names) - gone), [name for name in absent if name not in gone]
        manifest = {
            "schema": SCHEMA, "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "database": {"file": dump.name, "vendor": connection.vendor, "sha256": _sha256(dump)},
            "migrations": sorted("/".join(key) for key in MigrationRecorder(connection).applied_migrations()),
            "tables": digests, "files": sorted(set(names) - set(missing)), "missing": missing,
        }  # fmt: skip
        _write(folder / MANIFEST, manifest)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    facts = {"folder": folder.name, "files": len(names), "missing": len(missing)}
    audit_record(actor=None, action="backup.take", data=facts)
    return BackupReport(folder, database_place(), len(names), copied, missing)


def backup_read(folder: Path) -> dict[str, Any]:
    """The manifest of a complete backup."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BackupFailed(f"{folder} is not a complete backup: it has no {MANIFEST}.") from error
    except (OSError, ValueError) as error:
        raise BackupFailed(f"{folder / MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise BackupFailed(f"{folder / MANIFEST} is not of the schema {SCHEMA}.")
    return manifest


def backup_check(folder: Path) -> list[str]:
    """What is wrong with a backup; empty: its dump and every file have their hashes."""
    manifest = backup_read(folder)
    problem = _dump_problem(folder, manifest)
    damaged = files_damaged(manifest["files"], BlobStore(pool_of(folder.parent)))
    return [*([problem] if problem else []), *(f"file {name} is missing or damaged" for name in damaged)]


def _dump_problem(folder: Path, manifest: dict[str, Any]) -> str:
    dump = folder / manifest["database"]["file"]
    intact = dump.is_file() and _sha256(dump) == manifest["database"]["sha256"]
    return "" if intact else f"{dump.name} is missing or damaged"


def backup_restore(folder: Path, *, without_damaged: bool = False) -> list[str]:
    """Put a backup into this installation, which must be empty, and return what the drill found wrong.

    A backup with a damaged file is refused, because an older one may be whole; ``without_damaged`` restores everything
    else, and the drill names what is lost. A damaged dump is refused always.

    The files go first and the database last, in one transaction: a restore that was killed on the way leaves an empty
    database and can be started again. The drill compares every append-only table value by value with the moment of
    the backup, walks the audit chain, looks for the triggers and hashes every stored file.
    """
    Path(settings.DATA_DIR).mkdir(parents=True, exist_ok=True)
    require_empty_database()
    manifest = backup_read(folder)
    pool = BlobStore(pool_of(folder.parent))
    damaged = set(files_damaged(manifest["files"], pool))
    if problem := _dump_problem(folder, manifest):
        raise BackupFailed(f"The backup is damaged and was not restored: {problem}.", hint="Try an older one.")
    if damaged and not without_damaged:
        raise BackupFailed(
            f"The backup is damaged and was not restored: file {min(damaged)} is missing or damaged.",
            hint=f"{len(damaged)} of {len(manifest['files'])} files. Try an older one, or --without-damaged.",
        )
    files_copy(sorted(set(manifest["files"]) - damaged), pool, blobs())
    database_load(folder / manifest["database"]["file"])
    if missing_guards():
        install_guards()
    return restore_drill(manifest)


def restore_drill(manifest: dict[str, Any]) -> list[str]:
    """Compare this installation with a backup's manifest; empty: nothing differs."""
    now, then = live_digests(), manifest["tables"]
    found = [f"table {name} differs from the backup" for name in sorted(then) if now.get(name) != then[name]]
    report = chain_verify()
    if not report.intact:
        found.append(f"the audit chain breaks at event {report.broken_id}: {report.problem}")
    found += [f"trigger {name} is missing" for name in missing_guards()]
    return found + [f"file {name} is missing or damaged" for name in files_damaged(manifest["files"], blobs())]


def backups_tidy(destination: Path) -> int:
    """Delete files of the pool that no complete backup names; returns how many.

    Raises
    ------
    BackupFailed
        There is no complete backup (so every file would go), one without a manifest (a kill left it; its files
        would go), one that cannot be read, or another command works in the folder.
    """
    if not pool_of(destination).is_dir():
        raise BackupFailed(f"{destination} holds no backups.", hint="Give the folder that `backup` was given.")
    with held(destination):
        kept: set[str] = set()
        found = [path for path in sorted(destination.iterdir()) if path.is_dir() and _BACKUP.fullmatch(path.name)]
        if not found:
            raise BackupFailed(f"{destination} holds no complete backup; nothing was removed.")
        for folder in found:
            if not (folder / MANIFEST).exists():
                raise BackupFailed(
                    f"{folder} is no complete backup; nothing was removed.", hint="Delete that folder, then try again."
                )
            kept.update(backup_read(folder)["files"])
        return BlobStore(pool_of(destination)).sweep(kept, older_than_s=3600)


def _required_names() -> set[str]:
    """Files that must be there: images of live patients and weights. A missing one is reported."""
    images = HpfImage.objects.filter(slide__patient__withdrawn_at=None).values_list("content_sha256", flat=True)
    weights = ModelVersion.objects.values_list("weights_sha256", "onnx_sha256")
    return {*images, *(name for pair in weights for name in pair)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, manifest: dict[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)

"""The stored files of a backup. They are named by their hash and never change, so all backups share one pool."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from leukoweb.core.storage import BlobStore


def files_copy(names: Iterable[str], source: BlobStore, target: BlobStore) -> tuple[int, list[str]]:
    """Copy each named file that ``target`` lacks; returns (how many were copied, the names that ``source`` lacks)."""
    copied, missing = 0, []
    for name in names:
        if target.exists(name):
            continue
        if not source.exists(name):
            missing.append(name)
            continue
        _copy(source.path(name), target.path(name))
        copied += 1
    return copied, missing


def _copy(source: Path, target: Path) -> None:
    """Complete under its final name or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as file, source.open("rb") as content:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def files_damaged(names: Iterable[str], store: BlobStore) -> list[str]:
    """Names whose file is absent or no longer has its hash."""
    return [name for name in names if not store.exists(name) or _hash(store.path(name)) != name]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The stored files of a backup. They are named by their hash and never change, so all backups share one pool."""

from __future__ import annotations

from collections.abc import Iterable

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
        target.copy_in(name, source)
        copied += 1
    return copied, missing


def files_damaged(names: Iterable[str], store: BlobStore) -> list[str]:
    """Names whose file is absent or no longer has its hash."""
    return [name for name in names if not store.intact(name)]

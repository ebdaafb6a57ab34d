"""The stored files of a backup. They are named by their hash and never change, so all backups share one pool."""

from __future__ import annotations

from collections.abc import Iterable

from leukoweb.core.storage import BlobStore


def files_copy(
    names: Iterable[str], source: BlobStore, target: BlobStore, *, verify: bool = False
) -> tuple[int, list[str]]:
    """Copy each named file that ``target`` lacks, or has with another length than ``source``.

    Every copy is hashed; one that is not what its name says is taken away again, so that a damaged file is never kept
    as a saved one. ``verify`` hashes what ``target`` has already as well, and copies it anew where it is damaged.

    Returns
    -------
    How many were copied, and the names of which ``target`` has no intact file now.
    """
    copied, missing = 0, []
    for name in names:
        size = source.size(name)
        if (
            target.exists(name)
            and (size is None or target.size(name) == size)
            and not (verify and not target.intact(name))
        ):
            continue
        if size is None:
            missing.append(name)
            continue
        target.copy_in(name, source)
        copied += 1
        if not target.intact(name):
            target.purge(name)
            copied -= 1
            missing.append(name)
    return copied, missing


def files_damaged(names: Iterable[str], store: BlobStore) -> list[str]:
    """Names whose file is absent or no longer has its hash."""
    return [name for name in names if not store.intact(name)]

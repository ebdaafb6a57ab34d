"""The stored files of a backup. They are named by their hash and never change, so all backups share one pool."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from leukoweb.core.exceptions import NotFound
from leukoweb.core.storage import BlobStore


def files_copy(
    names: Iterable[str], source: BlobStore, target: BlobStore, *, verify: bool = False
) -> tuple[int, list[str]]:
    """Copy each named file that ``target`` has not intact; one with the length of ``source`` counts as intact unless
    ``verify`` is set.

    Every copy is hashed; one that is not what its name says is taken away again, so that a damaged file is never kept
    as a saved one. What ``target`` has intact is never touched: of a live file that was cut short it is all there is.

    Returns
    -------
    How many were copied, and the names of which ``target`` has no intact file now.
    """
    copied, missing = 0, []
    for name in names:
        size = source.size(name)
        trusted = not verify and size is not None and target.size(name) == size
        if trusted or target.intact(name):
            continue
        if size is not None:
            with contextlib.suppress(NotFound):  # gone since: a withdrawal does not wait for a backup
                target.copy_in(name, source)
            if target.intact(name):
                copied += 1
                continue
            target.purge(name)
        missing.append(name)
    return copied, missing


def files_damaged(names: Iterable[str], store: BlobStore) -> list[str]:
    """Names whose file is absent or no longer has its hash."""
    return [name for name in names if not store.intact(name)]

"""The folder that backups are written into: apart from the live files, and one command at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from leukoweb.backup.database import BackupFailed

LOCK = ".backup.lock"


def pool_of(destination: Path) -> Path:
    """The pool of stored files of all backups in ``destination``."""
    return destination / "blobs"


@contextmanager
def held(destination: Path) -> Iterator[None]:
    """Nobody else backs up into, or tidies, ``destination`` meanwhile.

    Raises
    ------
    BackupFailed
        Another command works there, or its pool would be the folder of the live files, which tidying would empty.
    """
    pool, live = pool_of(destination).resolve(), Path(settings.BLOB_ROOT).resolve()
    if pool == live or pool in live.parents or live in pool.parents:
        raise BackupFailed(
            f"{destination} holds the live files of this installation, so it cannot hold its backups too.",
            hint="Choose a folder apart from DATA_DIR, on another disk if you can.",
        )
    handle = os.open(destination / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise BackupFailed(f"Another backup works in {destination}.", hint="Wait until it has ended.") from error
    except OSError:
        pass  # a file system without locks: the operator's own timetable has to keep two backups apart
    try:
        yield
    finally:
        os.close(handle)

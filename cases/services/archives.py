"""An uploaded archive on its way: streamed to disk first, unpacked by a job."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Protocol

from django.db import transaction

from cases.models import UploadItem
from cases.services.uploads import ChecksumDiffers, archive_path
from leukoweb.core.exceptions import Conflict, StorageFull
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job, User

CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def archive_receive(*, actor: User, item: UploadItem, stream: Readable) -> Job:
    """Stream an announced archive to disk, compare it with the manifest and queue the job that unpacks it.

    The caller rings the bell. Sending it again while it waits returns the same job.

    Raises
    ------
    ChecksumDiffers
        Length or SHA-256 differ from what was announced.
    StorageFull
        The disk is full; nothing was kept.
    """
    if not item.batch.is_open:
        raise Conflict("This upload is closed.", code="E_LOCKED", hint="Start a new one.")
    if item.state == UploadItem.State.EXPECTED or not archive_path(item).is_file():
        stream_store(archive_path(item), stream, size_bytes=item.size_bytes, sha256=item.sha256)
    with transaction.atomic():
        job = job_create(
            kind="cases.ingest_archive", title=f"Unpack an archive into {item.batch.cohort}", payload={"item": item.pk},
            actor=actor, key=f"ingest:{item.pk}", total_units=item.members.count(),
        )  # fmt: skip
        item.state, item.job = UploadItem.State.RECEIVED, job
        item.code = item.message = item.hint = ""
        item.save(update_fields=["state", "job", "code", "message", "hint"])
    return job


def stream_store(target: Path, stream: Readable, *, size_bytes: int, sha256: str = "") -> None:
    """Write a body to ``target``, complete and flushed, or not at all.

    Raises
    ------
    ChecksumDiffers
        Length or SHA-256 differ from what was announced.
    StorageFull
        The disk is full; nothing was kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as file:
            size, found = _copy(stream, file, size_bytes)
            file.flush()
            os.fsync(file.fileno())
        if size != size_bytes or (sha256 and found != sha256):
            raise ChecksumDiffers(
                f"{size:,} bytes arrived with SHA-256 {found[:12]}..., {size_bytes:,} were announced.",
                hint="Send the archive again.",
            )
        os.replace(name, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("The disk is full.", hint="Free some space, then send the archive again.") from error
        raise
    finally:
        Path(name).unlink(missing_ok=True)


def _copy(stream: Readable, file: BinaryIO, announced: int) -> tuple[int, str]:
    """Copy at most one byte more than announced, so that an endless body ends here. Returns (bytes, SHA-256)."""
    digest, size = hashlib.sha256(), 0
    while size <= announced and (chunk := stream.read(min(CHUNK_BYTES, announced + 1 - size))):
        digest.update(chunk)
        file.write(chunk)
        size += len(chunk)
    return size, digest.hexdigest()

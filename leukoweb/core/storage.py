"""Content-addressed files: the name of a blob is the SHA-256 of its bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from django.conf import settings

from leukoweb.core.exceptions import NotFound, StorageFull


class BlobStore:
    """Write once, read often. A blob appears under its final name complete or not at all.

    Order of a write: temporary file in the same file system, fsync, rename, fsync of the folder; the caller writes
    its row last. So a kill leaves at most an orphan, never a row without a file; ``sweep`` removes orphans.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        if len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
            raise ValueError(f"not a SHA-256: {sha256!r}")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def exists(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def lost(self, contents: Iterable[str]) -> list[str]:
        """Those of many blobs that are not there, as far as that can be told at once (a bucket asks one by one)."""
        return [sha256 for sha256 in contents if not self.path(sha256).is_file()]

    def size(self, sha256: str) -> int | None:
        """Bytes of a blob; None if it is not there."""
        path = self.path(sha256)
        return path.stat().st_size if path.is_file() else None

    def open(self, sha256: str) -> tuple[IO[bytes], int]:
        """The blob as a stream, to be closed by the caller, and its size. NotFound if it is not there."""
        try:
            file = self.path(sha256).open("rb")
        except FileNotFoundError as error:
            raise _missing() from error
        return file, os.fstat(file.fileno()).st_size

    def read(self, sha256: str) -> bytes:
        stream, _ = self.open(sha256)
        with stream:
            return stream.read()

    def intact(self, sha256: str) -> bool:
        """Whether the blob is there and its bytes still have its hash."""
        try:
            stream, _ = self.open(sha256)
        except NotFound:
            return False
        with stream:
            return hash_of(stream) == sha256

    def internal_address(self, sha256: str) -> str:
        """Where the proxy finds the blob below its internal location; empty if only this process can send it."""
        return str(self.path(sha256).relative_to(self.root))

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its SHA-256. Storing the same bytes again is free."""
        sha256 = hashlib.sha256(data).hexdigest()
        target = self.path(sha256)
        if target.is_file() and target.stat().st_size == len(data):
            os.utime(target)  # young again: the sweep leaves it alone until its row is written
            return sha256
        try:
            self._write(target, lambda file: file.write(data))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise StorageFull(
                    f"The file could not be stored: {error.strerror}.",
                    hint="Tell your admin; upload it again when the server can store files.",
                ) from error
            raise
        return sha256

    def copy_in(self, sha256: str, source: BlobStore) -> None:
        """Take a blob over from another store, as it is; whether it is intact is asked elsewhere."""
        stream, _ = source.open(sha256)
        with stream:
            self._write(self.path(sha256), lambda file: shutil.copyfileobj(stream, file))

    def _write(self, target: Path, fill: Callable[[IO[bytes]], object]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
        try:
            with os.fdopen(handle, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o640)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def purge(self, sha256: str) -> None:
        """Remove a blob for good (a withdrawn patient's pixels)."""
        self.path(sha256).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        for path in sorted(self.root.glob("??/??/*")):
            if not path.name.startswith("."):
                yield path.name

    def sweep(self, keep: Iterable[str], *, older_than_s: float = 24 * 3600) -> int:
        """Delete temporary files and blobs that no row names and that are older than ``older_than_s``."""
        wanted, limit, removed = set(keep), time.time() - older_than_s, 0
        for path in self.root.glob("??/??/*"):
            if path.name not in wanted and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def hash_of(stream: IO[bytes]) -> str:
    """SHA-256 of what is left of a stream, read in pieces."""
    digest = hashlib.sha256()
    while piece := stream.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _missing() -> NotFound:
    return NotFound("The stored file is missing.", hint="Tell your admin: `manage.py verify_media`.")


def blobs() -> BlobStore:
    """The installation's store: a folder, or a bucket where S3_BUCKET names one."""
    if settings.S3["bucket"]:
        from leukoweb.core.buckets import bucket_store

        return bucket_store(Path(settings.BLOB_ROOT))
    return BlobStore(Path(settings.BLOB_ROOT))

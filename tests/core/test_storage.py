"""Content-addressed storage: all or nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from leukoweb.core.exceptions import NotFound, StorageFull
from leukoweb.core.storage import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_put_and_read_back(store: BlobStore) -> None:
    name = store.put(b"pixels")
    assert name == hashlib.sha256(b"pixels").hexdigest()
    assert store.read(name) == b"pixels"
    assert store.put(b"pixels") == name
    assert list(store.names()) == [name]


def test_a_short_file_is_replaced(store: BlobStore) -> None:
    name = store.put(b"pixels")
    store.path(name).write_bytes(b"pix")
    store.put(b"pixels")
    assert store.read(name) == b"pixels"


def test_full_disk_is_said_and_leaves_nothing(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="No space left"):
        store.put(b"pixels")
    assert [p for p in store.root.rglob("*") if p.is_file()] == []


def test_missing_blob_is_said(store: BlobStore) -> None:
    with pytest.raises(NotFound):
        store.read("0" * 64)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "G" * 64, "ab"])
def test_only_hashes_are_names(store: BlobStore, name: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        store.path(name)


def test_sweep_takes_old_orphans_only(store: BlobStore) -> None:
    kept, orphan, young = store.put(b"kept"), store.put(b"orphan"), store.put(b"young")
    left = store.path(orphan).parent / ".tmp-left"
    left.write_bytes(b"half")
    for path in (store.path(kept), store.path(orphan), left):
        os.utime(path, (time.time() - 90_000,) * 2)
    assert store.sweep([kept]) == 2
    assert sorted(store.names()) == sorted([kept, young])

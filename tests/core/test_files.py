"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from leukoweb.core.files import whole_file, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_written_to_gets_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="half way"), whole_file(path) as file:
        file.write(b"half")
        raise ValueError("half way")
    assert path.read_bytes() == b"old"
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.django_db
def test_a_thumbnail_is_served_where_it_cannot_be_kept(data_dir: Path, monkeypatch: Any) -> None:
    from cases.services.content import thumbnail_of
    from leukoweb.core.storage import blobs
    from tests.cases.catalogue import JPEG

    sha256 = blobs().put(JPEG)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cases.services.content.write_whole", full)
    assert thumbnail_of(sha256)[:4] == b"RIFF"
    assert not list((data_dir / "cache").rglob("*.webp"))

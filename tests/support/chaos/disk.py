"""A small file system of its own, to be filled or made read-only. Needs root, as containers of a test have it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / ".ballast"

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.folder).free

    def fill(self, *, leave: int = 0) -> None:
        """Take all space but ``leave`` bytes."""
        with self._ballast.open("ab") as file:
            while self.free > leave:
                try:
                    file.write(b"\0" * min(self.free - leave, 1 << 20))
                    file.flush()
                except OSError:
                    break

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def read_only(self) -> None:
        self._mount("-o", "remount,ro")

    def writable(self) -> None:
        self._mount("-o", "remount,rw")

    def _mount(self, *words: str) -> None:
        subprocess.run(["mount", *words, str(self.folder)], check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """A tmpfs at ``folder``; skips the test where it cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "leukoweb-test", str(folder)]
    if not sys.platform.startswith("linux") or os.getuid() != 0 or not shutil.which("mount"):
        pytest.skip("a file system can be mounted by root on Linux only")
    if (done := subprocess.run(words, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)

"""One launcher per DATA_DIR. The lock falls with the process, however it ends. Free of Django."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """Another launcher holds the folder; the message is what it wrote about itself."""


def take(folder: Path, about: str) -> IO[str]:
    """Hold the folder until the returned file is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "launcher.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        text = file.read().strip()
        file.close()
        raise AlreadyRunning(text) from error
    file.truncate(0)
    file.write(f"{about} (process {os.getpid()})\n")
    file.flush()
    return file

"""State that laptop mode makes for itself, so that nothing has to be configured. Free of Django."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path


def secret_key(data_dir: Path) -> str:
    """The installation's own key, made once under ``data_dir`` and readable by its owner alone.

    Where the folder cannot be written (a command that needs no state), a key for this process only.
    """
    path = data_dir / "secret_key"
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        pass
    key = secrets.token_urlsafe(64)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=data_dir, prefix=".secret_key")  # mode 600
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key)
        try:
            os.link(name, path)  # fails if another process was faster: then its key is the key
        except FileExistsError:
            key = path.read_text(encoding="ascii")
        finally:
            os.unlink(name)
    except OSError:
        return key
    return key


def socket_path(data_dir: Path) -> Path | None:
    """Where the embedded broker's unix socket goes; None if no short enough private folder exists.

    A unix socket's path has room for about 107 bytes, which a deep project folder exceeds.
    """
    for folder in (data_dir / "run", Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())):
        name = "valkey.sock" if folder.name == "run" else f"leukoweb-{os.getuid()}-{_short(data_dir)}/valkey.sock"
        path = folder / name
        if len(os.fsencode(path)) <= 100:
            return path
    return None


def _short(path: Path) -> str:
    import hashlib

    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]

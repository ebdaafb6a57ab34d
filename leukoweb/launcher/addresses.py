"""Under which names a server on this machine is reached, and which it answers to. Free of Django."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

EVERYWHERE = "0.0.0.0"  # noqa: S104  # nosec B104
LOCAL = ("127.0.0.1", "localhost", EVERYWHERE)


def own_names() -> list[str]:
    """The machine's name and IPv4 addresses, the one of its way out first; empty where it has none."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out, suppress(OSError):
        way_out.connect(("198.51.100.1", 9))  # an address for examples; this sends nothing
        found.append(way_out.getsockname()[0])
    name = socket.gethostname()
    with suppress(OSError):
        found += socket.gethostbyname_ex(name)[2]
    return list(dict.fromkeys([*found, name.lower()]))


def allowed(host: str, named: Sequence[str], *, said: bool) -> list[str]:
    """Names that the web server answers to: those that ALLOWED_HOSTS says, or else those of ``--host`` as well."""
    if said or host in LOCAL[:2]:
        return list(named)
    return list(dict.fromkeys([*named, *(own_names() if host == EVERYWHERE else [host])]))


def probe(host: str, port: int) -> str:
    """Where this machine finds its own server."""
    return f"http://{'127.0.0.1' if host in LOCAL else host}:{port}"


def askable(names: Sequence[str]) -> str:
    """A name that is answered: ``.example.org`` allows example.org, ``*`` anything."""
    plain = [name.lstrip(".") for name in names]
    return next((name for name in plain if name and name != "*"), "localhost")


def remarks(host: str, port: int, names: Sequence[str]) -> list[str]:
    """What to say about other machines; nothing where only this one is served."""
    if host in LOCAL[:2]:
        return []
    others = [name for name in names if name not in (*LOCAL, "[::1]") and not name.startswith("127.")]
    if host == EVERYWHERE:
        reach = " or ".join(f"http://{name}:{port}" for name in others[:3])
        more = f"For another name set ALLOWED_HOSTS={','.join([*names, 'NAME'])}"
        return [f"Other machines reach it at {reach}.", more] if others else [more]
    if host not in names and "*" not in names:
        return [f"It answers to {', '.join(names)} alone: add {host} to ALLOWED_HOSTS, or unset it."]
    return []

"""Ask the web for /healthz as nginx does: by a name of ALLOWED_HOSTS, and as if it came over TLS.

``python deploy/healthcheck.py http://127.0.0.1:8000/healthz``: exit code 0 where it answers 200, else 1 and one line.
"""

from __future__ import annotations

import os
import sys
import urllib.request


def host(allowed: str) -> str:
    """The first name of ALLOWED_HOSTS that can be asked for: ``.example.org`` allows example.org, ``*`` anything."""
    names = [name.strip().lstrip(".") for name in allowed.split(",")]
    return next((name for name in names if name and name != "*"), "localhost")


def main(url: str) -> int:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever http_proxy says
    headers = {"Host": host(os.environ.get("ALLOWED_HOSTS", "")), "X-Forwarded-Proto": "https"}
    try:
        with direct.open(urllib.request.Request(url, headers=headers), timeout=4):  # noqa: S310  # nosec B310
            return 0
    except OSError as error:  # refused, timed out, or another status than 2xx
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))

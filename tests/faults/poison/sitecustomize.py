"""On PYTHONPATH in the fault tests: a worker that opens the image of this hash dies as by a decoder's bug.

The product has no switch for this; Python imports a module of this name at the start of every process.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
from pathlib import Path
from typing import Any

POISON = os.environ.get("POISON_SHA256", "")


def arm() -> None:
    from PIL import Image

    real = Image.open

    def open_or_die(fp: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(fp, io.BytesIO) and hashlib.sha256(fp.getvalue()).hexdigest() == POISON:
            os.kill(os.getpid(), signal.SIGSEGV)
        return real(fp, *args, **kwargs)

    Image.open = open_or_die  # type: ignore[assignment]


if POISON and b"infer@" in Path("/proc/self/cmdline").read_bytes():
    arm()

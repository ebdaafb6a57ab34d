"""``python -m inference.pipeline.tether PARENT MODULE ARGUMENTS``: a module as a program that ends with its parent.

Linux sends the program SIGTERM when the thread that started it ends, however it ended; elsewhere it may outlive it. The
signal is asked for here, in the child, because a parent with threads must not run code between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1


def tethered(module: str, *arguments: str) -> list[str]:
    """The command line that runs ``module`` for as long as the calling thread lives."""
    return [sys.executable, "-m", "inference.pipeline.tether", str(os.getpid()), module, *arguments]


def main(parent: int, module: str) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            sys.exit(f"The process {parent} that wanted {module} is gone.")
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    wanted = sys.argv[2]
    started_by = int(sys.argv[1])
    del sys.argv[1:3]  # the module finds its own arguments
    main(started_by, wanted)

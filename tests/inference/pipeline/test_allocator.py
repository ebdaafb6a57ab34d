"""Freed memory is kept while a network is trained, and given back behind it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from inference.pipeline.allocator import freed_memory_kept

ROOT = Path(__file__).resolve().parents[3]
BLOCK = 256 * 2**20
# In a process of its own: in ours, others' freed memory would be used first and the numbers would say little.
CODE = f"""
import json
from pathlib import Path
import numpy as np
from inference.pipeline.allocator import freed_memory_kept

def grown():
    return (int(Path("/proc/self/statm").read_text().split()[1]) * 4096 - before) / {BLOCK}

def touched_and_freed():
    block = np.ones({BLOCK}, np.uint8)
    del block
    return grown()

before = 0
before = grown() * {BLOCK}
found = {{}}
with freed_memory_kept() as kept:
    found["kept"], found["within"] = kept, touched_and_freed()
found["behind"], found["as before"] = grown(), touched_and_freed()
try:
    with freed_memory_kept():
        touched_and_freed()
        raise ValueError
except ValueError:
    found["after an error"] = grown()
print(json.dumps(found))
"""


def test_memory_stays_within_and_goes_behind() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    glibc = platform.libc_ver()[0] == "glibc"
    assert found["kept"] is glibc
    assert not glibc or found["within"] > 0.9
    assert max(found["behind"], found["as before"], found["after an error"]) < 0.1


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.pipeline.allocator._glibc", lambda: None)
    with freed_memory_kept() as kept:
        assert not kept

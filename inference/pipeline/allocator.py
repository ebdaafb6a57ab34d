"""The C library's allocator, told to keep what is freed while a network is trained on a CPU.

Every step of a training asks for the same large blocks as the step before. By default glibc gives each of them back to
the system and has it fetch and clear new pages, which took a third of a step of DenseNet-121 with 32 images.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # names of mallopt(3) in malloc.h
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}
_DEFAULT = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 2**17, _TOP_PAD: 2**17}


@contextmanager
def freed_memory_kept() -> Iterator[bool]:
    """Keep freed memory in the process within the block, and give it back behind it.

    Yields whether it could be done: other C libraries than glibc have no ``mallopt`` and are left as they are. The
    setting is the process's, so the block should be the outermost of its work.
    """
    library = _glibc()
    kept = library is not None and all(library.mallopt(name, value) for name, value in _KEEP.items())
    try:
        yield kept
    finally:
        if library is not None:
            for name, value in _DEFAULT.items():
                library.mallopt(name, value)
            library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        library.mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
        library.malloc_trim.argtypes = (ctypes.c_size_t,)
    except (AttributeError, OSError, TypeError):
        return None
    return library

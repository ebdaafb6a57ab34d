"""Peak memory of each input of the catalogue (tests/cases/catalogue.py) while it is checked, one process each.

    python -m benchmarks.bad_input_memory
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import sys
from collections.abc import Callable

import cases.imaging
from cases.acquisition_csv import parse_references_csv, parse_slides_csv
from cases.archives import read_zip
from leukoweb.core.exceptions import DomainError
from tests.cases.catalogue import CSV_ROWS, IMAGE_ROWS, ZIP_ROWS, Row


def image(row: Row, data: bytes) -> None:
    accepted = cases.imaging.accept_image(data, row.name)
    cases.imaging.perceptual_hash(cases.imaging.decode(accepted.content))


def archive(row: Row, data: bytes) -> None:
    for _ in read_zip(io.BytesIO(data)):
        pass


def table(row: Row, data: bytes) -> None:
    (parse_slides_csv if row.doors == ("slides.csv",) else parse_references_csv)(data)


def peak_mb(row: Row, data: bytes, deed: Callable[[Row, bytes], None]) -> float:
    """Resident memory that a fresh child needs on top of what it starts with; the input itself is there already."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(DomainError):
            deed(row, data)
        os.write(write, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    answer = os.read(read, 100)
    os.close(read)
    return int(answer) / 1024


def main() -> None:
    found = []
    for rows, deed in ((IMAGE_ROWS, image), (ZIP_ROWS, archive), (CSV_ROWS, table)):
        for row in rows:
            data = row.make()
            found.append((peak_mb(row, data, deed), row.key, len(data) / 1e6, row.code or "taken in"))
    for peak, key, size, outcome in sorted(found, reverse=True):
        sys.stdout.write(f"{peak:8.1f} MB  {key:45} {size:8.2f} MB file  {outcome}\n")


if __name__ == "__main__":
    main()

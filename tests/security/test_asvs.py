"""The table of requirements names tests that exist, and all requirements of level 1."""

from __future__ import annotations

import re
from pathlib import Path

from cases import csv_tables, forms_references
from cases.archives import DEFAULT_ZIP_LIMITS
from cases.limits import DEFAULT_LIMITS
from cases.services.dataset_uploads import DATASET_BYTES_MAX
from cases.services.uploads import ARCHIVE_BYTES_MAX
from cases.sniffing import ACCEPTED_TYPES
from reader_study.protocol import yaml_io

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security" / "asvs.md").read_text(encoding="utf-8")
STATES = ("met", "met at level 1", "met in production", "met by the library", "partly", "not met", "not shown",
          "not applicable", "operator")  # fmt: skip


def rows() -> list[list[str]]:
    lines = [line for line in TEXT.splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 40
    for path, test in named:
        assert (ROOT / path).is_file(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)


def test_the_seventy_of_level_one_are_there_once() -> None:
    numbers = [row[0] for row in rows()]
    assert len(numbers) == len(set(numbers))
    level_one = [number for number in numbers if "(L2)" not in number]
    assert "10.4.1 to 10.4.5" in level_one  # one line for five
    assert len(level_one) - 1 + 5 == 70


def test_the_limits_of_the_guide_are_those_of_the_code() -> None:
    image, archive, mb = DEFAULT_LIMITS, DEFAULT_ZIP_LIMITS, 10**6
    text = (ROOT / "docs" / "uploads.md").read_text(encoding="utf-8").split("## Types and limits")[1]
    for words in (
        f"| image | {', '.join(ACCEPTED_TYPES)} with one page | {image.file_bytes // mb} MB, ",
        f" {image.pixels_max // mb} Mpx, ",
        f" {image.side_px_max:,} px a side (at least {image.side_px_min}), sides {image.aspect_max:g} : 1, ",
        f" {image.metadata_bytes // mb} MB of metadata |",
        f"| {ARCHIVE_BYTES_MAX // 10**9} GB; unpacked {archive.total_bytes // 10**9} GB in {archive.members:,} files",
        f" {archive.member_bytes // mb} MB; ratio {archive.ratio:g} from {archive.ratio_from_bytes // mb} MB on; ",
        f" {archive.directory_bytes // mb} MB of directory |",
        f"| {DATASET_BYTES_MAX // 10**9} GB |",
        f"| {csv_tables.BYTES_MAX // mb} MB, {csv_tables.ROWS_MAX:,} rows; ",
        f" {forms_references.BYTES_MAX // mb} MB, {forms_references.ROWS_MAX:,} rows |",
        f"| {yaml_io.MAX_BYTES // 1024} KiB |",
    ):
        assert words in text


def test_states_are_said_in_these_words() -> None:
    assert {row[2] for row in rows()} <= set(STATES)

"""Zip archives: what is read, what is passed over, and what is refused with which code."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.archives import ZipLimits, ZipRefused, read_zip
from tests.cases.image_files import field, saved
from tests.support.zips import UnmarkedName

JPEG = saved(field(), "JPEG")


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def named(raw: str) -> zipfile.ZipInfo:
    """A member whose stored name is exactly `raw` (the constructor would change some)."""
    info = zipfile.ZipInfo("x")
    info.filename = raw
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def special(kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link.jpg")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def patched(archive: bytes, *, in_directory: Callable[[bytearray, int], None]) -> bytes:
    """Change the first entry of the central directory in place."""
    data = bytearray(archive)
    in_directory(data, archive.index(b"PK\x01\x02"))
    return bytes(data)


def with_flag(bit: int) -> bytes:
    def change(data: bytearray, at: int) -> None:
        data[at + 8] |= bit

    return patched(zipped(("a.jpg", JPEG)), in_directory=change)


def with_method(method: int) -> bytes:
    def change(data: bytearray, at: int) -> None:
        data[at + 10 : at + 12] = struct.pack("<H", method)

    return patched(zipped(("a.jpg", JPEG)), in_directory=change)


def with_stated_size(archive: bytes, size: int) -> bytes:
    def change(data: bytearray, at: int) -> None:
        data[at + 24 : at + 28] = struct.pack("<I", size)

    return patched(archive, in_directory=change)


def duplicate() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped(("a.jpg", JPEG), ("a.jpg", JPEG[::-1]))


def claiming_many_members() -> bytes:
    data = bytearray(zipped(("a.jpg", JPEG)))
    at = data.rindex(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<I", 2_000_000_000)
    return bytes(data)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "climbs": (lambda: zipped((named("../../x.jpg"), JPEG)), "E_ZIP_PATH"),
    "climbs in the middle": (lambda: zipped((named("a/../../x.jpg"), JPEG)), "E_ZIP_PATH"),
    "climbs with backslashes": (lambda: zipped((named("..\\..\\x.jpg"), JPEG)), "E_ZIP_PATH"),
    "absolute": (lambda: zipped((named("/etc/x.jpg"), JPEG)), "E_ZIP_PATH"),
    "network path": (lambda: zipped((named("\\\\host\\share\\x.jpg"), JPEG)), "E_ZIP_PATH"),
    "drive": (lambda: zipped((named("C:\\x.jpg"), JPEG)), "E_ZIP_PATH"),
    "drive without slash": (lambda: zipped((named("c:x.jpg"), JPEG)), "E_ZIP_PATH"),
    "NUL in the name": (lambda: zipped((named("a.jpg\x00.exe"), JPEG)), "E_ZIP_PATH"),
    "symbolic link": (lambda: zipped((special(stat.S_IFLNK), b"/etc/passwd")), "E_ZIP_LINK"),
    "device": (lambda: zipped((special(stat.S_IFCHR), b"")), "E_ZIP_LINK"),
    "pipe": (lambda: zipped((special(stat.S_IFIFO), b"")), "E_ZIP_LINK"),
    "bomb": (lambda: zipped(("a.png", bytes(20_000_000))), "E_ZIP_RATIO"),
    "stated size too small": (lambda: with_stated_size(zipped(("a.png", JPEG)), 100), "E_ZIP_SIZE"),
    "stated size too large": (lambda: with_stated_size(zipped(("a.png", JPEG)), len(JPEG) + 7), "E_ZIP_SIZE"),
    "bomb with a false size": (lambda: with_stated_size(zipped(("a.png", bytes(9_000_000))), 900_000), "E_ZIP_SIZE"),
    "stored with a false size": (
        lambda: with_stated_size(zipped(("a.png", JPEG), method=zipfile.ZIP_STORED), 100),
        "E_ZIP_SIZE",
    ),
    "10,001 members": (lambda: zipped(*[(f"{n}.jpg", b"") for n in range(10_001)]), "E_ZIP_COUNT"),
    "a directory of 2 GB": (claiming_many_members, "E_ZIP_COUNT"),
    "nested by name": (lambda: zipped(("a.jpg", JPEG), ("b/inner.ZIP", b"x")), "E_ZIP_NESTED"),
    "nested by content": (lambda: zipped(("a.jpg", zipped(("b.jpg", JPEG)))), "E_ZIP_NESTED"),
    "nested tar": (lambda: zipped(("a.tar.gz", b"x")), "E_ZIP_NESTED"),
    "encrypted": (lambda: with_flag(0x01), "E_ZIP_ENCRYPTED"),
    "strongly encrypted": (lambda: with_flag(0x40), "E_ZIP_ENCRYPTED"),
    "bzip2": (lambda: zipped(("a.jpg", JPEG), method=zipfile.ZIP_BZIP2), "E_ZIP_METHOD"),
    "lzma": (lambda: zipped(("a.jpg", JPEG), method=zipfile.ZIP_LZMA), "E_ZIP_METHOD"),
    "deflate64": (lambda: with_method(9), "E_ZIP_METHOD"),
    "one name twice": (duplicate, "E_ZIP_DUPLICATE"),
    "one name twice, slashes differ": (
        lambda: zipped((named("s/a.jpg"), JPEG), (named("s\\a.jpg"), JPEG)),
        "E_ZIP_DUPLICATE",
    ),
    "one name in two normal forms": (lambda: zipped(("\u00e9.jpg", JPEG), ("e\u0301.jpg", JPEG)), "E_ZIP_DUPLICATE"),
    "a.jpg and A.JPG": (lambda: zipped(("a.jpg", JPEG), ("A.JPG", JPEG)), "E_ZIP_CASE"),
    "folders that differ in case": (lambda: zipped(("s1/a.jpg", JPEG), ("S1/a.jpg", JPEG)), "E_ZIP_CASE"),
    "name of 300 characters": (lambda: zipped(("x" * 300 + ".jpg", JPEG)), "E_NAME"),
    "path of 2,000 characters": (lambda: zipped(("folder/" * 300 + "a.jpg", JPEG)), "E_NAME"),
    "empty file": (lambda: b"", "E_ZIP_CORRUPT"),
    "text": (lambda: b"not a zip", "E_ZIP_CORRUPT"),
    "image": (lambda: JPEG, "E_ZIP_CORRUPT"),
    "cut in half": (lambda: zipped(("a.jpg", JPEG), ("b.jpg", JPEG))[:4000], "E_ZIP_CORRUPT"),
    "end record only": (lambda: zipped(("a.jpg", JPEG))[-22:], "E_ZIP_CORRUPT"),
    "start missing": (lambda: zipped(("a.jpg", JPEG))[-70:], "E_ZIP_CORRUPT"),
}


@pytest.mark.parametrize("what", list(BAD))
def test_a_bad_archive_is_refused_with_its_code(what: str) -> None:
    make, code = BAD[what]
    with pytest.raises(ZipRefused) as caught:
        list(read_zip(make()))
    error = caught.value
    assert error.code == code
    assert error.hint
    assert error.message.endswith(".")
    assert error.message.isprintable()


FROM_HEADERS = ("climbs", "absolute", "drive", "symbolic", "encrypted", "10,001", "one name", "nested by name")


@pytest.mark.parametrize("what", ["bomb", *(w for w in BAD if w.startswith(FROM_HEADERS))])
def test_headers_are_checked_before_anything_is_handed_out(what: str) -> None:
    with pytest.raises(ZipRefused):
        read_zip(BAD[what][0]())


def test_members_come_with_their_paths_and_bytes() -> None:
    contents = read_zip(zipped(("s1/2.jpg", JPEG), ("s1/", b""), ("s1/1.jpg", b"abc"), ("meta.csv", b"file\n")))
    assert len(contents) == 3
    assert contents.paths == ["s1/2.jpg", "s1/1.jpg", "meta.csv"]
    first, second, third = contents
    assert (first.path_parts, first.name, first.data, first.refusal) == (("s1", "2.jpg"), "2.jpg", JPEG, None)
    assert (second.data, third.path_parts) == (b"abc", ("meta.csv",))
    assert [m.data for m in contents] == [JPEG, b"abc", b"file\n"], "may be iterated again"


def test_open_files_stored_members_and_windows_separators_are_read() -> None:
    archive = zipped((named("scans\\s1\\.\\a.jpg"), JPEG), method=zipfile.ZIP_STORED)
    (member,) = read_zip(io.BytesIO(archive))
    assert member.path_parts == ("scans", "s1", "a.jpg")
    assert member.data == JPEG


def test_names_are_read_as_they_were_meant() -> None:
    """Windows writes its old code page, macOS UTF-8, and neither says so."""
    names = ["Präparat 1/größe.png", "Ünal/á.png", "плёнка/1.png", "плёнка 2/1.png"]
    archive = zipped(
        (UnmarkedName(names[0], "cp437"), JPEG), (UnmarkedName(names[1], "cp437"), JPEG),
        (UnmarkedName(names[2], "utf-8"), JPEG), (names[3], JPEG),
    )  # fmt: skip
    contents = read_zip(archive)
    assert contents.paths == [unicodedata.normalize("NFC", name) for name in names]
    assert [member.data for member in contents] == [JPEG] * 4
    assert contents.read(contents.paths[0]) == JPEG


def test_an_archive_behind_other_bytes_is_read() -> None:
    (member,) = read_zip(b"#!/bin/sh\n" + zipped(("a.jpg", JPEG)))
    assert member.data == JPEG


def test_streamed_archives_with_sizes_after_the_data_are_read() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.taken = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.taken += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", JPEG)
    (member,) = read_zip(bytes(pipe.taken))
    assert member.data == JPEG


def test_zip64_archives_are_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as member:
        member.write(JPEG)
    assert [m.data for m in read_zip(buffer)] == [JPEG]


def test_an_empty_archive_has_no_members() -> None:
    assert list(read_zip(zipped())) == []


def test_system_files_are_passed_over_and_counted() -> None:
    contents = read_zip(
        zipped(("s/a.jpg", JPEG), ("__MACOSX/s/._a.jpg", b"x"), ("__MACOSX/s/._b.jpg", b"x"), ("s/.DS_Store", b"x"),
               ("s/Thumbs.db", b"x"), ("s/desktop.ini", b"x"), ("s/._c.jpg", b"x"))
    )  # fmt: skip
    assert [member.name for member in contents] == ["a.jpg"]
    assert contents.skipped == {"__MACOSX": 2, ".DS_Store": 1, "Thumbs.db": 1, "desktop.ini": 1, "._c.jpg": 1}


def test_one_broken_member_does_not_cost_the_others() -> None:
    archive = bytearray(zipped(("a.jpg", JPEG), ("b.jpg", JPEG), ("c.jpg", b"x" * 900), method=zipfile.ZIP_STORED))
    archive[200] ^= 0xFF
    first, second, third = read_zip(bytes(archive), limits=ZipLimits(member_bytes=len(JPEG)))
    assert first.refusal is not None
    assert first.refusal.code == "E_ZIP_CORRUPT"
    assert "'a.jpg' is damaged" in first.refusal.message
    assert (second.data, third.data) == (JPEG, b"x" * 900)
    limited = list(read_zip(zipped(("big.png", JPEG), ("c.txt", b"x")), limits=ZipLimits(member_bytes=100)))
    assert limited[0].refusal is not None
    assert limited[0].refusal.code == "E_TOO_LARGE"
    assert limited[1].data == b"x"


def test_damaged_deflate_data_and_a_missing_local_header_are_named() -> None:
    archive = zipped(("a.jpg", JPEG))
    for broken in (archive[:60] + bytes(40) + archive[100:], b"XX" + archive[2:]):
        (member,) = read_zip(broken)
        assert member.refusal is not None
        assert member.refusal.code == "E_ZIP_CORRUPT"


def test_a_place_before_the_archive_is_damage() -> None:
    archive = zipped(("a.jpg", JPEG), ("b.jpg", JPEG))
    cut = archive.index(b"PK\x03\x04", 10)
    first, second = read_zip(archive[cut:])
    assert first.refusal is not None
    assert "before the archive" in first.refusal.message
    assert second.data == JPEG


def test_the_total_is_limited() -> None:
    archive = zipped(*[(f"{n}.jpg", JPEG) for n in range(5)])
    with pytest.raises(ZipRefused) as caught:
        read_zip(archive, limits=ZipLimits(total_bytes=4 * len(JPEG)))
    assert caught.value.code == "E_ZIP_SIZE"


def test_many_offenders_are_listed_up_to_twenty_and_counted() -> None:
    with pytest.raises(ZipRefused) as caught:
        read_zip(zipped(*[(f"{n}.zip", b"") for n in range(50)]))
    assert caught.value.message.count("'") == 40
    assert "and 30 more" in caught.value.message


def test_a_bomb_costs_no_memory() -> None:
    archive = with_stated_size(zipped(("a.png", bytes(200_000_000))), 900_000)
    tracemalloc.start()
    try:
        with pytest.raises(ZipRefused):
            list(read_zip(archive))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


_SEED = zipped(("s/a.jpg", JPEG[:500]), ("s/b.jpg", JPEG[500:900]))


@given(st.lists(st.tuples(st.integers(0, len(_SEED) - 1), st.integers(0, 255)), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_overwritten_archives_raise_nothing_but_a_refusal(patches: list[tuple[int, int]]) -> None:
    data = bytearray(_SEED)
    for place, value in patches:
        data[place] = value
    with contextlib.suppress(ZipRefused):
        for member in read_zip(bytes(data)):
            assert ".." not in member.path_parts
            assert (member.data == b"") == (member.refusal is not None)

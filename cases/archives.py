"""Zip archives read member by member, with nothing ever written to a path that the archive chose.

All headers are checked before the first member is handed out, so an archive is refused as a whole for what shows
intent or would be ambiguous (paths that climb, links, duplicates, bombs); what is merely broken or too big in one
member refuses that member alone (`ZipMember.refusal`), and the rest goes in. Headers can lie, so sizes and ratios
are measured again while unpacking.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from cases.naming import NAME_BYTES_MAX, printable
from leukoweb.core.exceptions import DomainError

_LISTED_MAX: Final = 20
_UTF8_MARK: Final = 0x800  # in a member's flags
_PATH_BYTES_MAX: Final = 1024
_BLOCK_BYTES: Final = 256 * 1024
_MEMBER_ARCHIVES: Final = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
_ARCHIVE_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x1f\x8b", b"\xfd7zXZ")
_SYSTEM_FOLDERS: Final = frozenset({"__macosx", ".git", ".svn", "$recycle.bin", "system volume information"})
_SYSTEM_FILES: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db", ".directory", "icon\r"})
_HINT_PLAIN: Final = "Make the archive again from plain folders with your system's own zip function."


class ZipRefused(DomainError):
    """An archive, or one member of it, that is not taken in."""

    code = "E_ZIP_CORRUPT"


@dataclass(frozen=True)
class ZipLimits:
    """Bounds of one archive; the ratio is unpacked to packed bytes and not applied below `ratio_from_bytes`."""

    members: int = 10_000
    member_bytes: int = 25_000_000
    total_bytes: int = 2_000_000_000
    ratio: float = 200.0
    ratio_from_bytes: int = 1_000_000
    directory_bytes: int = 16_000_000


DEFAULT_ZIP_LIMITS: Final = ZipLimits()


@dataclass(frozen=True)
class ZipMember:
    """One file of an archive.

    Attributes
    ----------
    path_parts
        Folders and name, in NFC, without ``.``, ``..`` or drive; backslashes of Windows archives are separators.
    name
        The last of `path_parts`.
    data
        The unpacked bytes; empty where `refusal` says why there are none.
    """

    path_parts: tuple[str, ...]
    name: str
    data: bytes
    refusal: ZipRefused | None = None


class ZipContents:
    """A checked archive: its members in archive order, and what was passed over.

    `skipped` counts files that operating systems leave behind (``__MACOSX``, ``.DS_Store``, ``Thumbs.db`` and other
    hidden files) by name. Iterating unpacks one member at a time and may be done again.
    """

    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile, limits: ZipLimits) -> None:
        self._file = file
        self._limits = limits
        self.skipped: Counter[str] = Counter()
        self._members: list[tuple[tuple[str, ...], zipfile.ZipInfo]] = []
        for info in archive.infolist():
            parts = _path_parts(info)
            if info.is_dir() or info.orig_filename.endswith("\\"):
                continue
            if _is_system(parts):
                self.skipped[parts[0] if parts[0].lower() in _SYSTEM_FOLDERS else parts[-1]] += 1
                continue
            self._members.append((parts, info))
        self._by_path = {"/".join(parts): info for parts, info in self._members}

    def __len__(self) -> int:
        return len(self._members)

    @property
    def paths(self) -> list[str]:
        """Paths of all members with forward slashes, without unpacking anything."""
        return list(self._by_path)

    def read(self, path: str) -> bytes:
        """One member by its path in `paths`; `KeyError` if there is none, `ZipRefused` for what iterating refuses."""
        try:
            return self._unpack(self._by_path[path], self._limits.total_bytes)
        except _MemberProblem as problem:
            raise problem.refusal from problem

    def check(self) -> None:
        """Raise `ZipRefused` for what the headers show; see `read_zip`."""
        infos = [info for _, info in self._members]
        _refuse("E_ZIP_LINK", "are links or devices", [i for i in infos if _is_special(i)])
        _refuse(
            "E_ZIP_ENCRYPTED",
            "are encrypted",
            [i for i in infos if i.flag_bits & 0x41],
            hint="Make the archive again without a password.",
        )
        _refuse(
            "E_ZIP_METHOD",
            "are packed by a method that is not read",
            [i for i in infos if i.compress_type not in (0, 8)],
        )
        nested = [i for i in infos if i.filename.lower().endswith(_MEMBER_ARCHIVES)]
        _refuse("E_ZIP_NESTED", "are archives themselves", nested, hint="Unpack them first and zip the folders.")
        self._check_sizes(infos)
        self._check_names()

    def _check_sizes(self, infos: Sequence[zipfile.ZipInfo]) -> None:
        if len(infos) > self._limits.members:
            raise _too_many(len(infos), self._limits)
        bombs = [i for i in infos if self._is_bomb(i.file_size, i.compress_size)]
        _refuse("E_ZIP_RATIO", f"unpack to more than {self._limits.ratio:g} times their size", bombs)
        total = sum(i.file_size for i in infos)
        if total > self._limits.total_bytes:
            raise _too_big(total, self._limits)

    def _is_bomb(self, unpacked_bytes: int, packed_bytes: int) -> bool:
        return unpacked_bytes > self._limits.ratio_from_bytes and unpacked_bytes > self._limits.ratio * packed_bytes

    def _check_names(self) -> None:
        exact: dict[tuple[str, ...], str] = {}
        folded: dict[tuple[str, ...], str] = {}
        twice, colliding = [], []
        for parts, info in self._members:
            key = tuple(part.casefold() for part in parts)
            if parts in exact:
                twice.append(info)
            elif key in folded:
                colliding.append(info)
            exact[parts] = folded[key] = info.filename
        _refuse("E_ZIP_DUPLICATE", "have a name that another member has too", twice)
        _refuse("E_ZIP_CASE", "differ from another member only in upper and lower case", colliding)

    def __iter__(self) -> Iterator[ZipMember]:
        total = 0
        for parts, info in self._members:
            try:
                data = self._unpack(info, self._limits.total_bytes - total)
            except _MemberProblem as problem:
                yield ZipMember(parts, parts[-1], b"", problem.refusal)
                continue
            total += len(data)
            if data.startswith(_ARCHIVE_MAGIC):
                _refuse("E_ZIP_NESTED", "are archives themselves", [info], hint="Unpack them first.")
            yield ZipMember(parts, parts[-1], data)

    def _unpack(self, info: zipfile.ZipInfo, left_bytes: int) -> bytes:
        if info.file_size > self._limits.member_bytes:
            raise _MemberProblem(_member_too_large(info, info.file_size, self._limits))
        packed = self._packed(info)
        if info.compress_type == zipfile.ZIP_STORED:
            data = packed
        else:
            data = self._inflate(info, packed)
        if len(data) != info.file_size:
            _refuse("E_ZIP_SIZE", f"unpack to another size than stated ({info.file_size:,} bytes)", [info])
        if len(data) > left_bytes:
            raise _too_big(self._limits.total_bytes + len(data) - left_bytes, self._limits)
        if zlib.crc32(data) != info.CRC:
            raise _MemberProblem(_damaged(info, "its checksum is wrong"))
        return data

    def _packed(self, info: zipfile.ZipInfo) -> bytes:
        """The member's packed bytes, found through its local header."""
        if info.compress_size > self._limits.member_bytes + _BLOCK_BYTES:
            raise _MemberProblem(_member_too_large(info, info.compress_size, self._limits))
        if info.header_offset < 0:
            raise _MemberProblem(_damaged(info, "its place lies before the archive"))
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise _MemberProblem(_damaged(info, "its header is missing"))
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
        self._file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
        packed = self._file.read(info.compress_size)
        if len(packed) < info.compress_size:
            raise _MemberProblem(_damaged(info, "it ends early"))
        return packed

    def _inflate(self, info: zipfile.ZipInfo, packed: bytes) -> bytes:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        out = bytearray()
        rest = packed
        try:
            while rest and not unpacker.eof:
                out += unpacker.decompress(rest, _BLOCK_BYTES)
                rest = unpacker.unconsumed_tail
                if self._is_bomb(len(out), len(packed)):
                    _refuse("E_ZIP_RATIO", f"unpack to more than {self._limits.ratio:g} times their size", [info])
                if len(out) > info.file_size:
                    _refuse("E_ZIP_SIZE", f"unpack to more than the {info.file_size:,} bytes stated", [info])
        except zlib.error as error:
            raise _MemberProblem(_damaged(info, "its data cannot be unpacked")) from error
        if not unpacker.eof:
            raise _MemberProblem(_damaged(info, "its data end early"))
        return bytes(out)


class _MemberProblem(Exception):
    """Carries the refusal of one member to the loop that goes on with the next."""

    def __init__(self, refusal: ZipRefused) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def read_zip(file: BinaryIO | bytes, *, limits: ZipLimits = DEFAULT_ZIP_LIMITS) -> ZipContents:
    """Open an archive, check all its headers, and give its members one by one.

    Parameters
    ----------
    file
        The archive: its bytes, or a seekable binary file that stays open while members are read.

    Returns
    -------
    ZipContents
        Iterate over it for `ZipMember`; ``len()``, ``.paths`` and ``.skipped`` need no unpacking.

    Raises
    ------
    ZipRefused
        E_ZIP_CORRUPT, E_ZIP_COUNT, E_ZIP_SIZE, E_ZIP_PATH, E_ZIP_LINK, E_ZIP_RATIO, E_ZIP_NESTED, E_ZIP_METHOD,
        E_ZIP_ENCRYPTED, E_ZIP_DUPLICATE, E_ZIP_CASE or E_NAME, before anything is unpacked; while iterating
        E_ZIP_RATIO, E_ZIP_SIZE and E_ZIP_NESTED once more, when the headers lied.
    """
    opened: BinaryIO = io.BytesIO(file) if isinstance(file, bytes) else file
    _check_directory(opened, limits)
    try:
        archive = zipfile.ZipFile(opened)
    except (zipfile.BadZipFile, struct.error, ValueError, OSError, NotImplementedError) as error:
        raise _no_archive() from error
    contents = ZipContents(opened, archive, limits)
    contents.check()
    return contents


def _check_directory(file: BinaryIO, limits: ZipLimits) -> None:
    """Refuse by the end record, before the standard library reads a directory of millions of entries."""
    size = file.seek(0, os.SEEK_END)
    tail_bytes = min(size, 65_557 + 20)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    at = tail.rfind(b"PK\x05\x06")
    if at == -1 or len(tail) < at + 22:
        raise _no_archive()
    members, directory_bytes = struct.unpack_from("<HI", tail, at + 10)
    if tail[max(0, at - 20) :][:4] == b"PK\x06\x07":
        (end64,) = struct.unpack_from("<Q", tail, at - 12)
        file.seek(min(end64, size))
        record = file.read(56)
        if len(record) < 56 or record[:4] != b"PK\x06\x06":
            raise _no_archive()
        members, directory_bytes = struct.unpack_from("<QQ", record, 32)
    if members > limits.members * 2 or directory_bytes > limits.directory_bytes:
        raise _too_many(members, limits)
    file.seek(0)


def member_name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: many tools write UTF-8 without saying so, and zipfile then reads code page 437.

    The upload page lists the members by the same rule (``upload_zip.js``), so that both name them alike.
    """
    if info.flag_bits & _UTF8_MARK:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _path_parts(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """The member's path, or `ZipRefused` where it leaves the archive or cannot be a name."""
    raw = member_name(info)
    pieces = re.split(r"[/\\]", unicodedata.normalize("NFC", raw))
    if raw[:1] in ("/", "\\") or re.match(r"[A-Za-z]:", raw) or ".." in pieces or "\x00" in raw:
        _refuse("E_ZIP_PATH", "have a path that leaves the archive", [info])
    parts = tuple(piece for piece in pieces if piece not in ("", "."))
    too_long = any(len(part.encode("utf-8", "replace")) > NAME_BYTES_MAX for part in parts)
    if not parts or too_long or len(raw.encode("utf-8", "replace")) > _PATH_BYTES_MAX:
        _refuse("E_NAME", f"have an empty name or one of more than {NAME_BYTES_MAX} bytes", [info])
    return parts


def _is_system(parts: tuple[str, ...]) -> bool:
    lowered = [part.lower() for part in parts]
    return any(part in _SYSTEM_FOLDERS for part in lowered[:-1]) or (
        lowered[-1] in _SYSTEM_FILES or lowered[-1].startswith(".")
    )


def _is_special(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR)


def _refuse(code: str, what: str, infos: Sequence[zipfile.ZipInfo], *, hint: str = _HINT_PLAIN) -> None:
    """Raise, naming the first members and the count, if there are any."""
    if not infos:
        return
    names = ", ".join(f"'{printable(info.orig_filename)}'" for info in infos[:_LISTED_MAX])
    more = f" and {len(infos) - _LISTED_MAX:,} more" if len(infos) > _LISTED_MAX else ""
    raise ZipRefused(
        f"Members of the archive {what}: {names}{more}.", code=code, hint=hint,
        nameless=f"Members of the archive {what}: {len(infos):,}.",
    )  # fmt: skip


def _no_archive() -> ZipRefused:
    return ZipRefused(
        "The file is not a complete zip archive.", code="E_ZIP_CORRUPT", hint="Make it again and upload it again."
    )


def _too_many(members: int, limits: ZipLimits) -> ZipRefused:
    return ZipRefused(
        f"The archive lists {members:,} files; the limit is {limits.members:,}.",
        code="E_ZIP_COUNT",
        hint="Split it into several archives, one per slide.",
    )


def _too_big(total_bytes: int, limits: ZipLimits) -> ZipRefused:
    return ZipRefused(
        f"The archive unpacks to {total_bytes / 1e6:,.0f} MB; the limit is {limits.total_bytes / 1e6:,.0f} MB.",
        code="E_ZIP_SIZE",
        hint="Split it into several archives, one per slide.",
    )


def _member_too_large(info: zipfile.ZipInfo, found_bytes: int, limits: ZipLimits) -> ZipRefused:
    found, limit = f"{found_bytes / 1e6:.1f} MB", f"{limits.member_bytes / 1e6:g} MB"
    return ZipRefused(
        f"'{printable(info.orig_filename)}' has {found}; the limit is {limit}.",
        code="E_TOO_LARGE",
        hint="Export the field as JPEG or PNG.",
        nameless=f"A file of the archive has {found}; the limit is {limit}.",
    )


def _damaged(info: zipfile.ZipInfo, why: str) -> ZipRefused:
    return ZipRefused(
        f"'{printable(info.orig_filename)}' is damaged in the archive: {why}.", hint="Make the archive again.",
        nameless=f"A file is damaged in the archive: {why}.",
    )  # fmt: skip

"""Zip members as tools write them that do not say which letters their names are in."""

from __future__ import annotations

import zipfile


class UnmarkedName(zipfile.ZipInfo):
    """A member whose name is stored in ``encoding`` without the mark of UTF-8."""

    def __init__(self, name: str, encoding: str) -> None:
        super().__init__(name)
        self.encoding = encoding

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800

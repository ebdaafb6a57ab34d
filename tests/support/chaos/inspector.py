"""What a kill may leave on the disk and in the database, and what it may not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.chaos.stack import Stack


class Inspector:
    """Looks at the disk and the database of a stack after each kill, while nothing writes."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.blobs = stack, stack.data / "blobs"
        self.hashed: set[Path] = set()
        self.dangling = self.partial = self.half_rows = 0

    def look(self) -> None:
        named = self.named()
        files = {path for path in self.blobs.glob("??/??/*") if not path.name.startswith(".")}
        self.dangling += len(named - {path.name for path in files})
        for path in files - self.hashed:
            self.partial += hashlib.sha256(path.read_bytes()).hexdigest() != path.name
        self.hashed = files
        sql = ("SELECT count(*) FROM cases_hpfimage i LEFT JOIN cases_imageoriginalname n ON n.image_id = i.id "
               "WHERE n.id IS NULL")  # fmt: skip
        self.half_rows += self.stack.rows(sql)[0][0]

    def named(self) -> set[str]:
        return {row[0] for row in self.stack.rows("SELECT content_sha256 FROM cases_hpfimage")}

    def left_over(self) -> tuple[int, int]:
        """(files that no row names, temporary files)"""
        names = [path.name for path in self.blobs.glob("??/??/*")]
        temporary = [name for name in names if name.startswith(".")]
        return len(set(names) - set(temporary) - self.named()), len(temporary)

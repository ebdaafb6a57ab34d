"""What clients did and what they were told, after Jepsen's set checker: a promise is an ``ok``, and nothing else is.

``invoke`` before a request is sent, then one of ``ok`` (acknowledged), ``fail`` (refused: it must not be there) or
``info`` (nobody knows: the connection broke, or the server said 5xx; it may be there or not). An operation that is
sent again under the same key stays one operation: its last word counts.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK, FAIL, INFO, INVOKE = "ok", "fail", "info", "invoke"


@dataclass
class Verdict:
    """``lost`` was acknowledged and is absent, ``ghosts`` was refused and is present, ``strangers`` nobody sent."""

    n_ok: int = 0
    n_fail: int = 0
    n_info: int = 0
    n_info_present: int = 0
    lost: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.ghosts or self.strangers or self.doubled)

    def __str__(self) -> str:
        return (
            f"{self.n_ok} acknowledged, {len(self.lost)} of them lost; {self.n_fail} refused, {len(self.ghosts)} of "
            f"them present; {self.n_info} unknown, {self.n_info_present} of them present; {len(self.doubled)} doubled, "
            f"{len(self.strangers)} that nobody sent"
        )


class History:
    """Safe for many threads. ``keep`` writes it as JSON lines, so that a failing run can be looked at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[dict[str, Any]] = []
        self._last: dict[str, str] = {}
        self._unknown = 0

    def note(self, what: str, key: str, **more: Any) -> None:
        with self._lock:
            self._lines.append({"at": time.monotonic(), "what": what, "key": key, **more})
            self._last[key] = what
            self._unknown += what == INFO

    def count(self, what: str) -> int:
        """Operations whose last word is this."""
        with self._lock:
            return sum(last == what for last in self._last.values())

    @property
    def unknown(self) -> int:
        """How often a request ended without an answer, whatever came of it later."""
        return self._unknown

    @property
    def troubles(self) -> list[dict[str, Any]]:
        """The refusals, in which a test that expects none finds what was said."""
        return [line for line in self._lines if line["what"] == FAIL]

    def check_set(self, stored: Iterable[str]) -> Verdict:
        """Compare with the keys that are stored in the end. An operation left at ``invoke`` counts as unknown."""
        counted = Counter(stored)
        verdict = Verdict(doubled=sorted(key for key, n in counted.items() if n > 1))
        with self._lock:
            last = dict(self._last)
        for key, what in last.items():
            here = key in counted
            if what == OK:
                verdict.n_ok += 1
                verdict.lost += [] if here else [key]
            elif what == FAIL:
                verdict.n_fail += 1
                verdict.ghosts += [key] if here else []
            else:
                verdict.n_info += 1
                verdict.n_info_present += here
        verdict.strangers = sorted(set(counted) - set(last))
        return verdict

    def keep(self, file: Path) -> Path:
        file.write_text("".join(json.dumps(line) + "\n" for line in self._lines), encoding="utf-8")
        return file

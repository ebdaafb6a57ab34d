"""Building blocks of the protocol's schema: each cleans one kind of value and says what is wrong with it by path."""

from __future__ import annotations

import copy
import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from leukoweb.core.numbers import is_number

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at ``path`` (as ``readers.2.label``), what to do, and the line of the YAML file (0: unknown)."""

    path: str
    message: str
    hint: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"Line {self.line}: " if self.line else ""
        return f"{where}{self.path + ': ' if self.path else ''}{self.message}"

    def as_dict(self) -> dict[str, Any]:
        return {"path": self.path, "message": self.message, "hint": self.hint, "line": self.line}


class Node(Protocol):
    """``clean`` returns the value in its one canonical form; what cannot be cleaned becomes the default."""

    def clean(self, value: Any, path: str, problems: list[Problem]) -> Any: ...

    def default(self) -> Any: ...


def join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def kind_of(value: Any) -> str:
    """What a person would call the value."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    named = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a section", date: "a date"}
    return next((name for kind, name in named.items() if isinstance(value, kind)), type(value).__name__)


def _wrong(path: str, wanted: str, value: Any, problems: list[Problem]) -> None:
    shown = f" ({value!r:.60})" if isinstance(value, str | int | float) else ""
    hint = "Put it in quotes." if wanted == "Text" and isinstance(value, int | float) else ""
    problems.append(Problem(path, f"{wanted} is expected here, not {kind_of(value)}{shown}.", hint))


@dataclass(frozen=True)
class Text:
    """One line (or several, with ``lines``), composed Unicode, no blanks at its ends. A number is not a text."""

    max_length: int
    lines: bool = False
    pattern: str = ""
    initial: str = ""

    def clean(self, value: Any, path: str, problems: list[Problem]) -> str:
        if not isinstance(value, str):
            _wrong(path, "Text", value, problems)
            return self.initial
        text = unicodedata.normalize("NFC", value).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
        if self.lines:
            text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n").strip()
        elif "\n" in text.strip():
            problems.append(Problem(path, "This has to be one line.", "Take the line break out."))
        text = text if self.lines else " ".join(text.split("\n")).strip()
        if odd := _CONTROL.search(text):
            problems.append(Problem(path, f"Holds a character that cannot be printed (U+{ord(odd[0]):04X})."))
            text = _CONTROL.sub("", text).strip()
        if len(text) > self.max_length:
            problems.append(Problem(path, f"Has {len(text):,} characters; the limit is {self.max_length:,}."))
            text = text[: self.max_length].strip()
        if text and self.pattern and not re.fullmatch(self.pattern, text):
            problems.append(Problem(path, f"{text!r:.60} holds a character that is not allowed here."))
        return text

    def default(self) -> str:
        return self.initial


@dataclass(frozen=True)
class Integer:
    low: int
    high: int
    initial: int | None
    nullable: bool = False

    def clean(self, value: Any, path: str, problems: list[Problem]) -> int | None:
        if value is None and self.nullable:
            return None
        if not is_number(value) or value != int(value):
            _wrong(path, "A whole number", value, problems)
            return self.initial
        if not self.low <= value <= self.high:
            problems.append(Problem(path, f"{int(value)} is not between {self.low} and {self.high}."))
            return self.initial
        return int(value)

    def default(self) -> int | None:
        return self.initial


@dataclass(frozen=True)
class Number:
    """A finite number, kept as a float so that 0 and 0.0 are the same protocol."""

    low: float
    high: float
    initial: float | None
    nullable: bool = False

    def clean(self, value: Any, path: str, problems: list[Problem]) -> float | None:
        if value is None and self.nullable:
            return None
        if not is_number(value):
            _wrong(path, "A number", value, problems)
            return self.initial
        if not self.low <= value <= self.high:
            problems.append(Problem(path, f"{value:g} is not between {self.low:g} and {self.high:g}."))
            return self.initial
        return round(float(value), 6) + 0.0

    def default(self) -> float | None:
        return self.initial


@dataclass(frozen=True)
class Boolean:
    initial: bool

    def clean(self, value: Any, path: str, problems: list[Problem]) -> bool:
        if not isinstance(value, bool):
            _wrong(path, "true or false", value, problems)
            return self.initial
        return value

    def default(self) -> bool:
        return self.initial


@dataclass(frozen=True)
class Choice:
    options: tuple[str, ...]
    initial: str

    def clean(self, value: Any, path: str, problems: list[Problem]) -> str:
        if isinstance(value, str) and value in self.options:
            return value
        near = difflib.get_close_matches(str(value), self.options, n=1)
        hint = f"Did you mean {near[0]}?" if near else ""
        problems.append(Problem(path, f"{value!r:.60} is not one of {', '.join(self.options)}.", hint))
        return self.initial

    def default(self) -> str:
        return self.initial


@dataclass(frozen=True)
class Day:
    """A date as ``YYYY-MM-DD``, or nothing."""

    def clean(self, value: Any, path: str, problems: list[Problem]) -> str | None:
        if value is None or value == "":
            return None
        text = value.isoformat() if isinstance(value, date) else value
        try:
            return date.fromisoformat(text).isoformat()
        except (TypeError, ValueError):
            problems.append(Problem(path, f"{value!r:.40} is not a date.", "Write it as 2026-01-31."))
            return None

    def default(self) -> None:
        return None


@dataclass(frozen=True)
class ListOf:
    item: Node
    max_items: int
    initial: tuple[Any, ...] = ()

    def clean(self, value: Any, path: str, problems: list[Problem]) -> list[Any]:
        if not isinstance(value, list):
            _wrong(path, "A list", value, problems)
            return self.default()
        if len(value) > self.max_items:
            problems.append(Problem(path, f"Has {len(value):,} entries; the limit is {self.max_items:,}."))
            value = value[: self.max_items]
        return [self.item.clean(entry, join(path, index + 1), problems) for index, entry in enumerate(value)]

    def default(self) -> list[Any]:
        return copy.deepcopy(list(self.initial))


@dataclass(frozen=True)
class AllOrList:
    """The word ``all``, or a list."""

    items: ListOf

    def clean(self, value: Any, path: str, problems: list[Problem]) -> str | list[Any]:
        return "all" if value == "all" else self.items.clean(value, path, problems)

    def default(self) -> str:
        return "all"


@dataclass(frozen=True)
class Table:
    """Free keys with a text each, in the order of the keys."""

    keys: Text
    values: Text
    max_items: int = 20

    def clean(self, value: Any, path: str, problems: list[Problem]) -> dict[str, str]:
        if not isinstance(value, dict):
            _wrong(path, "A section", value, problems)
            return {}
        if len(value) > self.max_items:
            problems.append(Problem(path, f"Has {len(value):,} entries; the limit is {self.max_items:,}."))
        cleaned: dict[str, str] = {}
        for key, entry in list(value.items())[: self.max_items]:
            name = self.keys.clean(key, join(path, key), problems)
            cleaned[name] = self.values.clean(entry, join(path, key), problems)
        return dict(sorted(cleaned.items()))

    def default(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class Record:
    """A section with known keys in a fixed order; missing ones get their default, unknown ones are problems."""

    fields: Mapping[str, Node]

    def clean(self, value: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
        if not isinstance(value, dict):
            _wrong(path, "A section", value, problems)
            return self.default()
        for key in value:
            if key not in self.fields:
                near = difflib.get_close_matches(str(key), list(self.fields), n=1)
                hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(self.fields)}."
                problems.append(Problem(join(path, key), f"There is no item {str(key)!r:.60} here.", hint))
        return {
            name: node.clean(value[name], join(path, name), problems) if name in value else node.default()
            for name, node in self.fields.items()
        }

    def default(self) -> dict[str, Any]:
        return {name: node.default() for name, node in self.fields.items()}


@dataclass(frozen=True)
class Optional:
    """A section that may be left out (null)."""

    node: Node

    def clean(self, value: Any, path: str, problems: list[Problem]) -> Any:
        return None if value is None else self.node.clean(value, path, problems)

    def default(self) -> None:
        return None

"""The protocol as a YAML file that people can read, review and keep under version control.

Only plain data is read: no tags, anchors or aliases, no key twice; ``yes``, ``NO`` and dates are texts. Writing a
canonical document and reading it again gives the same document.
"""

from __future__ import annotations

from typing import Any, Final

import yaml
from yaml.events import AliasEvent, CollectionStartEvent, ScalarEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from leukoweb.core.exceptions import DomainError
from reader_study.protocol.computable import lock_problems
from reader_study.protocol.document import canonical
from reader_study.protocol.nodes import Problem

MAX_BYTES: Final = 512 * 1024
MAX_DEPTH: Final = 8

COMMENTS: Final[dict[str, str]] = {
    "schema": "Protocol of a reader study (leukoweb). Research use only.",
    "question": "What the study asks, in a sentence or two.",
    "classes": "map: five, three, two or custom (then reference_map says which diagnosis is which class).",
    "cases": "patients: all of the cohort, or a list of codes. training: read first, never analysed.",
    "images_per_case": "rule: all fields, or fixed: k of each case, drawn by the seed.",
    "arms": "blinded, and ai_assisted for a crossover with the AI's result.",
    "readers": "sessions: the arm of each session, in order; two entries mean that the reader reads twice.",
    "primary_session": "Which session the main analysis takes; of who sees the AI in it, the first blinded one.",
    "washout_days": "Between two sessions of a reader, per case. Common: 14, 28, 42.",
    "order_seed": "The order of cases and fields in every session is drawn from it.",
    "navigation": "forward_only, or free until the session is sealed.",
    "viewer": "zoom between fields: kept or reset.",
    "idle_minutes": "After so many minutes in which nothing is touched the desk locks; nothing is lost.",
    "ai": "Pipelines by name and version; comparators are analysed beside the primary one.",
    "endpoints": "Exactly one is primary. Anything else that is analysed is exploratory.",
    "non_inferiority_margin": "In units of the primary metric, such as 0.1; null: no such claim.",
    "analysis": "missing: what 'cannot decide' counts as in the main analysis, exclude or wrong.",
    "planning": "What the sample size rests on.",
    "closes_on": "Last day of reading, such as 2026-12-31, or null.",
    "consent": "The reader agrees to this before the first case.",
}


class YamlRefused(DomainError):
    """Not a YAML file that can be a protocol; the message names the line."""

    code = "E_YAML"


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(document: Any) -> str:
    """The canonical document as text, each section with a line about what it means.

    Raises
    ------
    ProtocolRefused
    """
    parts = []
    for key, value in canonical(document).items():
        comment = f"# {COMMENTS[key]}\n" if key in COMMENTS else ""
        flat = isinstance(value, list) and all(not isinstance(item, dict) for item in value)
        body = yaml.dump(
            {key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, indent=2,
            default_flow_style=None if flat and value else False,
        )  # fmt: skip
        parts.append(comment + body)
    return "\n".join(parts)


def load_yaml(data: bytes | str) -> dict[str, Any]:
    """The canonical document of a YAML file.

    Raises
    ------
    YamlRefused
        Too large, not UTF-8, not YAML, or YAML with tags, anchors, aliases or double keys.
    ProtocolRefused
        YAML, but not built like a protocol; each problem names its line.
    """
    value, _ = _load(data)
    return canonical(value)


def check_yaml(data: bytes | str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The document (None if it cannot be read) and everything that stands between it and a lock, with lines."""
    try:
        value, lines = _load(data)
    except YamlRefused as error:
        return None, [Problem("", error.message, error.hint)]
    problems = [
        Problem(found.path, found.message, found.hint, _line(lines, found.path)) for found in lock_problems(value)
    ]  # fmt: skip
    return (value if isinstance(value, dict) else None), problems


def _load(data: bytes | str) -> tuple[Any, dict[str, int]]:
    text = _decoded(data)
    try:
        _refuse_tricks(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"Line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YamlRefused(f"{where}this is not YAML: {what}.", hint="Mend the line and try again.") from None
    except RecursionError:
        raise YamlRefused("The file is nested too deeply.") from None
    if not isinstance(node, MappingNode):
        raise YamlRefused("The file is not a protocol: it has no keys such as title and classes.")
    lines: dict[str, int] = {}
    return _value(node, "", lines), lines


def _decoded(data: bytes | str) -> str:
    size = len(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise YamlRefused(f"The file has {size / 1024:.0f} KiB; the limit is {MAX_BYTES // 1024} KiB.")
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlRefused(f"Line {line}: byte {data[error.start]:#04x} is not UTF-8.", hint="Save as UTF-8.") from None


def _refuse_tricks(text: str) -> None:
    """Anchors and aliases (bombs), tags (objects), several documents and deep nesting have no place in a protocol."""
    depth = n_documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise YamlRefused(f"Line {line}: anchors and aliases (& and *) are not allowed.", hint="Write it out.")
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag is not None:
            raise YamlRefused(f"Line {line}: tags ({event.tag}) are not allowed.", hint="Write plain values.")
        if isinstance(event, yaml.DocumentStartEvent):
            n_documents += 1
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise YamlRefused(f"Line {line}: nested deeper than {MAX_DEPTH} levels.")
    if n_documents > 1:
        raise YamlRefused("The file holds several documents (---); a protocol is one.")


def _value(node: Node, path: str, lines: dict[str, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise YamlRefused(f"Line {line}: a key has to be a word.")
            key = key_node.value
            if key in found:
                raise YamlRefused(f"Line {line}: {key} stands twice.", hint="Keep one of the two.")
            inner = f"{path}.{key}" if path else key
            lines[inner] = line
            found[key] = _value(value_node, inner, lines)
        return found
    if isinstance(node, SequenceNode):
        return [_value(item, f"{path}.{index}", lines) for index, item in enumerate(node.value, start=1)]
    return _scalar(node)


def _scalar(node: Node) -> Any:
    """Numbers, true, false and null are themselves; everything else, such as NO, yes or a date, is a text."""
    if node.tag == "tag:yaml.org,2002:null" and node.value in ("", "~", "null"):
        return None
    if node.tag == "tag:yaml.org,2002:bool" and node.value in ("true", "false"):
        return node.value == "true"
    if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        for kind in (int, float):
            try:
                return kind(node.value)
            except ValueError:
                continue
    return node.value


def _line(lines: dict[str, int], path: str) -> int:
    """Of the item itself, or of the nearest section around it."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path, 0) if path else 0

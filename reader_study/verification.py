"""Does a bundle still say what its inputs give? Everything is recomputed; every difference names file and table."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from leukoweb.core.chain import body_sha256
from leukoweb.core.exceptions import DomainError
from leukoweb.statistics.results import StatisticsError
from reader_study.analysis.canonical import canonical_json
from reader_study.analysis.run import analyse
from reader_study.analysis.table_model import flat_rows
from reader_study.analysis.tables import result_tables
from reader_study.bundle import INPUTS, MANIFEST, RESULTS, SCHEMA, TABLES, derived_files, manifest_bytes, pack
from reader_study.verification_protocol import protocol_differences

Compute = Callable[..., dict[str, Any]]
TOLERANCE = 1e-8  # relative; twelve digits are stored
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@dataclass(frozen=True, slots=True)
class Problem:
    """``table`` is empty where no table is concerned."""

    file: str
    what: str
    table: str = ""

    def __str__(self) -> str:
        return f"{self.file}{f' (table {self.table})' if self.table else ''}: {self.what}"


@dataclass(slots=True)
class Verdict:
    """What was checked and what does not fit."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_files: int = 0
    n_tables: int = 0
    title: str = ""

    @property
    def intact(self) -> bool:
        return not self.problems


def verify(data: bytes, *, version: str = "", compute: Compute = analyse) -> Verdict:
    """Check the bytes of a bundle. Never raises for what is in them.

    ``compute`` is ``analyse``, or a function that keeps its results.
    """
    verdict = Verdict()
    files = read_members(data)
    if files is None:
        verdict.problems.append(Problem("bundle", "not a bundle of leukoweb, or damaged beyond reading"))
        return verdict
    verdict.n_files = len(files)
    verdict.problems += (hashes := list(_hashes(files)))
    document, result = _json(files, INPUTS, verdict), _json(files, RESULTS, verdict)
    verdict.problems += _audit(files)
    verdict.problems += [Problem("protocol.json", what) for what in protocol_differences(document or {}) if document]
    fresh = _recompute(document, version, verdict, compute) if document is not None else None
    if document is None or fresh is None:
        verdict.problems.append(Problem(INPUTS, "no table could be recomputed", "all tables"))
    else:
        _compare(files, document, result, fresh, verdict)
        if not hashes:  # a file that the manifest contradicts is named above
            verdict.problems += _manifest(files, document, result or fresh)
    known = {problem.file for problem in verdict.problems}
    verdict.problems += [p for p in _structure(data, files) if p.file not in known]
    return verdict


def _json(files: Mapping[str, bytes], name: str, verdict: Verdict) -> dict[str, Any] | None:
    """The object in a file, whose bytes have to be the one text of it: a key that stands twice, another order or
    another way to write a number would let other programs read something else than was checked."""
    what = "not the text that this program writes for these data (a key twice, another order, blanks)"
    try:
        value = json.loads(files[name])
        if not isinstance(value, dict):
            what, value = f"not a JSON object, but a {type(value).__name__}", None
        elif (canonical_json(value) + "\n").encode() == files[name]:
            return value
    except KeyError:
        what, value = "missing", None
    except (ValueError, RecursionError) as error:
        what, value = f"not JSON any more ({error})", None
    verdict.problems.append(Problem(name, what))
    return value


def _hashes(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Each file against the manifest."""
    try:
        manifest = json.loads(files[MANIFEST])
        entries = {name: (entry["sha256"], entry["bytes"]) for name, entry in manifest["files"].items()}
        schema = manifest["schema"]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        yield Problem(MANIFEST, f"missing or damaged ({type(error).__name__}: {error})")
        return
    if schema != SCHEMA:
        yield Problem(MANIFEST, f"schema {schema!r}, this program knows {SCHEMA!r}")
    for name, (sha256, size) in entries.items():
        if name not in files:
            yield Problem(name, "named in the manifest, not in the bundle", _table(name))
        elif hashlib.sha256(files[name]).hexdigest() != sha256 or len(files[name]) != size:
            yield Problem(name, "changed: its SHA-256 is not the one in the manifest", _table(name))
    for name in sorted(set(files) - set(entries) - {MANIFEST}):
        yield Problem(name, "not named in the manifest", _table(name))


def _table(name: str) -> str:
    return name.removeprefix(TABLES).removesuffix(".csv") if name.startswith(TABLES) else ""


def _audit(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Each event's own hash; neighbours may lie outside the extract, so the chain itself is not walked."""
    for number, line in enumerate(files.get("audit.jsonl", b"").splitlines(), start=1):
        try:
            event = json.loads(line)
            stored = event.pop("hash")
            right = body_sha256(event) == stored
        except (ValueError, KeyError, TypeError, AttributeError):
            right = False
        if not right:
            yield Problem("audit.jsonl", f"line {number}: the event does not fit its hash")


def _recompute(document: dict[str, Any], version: str, verdict: Verdict, compute: Compute) -> dict[str, Any] | None:
    try:
        return compute(document, version=version)
    except (DomainError, StatisticsError) as error:
        verdict.problems.append(Problem(INPUTS, f"cannot be analysed: {error.message}"))
    except Exception as error:  # damaged inputs may break any assumption; the verdict has to say so, not to fail
        verdict.problems.append(Problem(INPUTS, f"cannot be analysed ({type(error).__name__}: {error})"))
    return None


def _compare(
    files: Mapping[str, bytes],
    document: dict[str, Any],
    result: dict[str, Any] | None,
    fresh: dict[str, Any],
    verdict: Verdict,
) -> None:
    """Stored results, tables and derived files against the recomputed ones."""
    verdict.title = str(document["study"].get("title", ""))
    stored = _software(result, fresh)
    if stored and stored != fresh["software"]:
        was, now = (", ".join(f"{k} {v}" for k, v in s.items()) for s in (stored, fresh["software"]))
        verdict.notes.append(f"made with {was}; checked with {now}")
    fresh["software"] = stored or fresh["software"]
    where = None if result is None else next(differences(result, fresh), None)
    if result is not None and where:
        what = f"differs from what the inputs give, first at {where}"
        verdict.problems.append(Problem(RESULTS, what, _tables_that_differ(result, fresh)))
    expected = derived_files(document, fresh)
    # Where another machine's arithmetic gave other last digits, every file has to be that of the stored result.
    told = expected if result is None or where else None
    for name, data in expected.items():
        if name in (INPUTS, RESULTS):
            continue
        verdict.n_tables += name.startswith(TABLES)
        if name not in files:
            verdict.problems.append(Problem(name, "missing", _table(name)))
        elif files[name] != data:
            told = told or derived_files(document, result or fresh)
            if files[name] != told[name]:
                at = _first_cell(files[name], data) or "in bytes that change no value"
                verdict.problems.append(Problem(name, f"differs from the recomputed one, {at}", _table(name)))
    for name in sorted(set(files) - set(expected) - {MANIFEST}):
        verdict.problems.append(Problem(name, "no file of a bundle of these inputs", _table(name)))


def _software(result: dict[str, Any] | None, fresh: dict[str, Any]) -> dict[str, str] | None:
    """Versions that the stored result names; no number depends on them."""
    found = result.get("software") if result else None
    if not isinstance(found, dict) or set(found) != set(fresh["software"]):
        return None
    return found if all(isinstance(version, str) for version in found.values()) else None


def _manifest(files: Mapping[str, bytes], document: dict[str, Any], result: dict[str, Any]) -> Iterator[Problem]:
    """The manifest has to be the one of these files, to the byte."""
    try:
        right = manifest_bytes(document, result, {name: data for name, data in files.items() if name != MANIFEST})
    except (KeyError, TypeError, ValueError):
        right = None
    if right != files[MANIFEST]:
        yield Problem(MANIFEST, "does not describe the files of the bundle")


def _tables_that_differ(stored: Any, fresh: dict[str, Any]) -> str:
    """Tables that the stored result would give otherwise."""
    try:
        ours = {t.key: list(flat_rows(t)) for t in result_tables(stored)}
    except Exception:  # a damaged result may lack anything
        return "all tables"
    theirs = {t.key: list(flat_rows(t)) for t in result_tables(fresh)}
    return ", ".join(key for key in theirs if next(differences(ours.get(key), theirs[key]), None) is not None)


def differences(stored: Any, fresh: Any, path: str = "") -> Iterator[str]:
    """Paths at which two JSON values differ; numbers within the tolerance are equal."""
    if isinstance(stored, dict) and isinstance(fresh, dict):
        for key in sorted({*stored, *fresh}):
            if key not in stored or key not in fresh:
                yield f"{path}/{key}"
            else:
                yield from differences(stored[key], fresh[key], f"{path}/{key}")
    elif isinstance(stored, list) and isinstance(fresh, list):
        if len(stored) != len(fresh):
            yield path
            return
        for index, (a, b) in enumerate(zip(stored, fresh, strict=True)):
            yield from differences(a, b, f"{path}/{index}")
    elif _number(stored) and _number(fresh):
        if not math.isclose(stored, fresh, rel_tol=TOLERANCE, abs_tol=1e-12):
            yield path
    elif type(stored) is not type(fresh) or stored != fresh:  # else true would be 1
        yield path


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _first_cell(stored: bytes, fresh: bytes) -> str:
    """Where two CSV files differ beyond the tolerance; empty if nowhere."""
    try:
        ours = list(csv.reader(io.StringIO(stored.decode(), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return "it is no readable text"
    theirs = list(csv.reader(io.StringIO(fresh.decode(), newline="")))
    header = theirs[0] if theirs else []
    for line, (a, b) in enumerate(zip(ours, theirs, strict=False), start=1):
        for column, (x, y) in enumerate(zip(a, b, strict=False)):
            if x != y and not _close(x, y):
                name = header[column] if column < len(header) else str(column + 1)
                return f"first at line {line}, column {name}: {x[:60]!r} instead of {y[:60]!r}"
        if len(a) != len(b):
            return f"line {line} has {len(a)} cells instead of {len(b)}"
    return f"{len(ours)} lines instead of {len(theirs)}" if len(ours) != len(theirs) else ""


def _close(x: str, y: str) -> bool:
    try:
        return math.isclose(float(x), float(y), rel_tol=TOLERANCE, abs_tol=1e-12)
    except ValueError:
        return False


# -- the zip itself: members are found twice, for one damaged byte cannot hit both the headers and the directory ------


def read_members(data: bytes) -> dict[str, bytes] | None:
    """Files by name, from whichever of directory and headers explains the bytes better; None if neither does."""
    readings = []
    for walk in (_by_directory, _by_headers):
        try:
            files = walk(data)
        except (struct.error, ValueError, IndexError):
            continue
        if files:
            readings.append((len(_differing(data, pack(files))), files))
    return min(readings, key=lambda reading: reading[0])[1] if readings else None


def _differing(one: bytes, two: bytes) -> list[int]:
    """Offsets that differ; a difference in length counts from the shorter end."""
    shared = min(len(one), len(two))
    if one[:shared] == two[:shared]:
        found = []
    else:
        found = [i for i in range(shared) if one[i] != two[i]]
    return found + list(range(shared, max(len(one), len(two))))


def _by_directory(data: bytes) -> dict[str, bytes]:
    end = data.rindex(_END)
    count, _, start = struct.unpack("<HII", data[end + 10 : end + 20])
    files, at = {}, start
    for _ in range(count):
        size, name_size, extra, comment = struct.unpack("<IHHH", data[at + 24 : at + 34])
        offset = struct.unpack("<I", data[at + 42 : at + 46])[0]
        name = data[at + 46 : at + 46 + name_size].decode()
        begin = offset + 30 + len(name.encode())
        if begin + size > len(data):
            raise ValueError("beyond the end")
        files[name] = data[begin : begin + size]
        at += 46 + name_size + extra + comment
    return files


def _by_headers(data: bytes) -> dict[str, bytes]:
    files, at = {}, 0
    while at < len(data) and data[at : at + 4] not in (_CENTRAL, _END):
        size, _, name_size = struct.unpack("<IIH", data[at + 18 : at + 28])
        name = data[at + 30 : at + 30 + name_size].decode()
        begin = at + 30 + name_size
        if not name or begin + size > len(data):
            raise ValueError("a header that leads nowhere")
        files[name] = data[begin : begin + size]
        at = begin + size
    return files


def _structure(data: bytes, files: Mapping[str, bytes]) -> list[Problem]:
    """Bytes of the zip around the files that are not as this program writes them."""
    packed = pack(files)
    differing = _differing(data, packed)
    if not differing:
        return []
    first = differing[0]
    at = 0
    for name in sorted(files, key=lambda n: (n != MANIFEST, n)):
        at += 30 + len(name.encode())
        if first < at:
            return [Problem(name, f"the zip's header of this file is damaged at byte {first}", _table(name))]
        at += len(files[name])
        if first < at:
            return [Problem(name, f"changed at byte {first} of the bundle", _table(name))]
    for name in sorted(files, key=lambda n: (n != MANIFEST, n)):
        at += 46 + len(name.encode())
        if first < at:
            return [Problem(name, f"the zip's directory entry of this file is damaged at byte {first}", _table(name))]
    return [Problem("bundle", f"the end of the zip is damaged at byte {first}")]

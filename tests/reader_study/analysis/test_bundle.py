"""The bundle: what is in it, and that no byte of it can change unseen."""

from __future__ import annotations

import copy
import hashlib
import json
import lzma
import random
import zipfile
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from leukoweb.core.chain import body_sha256
from reader_study.analysis.canonical import canonical_json
from reader_study.analysis.run import analyse
from reader_study.bundle import bundle_bytes, bundle_files, pack
from reader_study.protocol import locked_sha256
from reader_study.verification import _structure, read_members, verify
from reader_study.verification_protocol import protocol_differences
from tests.reader_study.analysis.documents import with_protocol

Document = dict[str, Any]
EVENT = {"previous": "0" * 64, "at": "2026-01-01T00:00:00.000000+00:00", "actor": None, "actor_name": "system",
         "action": "study.lock", "target": "study:1", "data": {"n": 3}, "reason": ""}  # fmt: skip


@pytest.fixture(scope="module")
def made(document: Document) -> tuple[Document, Document, bytes]:
    audited = with_protocol(document) | {"audit": [EVENT | {"id": 1, "hash": body_sha256(EVENT)}]}
    result = analyse(audited, version="0")
    return audited, result, bundle_bytes(audited, result)


def test_an_untouched_bundle_passes_and_says_how_much_it_checked(made: tuple[Document, Document, bytes]) -> None:
    document, result, data = made
    verdict = verify(data, version="0")
    assert verdict.intact, verdict.problems
    assert verdict.n_tables > 40
    assert (verdict.title, verdict.notes) == ("A small study", [])
    assert bundle_bytes(document, result) == data
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        manifest = json.loads(archive.read("manifest.json"))
        predictions = archive.read("predictions.csv").decode()
    assert {"protocol.json", "readings.csv", "orders.csv", "predictions.csv", "audit.jsonl", "results.json"} <= names
    assert set(manifest["files"]) == names - {"manifest.json"}
    assert "c" * 64 in predictions
    assert "b" * 64 in predictions


@pytest.mark.parametrize(("number", "name"), [(1, "first"), (2, "second"), (3, "third")])
def test_a_bundle_of_an_earlier_edition_is_recomputed_as_it_was_computed(number: int, name: str) -> None:
    """1: two sessions with AI of one reader, undecided answers counted as wrong. 2: AI that are undecided at one level,
    a reader without a primary session, sessions left out, an import after the unblinding. 3: evaluators without a case
    in common, or not asked at five classes, a second primary session, cases that nobody read, much that came late."""
    packed = Path(__file__).parent / "data" / f"bundle_edition_{number}.zip.xz"
    verdict = verify(lzma.decompress(packed.read_bytes()), version="0")
    assert verdict.title == f"A study of the {name} edition"
    assert verdict.intact, verdict.problems


def test_another_version_of_the_software_is_a_note_no_difference(made: tuple[Document, Document, bytes]) -> None:
    verdict = verify(made[2], version="9")
    assert verdict.intact
    assert "leukoweb 9" in verdict.notes[0]


class Kept:
    """``analyse`` that computes the same inputs once."""

    def __init__(self) -> None:
        self.results: dict[str, str] = {}

    def __call__(self, document: Document, *, version: str = "") -> Document:
        key = canonical_json(document)
        if key not in self.results:
            self.results[key] = json.dumps(analyse(document, version=version))
        return json.loads(self.results[key])


KEPT = Kept()


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    out = bytearray(data)
    out[at] ^= 1 << bit
    return bytes(out)


def file_at(data: bytes, at: int) -> str | None:
    """The file whose content lies at a byte; None between files."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + len(info.filename.encode())
            if start <= at < start + info.file_size:
                return info.filename
    return None


@pytest.mark.parametrize("n_flips", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_of_random_flips_each_is_found_and_its_file_named(made: tuple[Document, Document, bytes], n_flips: int) -> None:
    data, rng, kept = made[2], random.Random(20), Kept()
    for _ in range(n_flips):
        at = rng.randrange(len(data))
        problems = verify(flipped(data, at, rng.randrange(8)), version="0", compute=kept).problems
        assert problems, at
        name = file_at(data, at)
        if name:
            assert name in {p.file for p in problems}, (at, name)
        if name and name.startswith("tables/"):
            assert name[7:-4] in {p.table for p in problems}


def test_every_byte_around_the_files_counts(made: tuple[Document, Document, bytes]) -> None:
    files = dict(list({name: data[:40] for name, data in bundle_files(made[0], made[1]).items()}.items())[:4])
    data = pack(files)
    for at in range(len(data)):
        if file_at(data, at) is None:
            damaged = flipped(data, at)
            members = read_members(damaged)
            assert members is None or _structure(damaged, members) or members != files, at


def test_a_changed_answer_names_the_tables_that_would_be_others(made: tuple[Document, Document, bytes]) -> None:
    document, result, _ = made
    files = bundle_files(document, result)
    text = files["inputs.json"].decode()
    at = text.index('"five":"AML"')
    forged = files | {"inputs.json": (text[:at] + '"five":"ALL"' + text[at + 12 :]).encode()}
    problems = verify(pack(forged), version="0").problems
    assert {p.file for p in problems} >= {"inputs.json", "results.json", "readings.csv", "tables/metrics_five.csv"}
    assert "metrics_five" in {p.table for p in problems}


def test_a_forged_table_with_a_forged_manifest_is_found_by_recomputing(made: tuple[Document, Document, bytes]) -> None:
    files = dict(bundle_files(made[0], made[1]))
    name = "tables/metrics_five.csv"
    files[name] = files[name].replace(b"0.7", b"0.9", 1)
    manifest = json.loads(files["manifest.json"])
    manifest["files"][name]["sha256"] = hashlib.sha256(files[name]).hexdigest()
    files["manifest.json"] = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    problems = verify(pack(files), version="0").problems
    assert (problems[0].file, problems[0].table) == (name, "metrics_five")
    assert "line 2" in problems[0].what


def manifested(files: dict[str, bytes]) -> bytes:
    """The bundle with a manifest of its files as they are: what a forger does who leaves no hash behind."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items() if name != "manifest.json"
    }  # fmt: skip
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return pack(files | {"manifest.json": text.encode()})


def _double(text: bytes) -> bytes:
    """A false copy of the first key before the true one, which a reader of JSON takes, or the other way round."""
    name = text[1 : text.index(b":")]
    return b"{" + name + b':"false",' + text[1:]


@pytest.mark.parametrize(
    ("name", "forge", "told"),
    [
        ("results.json", None, "missing"),
        ("results.json", lambda text: b"[" + text.strip() + b"]\n", "not a JSON object, but a list"),
        ("results.json", lambda _: b"null\n", "not a JSON object, but a NoneType"),
        ("results.json", _double, "a key twice"),
        ("results.json", lambda text: text.replace(b'"prespecified":true', b'"prespecified":1', 1), "/prespecified"),
        ("results.json", lambda text: text.replace(b":", b": ", 1), "not the text"),
        ("results.json", lambda text: text.replace(b'"numpy":"', b'"numpy":[],"more":"', 1), "/software"),
        ("inputs.json", None, "missing"),
        ("inputs.json", lambda text: b"[" + text.strip() + b"]\n", "not a JSON object, but a list"),
        ("inputs.json", _double, "a key twice"),
        ("tables/endpoints_final.csv", lambda _: b"endpoint,estimate\r\nAccuracy,0.99\r\n", "no file of a bundle"),
        ("orders.csv", lambda text: text.replace(b"evaluator", b'"evaluator"', 1), "in bytes that change no value"),
        ("protocol.json", lambda text: text.replace(b": {", b":  {", 1), "differs from the recomputed one"),
        ("manifest.json", lambda text: text.replace(b"true", b"false", 1), "does not describe"),
    ],
)  # fmt: skip
def test_no_forgery_passes_whose_hashes_fit(
    made: tuple[Document, Document, bytes], name: str, forge: Any, told: str
) -> None:
    files = dict(bundle_files(made[0], made[1]))
    if forge is None:
        del files[name]
    else:
        files[name] = forge(files.get(name, b""))
    problems = verify(manifested(files), version="0", compute=KEPT).problems
    assert any(problem.file == name and told in problem.what for problem in problems), problems


def _versions(document: Document) -> Document:
    return document["protocol"]["versions"]


def _sign(document: Document) -> None:
    """New hashes for the protocol's documents as they stand."""
    rows, newest = _versions(document), document["protocol"]["document"]
    for row, body in zip(rows, [*(row.get("document") for row in rows[:-1]), newest], strict=True):
        row["sha256"] = locked_sha256(body) if body else row["sha256"]
    document["protocol"]["sha256"] = rows[-1]["sha256"]


def _margin(document: Document) -> None:
    document["protocol"]["document"] |= {"non_inferiority_margin": 0.02, "washout_days": 14}


def _margin_signed(document: Document) -> None:
    _margin(document)
    _sign(document)


def _rule(document: Document) -> None:
    document["plan"]["missing"] = "wrong"


def _endpoint(document: Document) -> None:
    document["plan"]["endpoints"][0]["metric"] = "macro_ppv"


def _hash(document: Document) -> None:
    document["protocol"]["sha256"] = "0" * 64


def _numbers(document: Document) -> None:
    _versions(document)[0]["version"] = 7


def _earlier(document: Document) -> None:
    """An endpoint that the amendment brought was there from the start."""
    _versions(document)[0]["document"]["endpoints"] = document["protocol"]["document"]["endpoints"]


def _since(document: Document) -> None:
    document["plan"]["endpoints"][-1]["since_version"] = 1


def _rule_since(document: Document) -> None:
    del document["plan"]["since"]


def _changes(document: Document) -> None:
    _versions(document)[1]["changes"] = []


def _broken(document: Document) -> None:
    document["protocol"]["versions"] = {}


@pytest.mark.parametrize(
    ("forge", "told"),
    [
        (_margin, "its SHA-256 is not the one that was signed"),
        (_margin_signed, "another margin"),
        (_margin_signed, "another washout_days"),
        (_rule, "another missing"),
        (_endpoint, "another endpoints"),
        (_hash, "not those of its last version"),
        (_numbers, "not numbered from 1 on"),
        (_earlier, "version 1 was changed"),
        (_earlier, "did not change what it is said to have changed"),
        (_changes, "did not change what it is said to have changed"),
        (_since, "another endpoints"),
        (_rule_since, "another since"),
        (_broken, "not built as a protocol"),
    ],
)
def test_another_protocol_than_was_locked_or_analysed_is_found(
    made: tuple[Document, Document, bytes], forge: Any, told: str
) -> None:
    document = copy.deepcopy(made[0])
    forge(document)
    found = protocol_differences(document)
    assert any(told in what for what in found), found


def test_a_bundle_that_fits_another_protocol_does_not_pass(made: tuple[Document, Document, bytes]) -> None:
    """All files fit each other, for everything was computed anew after the change; the hash of the lock was left."""
    document = copy.deepcopy(made[0])
    _margin(document)
    problems = verify(bundle_bytes(document, KEPT(document, version="0")), version="0", compute=KEPT).problems
    assert {problem.file for problem in problems} == {"protocol.json"}, problems
    assert protocol_differences(made[0]) == []


def test_files_taken_out_or_put_in_are_named(made: tuple[Document, Document, bytes]) -> None:
    files = dict(bundle_files(made[0], made[1]))
    del files["orders.csv"]
    files["extra.txt"] = b"x"
    named = {p.file for p in verify(pack(files), version="0").problems}
    assert {"orders.csv", "extra.txt"} <= named


@pytest.mark.parametrize("data", [b"", b"not a zip at all", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + b"\xff" * 60])
def test_what_is_no_bundle_is_said_to_be_none(data: bytes) -> None:
    assert not verify(data).intact


def test_the_command_needs_no_database_and_fails_with_the_reasons(
    made: tuple[Document, Document, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(made[2])
    out = StringIO()
    call_command("verify_bundle", str(path), stdout=out)
    assert "tables recomputed" in out.getvalue()
    path.write_bytes(flipped(made[2], len(made[2]) // 2))
    out = StringIO()
    with pytest.raises(CommandError, match="difference"):
        call_command("verify_bundle", str(path), "--format", "json", stdout=out)
    assert not json.loads(out.getvalue())["intact"]
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("verify_bundle", str(tmp_path / "none.zip"))

"""The catalogue of bad inputs: each with its number, what it is, the doors it is driven through and what answers.

Doors
-----
put
    The browser's way: a manifest, then the raw bytes by PUT (``/api/v1/uploads/``).
import
    ``manage.py import_slides`` over a folder that holds the file.
diagnose
    ``manage.py diagnose`` with the file.
zip
    An archive by PUT, unpacked by the job.
slides.csv, references.csv
    ``import_slides --csv`` and ``import_references``.
api
    A JSON request. A row with ``part`` belongs to another part of the program, whose tests hold it.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tests.cases.bad_images import BAD
from tests.cases.image_files import exif, field, png_of, saved
from tests.cases.test_archives import named, special, with_flag, with_stated_size, zipped

JPEG = saved(field(), "JPEG")
FILE = ("put", "import", "diagnose")


@dataclass(frozen=True)
class Row:
    """One input. ``code`` is what refuses it; empty: it is taken in and carries ``notes``."""

    number: int
    what: str
    doors: tuple[str, ...]
    make: Callable[[], Any] = bytes
    name: str = "field.jpg"
    code: str = ""
    notes: frozenset[str] = frozenset()
    status: int = 400
    part: str = ""

    @property
    def key(self) -> str:
        return f"{self.number:03d} {self.what}"


def _bad(number: int, what: str, key: str, *, doors: tuple[str, ...] = FILE, status: int = 400) -> Row:
    data, name, code = BAD[key]
    return Row(number, what, doors, lambda: data, name, code, status=status)


def _taken(number: int, what: str, make: Callable[[], bytes], *notes: str, name: str = "field.jpg") -> Row:
    return Row(number, what, FILE, make, name, notes=frozenset(notes))


def _zip(number: int, what: str, make: Callable[[], bytes], code: str = "", *notes: str) -> Row:
    return Row(number, what, ("zip",), make, "drop.zip", code, frozenset(notes))


def _csv(number: int, what: str, text: str | bytes, code: str, *, door: str = "slides.csv") -> Row:
    data = text.encode() if isinstance(text, str) else text
    return Row(number, what, (door,), lambda: data, door, code)


def _api(number: int, what: str, body: bytes, code: str, status: int = 400, name: str = "application/json") -> Row:
    return Row(number, what, ("api",), lambda: body, name, code, status=status)


def _elsewhere(number: int, what: str, part: str) -> Row:
    return Row(number, what, (), part=part)


def _grey16() -> bytes:
    high = np.asarray(field().convert("L"), dtype=np.uint16) * 257
    return saved(Image.fromarray(high), "PNG")


def _opaque() -> bytes:
    image = field().convert("RGBA")
    image.putalpha(255)
    return saved(image, "PNG")


def _twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", JPEG)
        info = zipfile.ZipInfo("a.jpg")
        archive.NameToInfo.clear()  # so that the library does not warn
        archive.writestr(info, JPEG[::-1])
    return buffer.getvalue()


def _encrypted() -> bytes:
    return with_flag(0x01)


def _junk_beside() -> bytes:
    return zipped(("a.jpg", JPEG), ("__MACOSX/._a.jpg", b"x"), (".DS_Store", b"x"), ("Thumbs.db", b"x"))


HEAD = "file,patient,slide,order,reference\n"
IMAGE_ROWS = (
    _bad(1, "0-byte file", "0 bytes"),
    _bad(2, "1 byte 0xFF", "1 byte FF"),
    _bad(3, "text renamed .jpg", "text"),
    _bad(4, "HTML with script renamed .jpg", "html"),
    _bad(5, "SVG with script", "svg"),
    Row(6, "PDF", FILE, lambda: BAD["pdf"][0], "scan.jpg", "E_TYPE_NOT_ALLOWED"),
    _bad(7, "DICOM", "dicom"),
    _bad(8, "HEIC", "heic"),
    _bad(9, "EPS", "eps"),
    _bad(10, "whole-slide file", "svs"),
    _bad(11, "JPEG cut at 50 %", "JPEG cut at 50 %"),
    _bad(12, "JPEG header only", "JPEG header only"),
    _bad(13, "PNG with a bad checksum", "PNG with a bad checksum"),
    _bad(14, "PNG with IDAT too short", "PNG with IDAT too short"),
    _bad(15, "PNG 50,000 x 50,000", "PNG 50,000 x 50,000"),
    _bad(16, "PNG 12,000 x 12,000", "PNG 12,000 x 12,000"),
    Row(17, "PNG 0 x 0", FILE, lambda: png_of(0, 0), "a.png", "E_CORRUPT"),
    _bad(18, "PNG with a text bomb of 80 MB", "zTXt bomb"),
    _taken(19, "JPEG with a PHP tail", lambda: JPEG + b"<?php system($_GET['c']); ?>", "W_TRAILING_BYTES"),
    _taken(20, "JPEG with a ZIP tail", lambda: JPEG + zipped(("x.txt", b"x")), "W_TRAILING_BYTES"),
    _bad(21, "30 MB", "30 MB", status=413),
    _bad(23, "1 x 1 px", "1 x 1"),
    _bad(24, "8 x 4000 strip", "8 x 4000"),
    _taken(25, "one colour", lambda: saved(Image.new("RGB", (160, 120), (0, 0, 0)), "PNG"), "W_BLANK", name="b.png"),
    _taken(26, "grey JPEG", lambda: saved(field().convert("L"), "JPEG"), "N_GREY"),
    _bad(27, "CMYK JPEG", "JPEG CMYK"),
    _taken(28, "16-bit PNG", _grey16, "N_GREY", "N_16BIT", name="a.png"),
    _bad(29, "RGBA with real transparency", "RGBA PNG"),
    _taken(29, "RGBA, opaque", _opaque, "N_ALPHA_DROPPED", name="a.png"),
    _taken(30, "palette PNG", lambda: saved(field().quantize(64), "PNG"), "N_PALETTE", name="a.png"),
    _bad(31, "1-bit PNG", "1-bit PNG"),
    _bad(32, "animated GIF", "animated GIF"),
    _bad(32, "animated PNG", "animated PNG"),
    _bad(33, "4-page TIFF", "4-page TIFF"),
    _taken(34, "EXIF orientation 6", lambda: saved(field(), "JPEG", exif=exif(6)), "N_ROTATED", "N_METADATA_REMOVED"),
    _taken(35, "EXIF with a name, GPS, a serial", lambda: saved(field(), "JPEG", exif=exif(1)), "N_METADATA_REMOVED"),
    _taken(36, "thumbnail in EXIF", lambda: saved(field(), "JPEG", exif=exif(1)), "N_METADATA_REMOVED"),
    _taken(37, ".png name, JPEG bytes", lambda: JPEG, "W_EXT_MISMATCH", name="a.png"),
    _taken(38, "double extension", lambda: JPEG, name="a.php.jpg"),
    Row(39, "name that climbs", ("put",), lambda: JPEG, "../../etc/passwd.jpg", notes=frozenset()),
    Row(40, "name that climbs backwards", ("put",), lambda: JPEG, "..\\..\\x.jpg", notes=frozenset()),
    Row(41, "NUL in the name", ("put",), lambda: JPEG, "a\x00.jpg", "E_TEXT"),
    _bad(42, "text-direction mark in the name", "name with a text-direction mark"),
    Row(43, "name of 300 characters", ("put",), lambda: JPEG, "x" * 300 + ".jpg", "E_NAME"),
    Row(44, "name that is an extension", ("put",), lambda: JPEG, ".jpg", "E_NAME"),
    _taken(45, "markup in the name", lambda: JPEG, "W_NAME_LOOKS_LIKE_ID", name="<img onerror=alert(1)>.jpg"),
    _taken(46, "a person's name", lambda: JPEG, "W_NAME_LOOKS_LIKE_ID", name="DOE_JOHN_1970-01-02_MRN123.jpg"),
)
ZIP_ROWS = (
    _zip(57, "path that climbs", lambda: zipped((named("../../x.jpg"), JPEG)), "E_ZIP_PATH"),
    _zip(58, "absolute path", lambda: zipped((named("/etc/x.jpg"), JPEG)), "E_ZIP_PATH"),
    _zip(59, "drive", lambda: zipped((named("C:\\x.jpg"), JPEG)), "E_ZIP_PATH"),
    _zip(60, "symbolic link", lambda: zipped((special(stat.S_IFLNK), b"/etc/passwd")), "E_ZIP_LINK"),
    _zip(61, "bomb", lambda: zipped(("a.png", bytes(24_000_000))), "E_ZIP_RATIO"),
    _zip(62, "false size", lambda: with_stated_size(zipped(("a.png", JPEG)), 100), "E_ZIP_SIZE"),
    _zip(63, "10,001 members", lambda: zipped(*[(f"{n}.jpg", b"") for n in range(10_001)]), "E_ZIP_COUNT"),
    _zip(64, "zip in a zip", lambda: zipped(("a.jpg", JPEG), ("b.zip", zipped(("c.jpg", JPEG)))), "E_ZIP_NESTED"),
    _zip(65, "encrypted", _encrypted, "E_ZIP_ENCRYPTED"),
    _zip(66, "one name twice", _twice, "E_ZIP_DUPLICATE"),
    _zip(67, "names that differ by case", lambda: zipped(("a.jpg", JPEG), ("A.JPG", JPEG)), "E_ZIP_CASE"),
    _zip(68, "files of operating systems", _junk_beside),
    _zip(69, "member name of 300 characters", lambda: zipped(("n" * 300 + ".jpg", JPEG)), "E_NAME"),
    _zip(70, "cut in half", lambda: zipped(("a.jpg", JPEG))[: len(JPEG) // 2], "E_ZIP_CORRUPT"),
    _zip(71, "not a zip", lambda: b"not a zip at all" * 20, "E_ZIP_CORRUPT"),
)
CSV_ROWS = (
    _csv(72, "a diagnosis that is none", HEAD + "a.jpg,P1,S1,1,AMLL\n", "E_CLASS"),
    _csv(73, "a patient with two diagnoses", HEAD + "a.jpg,P1,S1,1,AML\nb.jpg,P1,S2,1,ALL\n", "E_TRUTH_CONFLICT"),
    _csv(74, "a row without its file", HEAD + "absent.jpg,P1,S1,1,\n", "E_FILE_MISSING"),
    _csv(75, "a file without its row", HEAD + "other.jpg,P1,S1,1,\n", "E_NOT_LISTED"),
    _csv(76, "latin-1", "file,patient\nk\xf6rner.jpg,P1\n".encode("latin-1"), "E_ENCODING"),
    _csv(77, "UTF-16", HEAD.encode("utf-16"), "E_ENCODING"),
    _csv(78, "with a byte order mark", b"\xef\xbb\xbffile,patient\na.jpg,P1\n", ""),
    _csv(79, "semicolons", "file;patient\na.jpg;P1\n", "E_CSV_DELIMITER"),
    _csv(80, "NUL", "file,patient\na\x00.jpg,P1\n", "E_CSV_NUL"),
    _csv(81, "a field of 200,000 characters", "file,patient,note\na.jpg,P1," + "x" * 200_000 + "\n", "E_CSV_FIELD"),
    _csv(82, "a column missing", "patient\nP1\n", "E_CSV_HEADER"),
    _csv(82, "a column twice", "file,patient,patient\na.jpg,P1,P1\n", "E_CSV_HEADER"),
    _csv(82, "a column too many", "file,patient,mood\na.jpg,P1,good\n", "E_CSV_HEADER"),
    _csv(83, "a cell too many", "file,patient\na.jpg,P1,extra\n", "E_CSV_ROW"),
    _csv(84, "a diagnosis in small letters", HEAD + "a.jpg,P1,S1,1,aml\n", "E_CLASS"),
    _csv(84, "a diagnosis with an invisible sign", HEAD + "a.jpg,P1,S1,1,AML\u200b\n", "E_CLASS"),
    _csv(84, "a diagnosis in small letters", "patient,diagnosis\nP1,aml\n", "E_CLASS", door="references.csv"),
    _csv(86, "two diagnoses", "patient,diagnosis\nP1,AML\nP1,ALL\n", "E_TRUTH_CONFLICT", door="references.csv"),
    _csv(87, "a formula as a code", 'file,patient\na.jpg,"=HYPERLINK(""x"")"\n', "E_CODE_CHARS"),
    _csv(88, "31 February", "file,patient,captured_on\na.jpg,P1,31/02/2023\n", "E_DATE"),
    _csv(88, "month 13", "file,patient,captured_on\na.jpg,P1,2023-13-01\n", "E_DATE"),
    _csv(88, "year 1", "file,patient,captured_on\na.jpg,P1,0001-01-01\n", "E_DATE"),
    _csv(88, "the future", "file,patient,captured_on\na.jpg,P1,2999-01-01\n", "E_DATE"),
    _csv(89, "minutes out of range", "file,patient,minutes\na.jpg,P1,-1\n", "E_RANGE"),
    _csv(89, "minutes in words", "file,patient,minutes\na.jpg,P1,forty\n", "E_RANGE"),
    _csv(90, "a million rows", "file,patient\n" + "a.jpg,P\n" * 1_000_000, "E_ROWS"),
)
API_ROWS = (
    _api(93, "broken JSON", b'{"slide": ', "E_JSON"),
    _api(94, "100,000 nested arrays", b"[" * 100_000, "E_JSON_DEPTH"),
    _api(95, "a key twice", b'{"slide": 1, "slide": 2}', "E_JSON_DUPLICATE"),
    _api(96, "NaN", b'{"slide": NaN}', "E_JSON"),
    _api(96, "1e999", b'{"slide": 1e999}', "E_INVALID"),
    _api(97, "a number of 400 digits", b'{"slide": ' + b"9" * 400 + b"}", "E_INVALID"),
    _api(97, "a number of 5,000 digits", b'{"slide": ' + b"9" * 5000 + b"}", "E_INVALID"),
    _api(97, "a number of 20 digits", b'{"slide": 18446744073709551616}', "E_INVALID"),
    _api(98, "true for a number", b'{"slide": true}', "E_INVALID"),
    _api(98, "1.5 for a number", b'{"slide": 1.5}', "E_INVALID"),
    _api(99, "half of a surrogate pair", b'{"slides": [{"patient": "\\ud800", "slide": "a"}]}', "E_TEXT"),
    _api(99, "NUL", b'{"slides": [{"patient": "\\u0000", "slide": "a"}]}', "E_TEXT"),
    _api(100, "latin-1", b'{"slides": "\xf6"}', "E_ENCODING"),
    _api(100, "a form", b"slide=1", "E_MEDIA_TYPE", 415, "application/x-www-form-urlencoded"),
    _api(101, "an unknown field", b'{"is_final": true, "reader": 7}', "E_INVALID"),
)
SPECIAL_ROWS = tuple(
    Row(number, what, ("special",))
    for number, what in [
        (22, "a body without a stated length"), (47, "the same file twice in a slide"),
        (48, "the same file in another patient"), (50, "more files than one request takes"),
        (51, "the 151st field of a slide"), (52, "a body that ends early"), (53, "a multipart body"),
        (54, "another checksum than announced"), (55, "a full disk"), (56, "an upload that is closed"),
        (91, "an import run twice"), (92, "an import cut by a kill"), (112, "a page of a billion rows"),
        (113, "an expired sign-in"), (118, "wrong use of the command line"),
    ]
)  # fmt: skip
ELSEWHERE = (
    _elsewhere(49, "near duplicate across patients", "curation: measured on the stored perceptual hash"),
    _elsewhere(85, "a diagnosis outside the study's scheme", "protocol"),
    _elsewhere(102, "token of another reader", "readings"),
    _elsewhere(103, "answer for a case of another session", "readings"),
    _elsewhere(104, "answer out of range", "readings"),
    _elsewhere(105, "final submit with open cases", "readings"),
    _elsewhere(106, "second final submit", "readings"),
    _elsewhere(107, "same key, other body", "readings"),
    _elsewhere(108, "stale version", "readings"),
    _elsewhere(109, "edit after signature", "readings"),
    _elsewhere(110, "session 2 before the washout", "protocol"),
    _elsewhere(111, "a client's clock", "readings"),
    _elsewhere(114, "weights", "models: tests/inference/pipeline/test_checkpoint.py"),
    _elsewhere(115, "impossible data sets", "training"),
    _elsewhere(116, "prediction without a usable image", "pipeline: tests/inference"),
    _elsewhere(117, "undefined statistics", "statistics: tests/statistics"),
)
ROWS = (*IMAGE_ROWS, *ZIP_ROWS, *CSV_ROWS, *API_ROWS, *SPECIAL_ROWS, *ELSEWHERE)

__all__ = ["API_ROWS", "CSV_ROWS", "ELSEWHERE", "IMAGE_ROWS", "ROWS", "SPECIAL_ROWS", "ZIP_ROWS", "Row"]

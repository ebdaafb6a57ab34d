"""The catalogue of bad inputs at the command line, as a person runs it: one line each, the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.management import execute_from_command_line
from django.db import connections

from tests.cases.catalogue import IMAGE_ROWS, JPEG, Row
from tests.test_launcher import environment

ROOT = Path(__file__).resolve().parents[2]


def manage(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=environment(data), capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """Every input that a folder can hold, each in a folder of its own: {path in the folder: row}."""
    root = tmp_path_factory.mktemp("catalogue")
    found = {}
    for number, row in enumerate(row for row in IMAGE_ROWS if "import" in row.doors):
        path = root / f"{number:03d}" / row.name
        path.parent.mkdir()
        path.write_bytes(row.make())
        found[str(path.relative_to(root))] = row
    found["root"] = root  # type: ignore[assignment]
    return found


def in_this_process(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """(exit code, output, errors) of a command. A start of Python costs more than most commands do."""
    code = 0
    with patch.object(connections, "close_all"):  # a command ends with it; the test's transaction would be lost
        try:
            execute_from_command_line(["manage.py", *words])
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, *capsys.readouterr()


def test_an_older_database_is_named(files: dict[str, Row], tmp_path: Path) -> None:
    """Row 118."""
    unready = manage(tmp_path, "import_slides", str(files["root"]), "--cohort", "Catalogue")
    assert (unready.returncode, unready.stderr.count("\n")) == (2, 1)
    assert "manage.py migrate" in unready.stderr


@pytest.mark.django_db
def test_import_slides_names_each_bad_file_and_takes_the_others(
    files: dict[str, Row], data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, rows = files["root"], {path: row for path, row in files.items() if path != "root"}
    code, out, errors = in_this_process(capsys, "import_slides", str(root), "--cohort", "Catalogue")
    assert code == 1
    assert "Traceback" not in errors
    refused = {}
    for line in errors.splitlines()[:-1]:
        word, path, told, message = line.split("  ", 3)
        assert word == "refused"
        assert len(message) > 20
        refused[path] = told
    assert refused == {path: row.code for path, row in rows.items() if row.code}
    taken = sum(not row.code for row in rows.values())
    assert f"{taken} new images" in out
    stored = [path.name for path in (data_dir / "blobs").rglob("*") if path.is_file()]
    assert not [name for name in stored if name.startswith(".")]
    wanted = {row.make() for row in rows.values() if not row.code}
    assert len(stored) <= len(wanted)
    verified = in_this_process(capsys, "verify_media")
    assert verified[0] == 0, verified
    assert in_this_process(capsys, "sweep_media", "--older-than", "0")[1].startswith("0 stored files")


def test_diagnose_names_each_bad_file(files: dict[str, Row]) -> None:
    root, rows = Path(str(files["root"])), {path: row for path, row in files.items() if path != "root"}
    bad = {str(root / path): row for path, row in rows.items() if row.code}
    done = manage(root / "nowhere", "diagnose", *bad)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    *lines, last = done.stderr.splitlines()
    assert "E_NO_IMAGES" in last
    said = {}
    for line in lines:
        path, code, message = line.split(": ", 2)
        assert len(message) > 20
        said[path] = code
    assert said == {path: row.code for path, row in bad.items()}


def test_diagnose_reads_what_is_taken_in(files: dict[str, Row]) -> None:
    root, rows = Path(str(files["root"])), {path: row for path, row in files.items() if path != "root"}
    good = [str(root / path) for path, row in rows.items() if not row.code]
    done = manage(root / "nowhere", "diagnose", "--json", *good)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert len(report["images"]) + len(report["duplicates"]) == len(good)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["import_slides", "/no/such/folder", "--cohort", "X"], 2, "E_FOLDER"),
        (["import_slides", "{file}", "--cohort", "X"], 2, "E_FOLDER"),
        (["import_slides", "{folder}", "--cohort", "X", "--csv", "/no/such.csv"], 2, "E_FILE_MISSING"),
        (["import_slides", "{folder}", "--cohort", "X", "--patient-pattern", "("], 2, "E_PATTERN"),
        (["import_slides", "{folder}", "--cohort", "X", "--nope"], 2, "unrecognized arguments: --nope"),
        (["import_references", "/no/such.csv"], 2, "cannot be read"),
        (["import_references", "{folder}"], 2, "cannot be read"),
        (["diagnose", "/no/such/file.jpg"], 1, "E_NOT_FOUND"),
        (["diagnose", "{folder}"], 1, "E_EMPTY_FOLDER"),
        (["diagnose", "{file}", "--rules", "none"], 2, "E_RULE_SET"),
        (["diagnose", "{file}", "--pipeline", "/no/such/folder"], 2, "E_"),
        (["diagnose", "{file}", "--engine", "abacus"], 2, "E_ENGINE"),
        (["diagnose"], 2, "required: PATH"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_118_wrong_use_of_the_command_line(
    words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.jpg").write_bytes(JPEG)
    filled = [word.format(folder=tmp_path / "folder", file=tmp_path / "a.jpg") for word in words]
    found, out, errors = in_this_process(capsys, *filled)
    assert (found, out) == (code, ""), errors
    assert says in errors
    assert "Traceback" not in errors

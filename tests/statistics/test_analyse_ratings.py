"""``manage.py analyse_ratings``: formats, errors, and that it needs no database."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.statistics.golden import golden_file

ROOT = Path(__file__).parent.parent.parent
OPTIONS = ["--raters", "P1-1,P1-2,P2,P3", "--ai", "AI", "--reference", "truth", "--case", "case", "--sessions",
           "P1=P1-1,P1-2", "--positive", "ALL,AML,CLL,CML", "--margin", "0.05", "--bootstrap", "50"]  # fmt: skip
GOLDEN_CLASSES = "ALL,AML,CLL,CML,NONE"


def run(capsys: pytest.CaptureFixture[str], *extra: str) -> str:
    call_command("analyse_ratings", str(golden_file("leukemia64_reconstruction.csv")), *OPTIONS, *extra)
    return capsys.readouterr().out


def test_the_command_prints_json_text_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(run(capsys, "--classes", GOLDEN_CLASSES, "--format", "json"))
    assert result["evaluators"]["AI"]["confusion"][0] == [5, 2, 0, 0, 0]
    assert result["ai_vs_readers"]["accuracy"]["df"] is None
    assert run(capsys, "--classes", GOLDEN_CLASSES).startswith("Reader study: 64 cases")
    assert run(capsys, "--classes", GOLDEN_CLASSES, "--format", "csv").startswith("section,evaluator")


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="not among the classes ALL, AML"):
        run(capsys, "--classes", "ALL,AML", "--positive", "ALL")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("analyse_ratings", str(tmp_path / "none.csv"), *OPTIONS, "--classes", GOLDEN_CLASSES)
    (tmp_path / "latin.csv").write_bytes(b"case,r1\n1,\xe4\n")
    with pytest.raises(CommandError, match="UTF-8"):
        call_command("analyse_ratings", str(tmp_path / "latin.csv"), "--raters", "r1", "--classes", "a,b")


def test_the_command_needs_no_database(tmp_path: Path) -> None:
    """In a fresh process, with a database that does not exist and cannot be made."""
    environment = os.environ | {"DATABASE_URL": "sqlite:////nonexistent/folder/db.sqlite3", "DATA_DIR": str(tmp_path)}
    table = tmp_path / "reads.csv"
    table.write_text("truth,r1,r2\na,a,a\nb,b,a\na,b,b\nb,b,b\n", encoding="utf-8")
    arguments = [str(table), "--raters", "r1,r2", "--classes", "a,b", "--reference", "truth", "--format", "json"]
    command = [sys.executable, str(ROOT / "manage.py"), "analyse_ratings", *arguments, "--bootstrap", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["evaluators"]["r1"]["accuracy"]["estimate"] == 0.75


def test_names_with_a_comma_and_a_table_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = '\ufefftruth,"r, 1"\nB,B\n"A, b","A, b"\n'.encode()
    arguments = ["-", "--raters", '"r, 1"', "--classes", '"A, b",B', "--reference", "truth", "--format", "json"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table)))
    call_command("analyse_ratings", *arguments, "--bootstrap", "0")
    assert json.loads(capsys.readouterr().out)["evaluators"]["r, 1"]["confusion"] == [[1, 0], [0, 1]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    with pytest.raises(CommandError, match="UTF-8"):
        call_command("analyse_ratings", *arguments)

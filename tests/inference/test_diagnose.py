"""The command: JSON alone on standard output, one clear line for what is wrong, no database."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from cases.imaging import accept_image
from inference.management.commands.diagnose import STARTER_FOLDER
from inference.pipeline.checkpoint import Pipeline, load_pipeline_folder
from inference.pipeline.hierarchy import RULE_SETS, decide
from inference.pipeline.slide_files import natural_order, read_slide
from tests.inference.pipeline.models import make_triple, smear_like
from tests.support.once import Once

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(once: Once) -> Pipeline:
    return load_pipeline_folder(once("tiny", make_triple))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fields 2, 9 and 10, so that plain sorting would put 10 first."""
    target = tmp_path / "slide"
    target.mkdir()
    for number in (2, 9, 10):
        smear_like(number, (160, 120)).save(target / f"field-{number}.png")
    return target


def run(*args: Any) -> tuple[dict[str, Any], str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("diagnose", *map(str, args), "--json", stdout=out, stderr=err)
    return json.loads(out.getvalue()), err.getvalue()


def test_the_json_is_the_contract(tiny: Pipeline, folder: Path) -> None:
    report, err = run(folder, "--pipeline", tiny.path)
    assert err == ""
    assert {"diagnosis_3", "diagnosis_5", "trace", "images", "pipeline"} <= set(report)
    assert [Path(image["file"]).name for image in report["images"]] == ["field-2.png", "field-9.png", "field-10.png"]
    for image in report["images"]:
        content = accept_image(Path(image["file"]).read_bytes(), image["file"])
        assert image["sha256"] == content.content_sha256
        for slot in ("model_1", "model_2", "model_3"):
            assert list(image[slot]) == list(tiny.models[slot].card.classes)
            assert sum(image[slot].values()) == pytest.approx(1, abs=1e-9)
    tables = {
        slot: np.array([list(image[slot].values()) for image in report["images"]])
        for slot in ("model_1", "model_2", "model_3")
    }
    decision = decide(RULE_SETS["paper-fig2"], **tables)
    assert (report["diagnosis_3"], report["diagnosis_5"]) == (decision.diagnosis_3, decision.diagnosis_5)
    assert report["trace"] == decision.trace
    assert report["pipeline"]["name"] == "tiny"
    assert set(report["pipeline"]["models"]) == {"model_1", "model_2", "model_3"}
    assert report["pipeline"]["synthetic"] is True
    assert "Research use only" in report["notice"]
    assert "ynthetic" in report["notice"]


def test_a_level_that_the_rules_do_not_give_is_null(tiny: Pipeline, folder: Path) -> None:
    report, _ = run(folder, "--pipeline", tiny.path, "--rules", "paper-fig1")
    assert report["diagnosis_5"] is None
    assert report["diagnosis_3"] is not None
    assert report["images"][0]["model_3"] is None
    single, _ = run(folder, "--pipeline", tiny.path, "--rules", "single-model-majority")
    assert single["trace"][0]["step"] == "majority"
    assert single["images"][0]["model_1"] is None
    assert sum(single["images"][0]["single_model"].values()) == pytest.approx(1)


def test_a_bad_file_is_reported_and_the_rest_is_diagnosed(tiny: Pipeline, folder: Path, tmp_path: Path) -> None:
    bad, missing = folder / "field-3.jpg", tmp_path / "nowhere"
    bad.write_bytes(b"not a picture")
    report, err = run(folder, missing, "--pipeline", tiny.path)
    assert len(report["images"]) == 3
    assert {entry["file"]: entry["code"] for entry in report["refused"]} == {
        str(bad): "E_NOT_IMAGE",
        str(missing): "E_NOT_FOUND",
    }
    assert len(err.strip().splitlines()) == 2


def test_the_same_field_twice_votes_once(tiny: Pipeline, folder: Path) -> None:
    copy = folder / "field-4.png"
    copy.write_bytes((folder / "field-2.png").read_bytes())
    report, _ = run(folder, folder / "field-9.png", "--pipeline", tiny.path)
    assert len(report["images"]) == 3
    assert report["duplicates"] == [{"file": str(copy), "same_as": str(folder / "field-2.png")}]


@pytest.mark.parametrize(
    ("extra", "status", "word"),
    [
        (["nowhere"], 1, "E_NO_IMAGES"),
        ([".", "--rules", "paper-fig9"], 2, "paper-fig9"),
        ([".", "--pipeline", "nowhere"], 2, "pipeline.json"),
        ([".", "--engine", "tpu"], 2, "tpu"),
    ],
)
def test_failures_are_one_line_with_an_exit_code(
    tiny: Pipeline, folder: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str], status: int, word: str
) -> None:
    monkeypatch.chdir(folder)
    arguments = extra if "--pipeline" in extra else [*extra, "--pipeline", str(tiny.path)]
    out = io.StringIO()
    with pytest.raises(CommandError, match=word) as caught:
        call_command("diagnose", *arguments, "--json", stdout=out, stderr=io.StringIO())
    assert caught.value.returncode == status
    assert "\n" not in str(caught.value)
    assert out.getvalue() == ""


def test_the_text_says_diagnosis_reasons_and_notice(tiny: Pipeline, folder: Path) -> None:
    out = io.StringIO()
    call_command("diagnose", str(folder / "field-2.png"), "--pipeline", str(tiny.path), stdout=out)
    text = out.getvalue()
    assert text.startswith("Diagnosis: ")
    assert "below the study's minimum" in text
    assert "Research use only. Synthetic demonstration model" in text


def test_natural_order() -> None:
    assert sorted(["b10", "b9", "a", "10", "9"], key=natural_order) == ["9", "10", "a", "b9", "b10"]


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    slide = read_slide([tmp_path])
    assert [entry.code for entry in slide.refused] == ["E_EMPTY_FOLDER"]


def test_a_fresh_checkout_diagnoses_without_database_or_environment(folder: Path) -> None:
    """The whole command as people type it, with the starter; nothing but JSON on standard output, no torch."""
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "SYSTEMROOT") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "manage.py", "diagnose", str(folder), "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["images"]) == 3
    assert report["pipeline"]["name"] == "starter"


def test_a_failure_on_the_command_line_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "diagnose", str(tmp_path / "nowhere"), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "There is no such file or folder" in done.stderr


def test_the_starter_is_small_synthetic_and_says_what_it_was_measured_on() -> None:
    starter = load_pipeline_folder(STARTER_FOLDER)
    assert sum(file.stat().st_size for file in STARTER_FOLDER.rglob("*") if file.is_file()) < 6_000_000
    assert starter.synthetic
    assert set(starter.models) == {"model_1", "model_2", "model_3", "single_model"}
    for model in starter.models.values():
        assert model.card.metrics["unseen_patients_and_styles"]["n_images"] > 0
        assert "Research use only" in model.card.intended_use

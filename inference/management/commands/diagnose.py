"""``manage.py diagnose``: files or folders as one slide, through a pipeline folder, without a database."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

import inference
from inference.pipeline.checkpoint import Pipeline, load_pipeline_folder
from inference.pipeline.hierarchy import RULE_SETS, rank_images, rule_set_named, trace_sentences, trace_text
from inference.pipeline.runner import PipelineRunner, SlideResult
from inference.pipeline.slide_files import SlideFiles, read_slide
from leukoweb.core.exceptions import DomainError

STARTER_FOLDER = Path(inference.__file__).parent / "starter"
NOTICE = "Research use only."
SYNTHETIC_NOTICE = "Synthetic demonstration model: trained on drawn images, not on smears of people."


class Command(BaseCommand):
    help = (
        "Diagnose images of one slide (files or folders). Needs no database. Research use only. "
        "Exit codes: 0 diagnosed, 1 no image could be read, 2 wrong rules, pipeline or engine."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files or folders: one slide")
        parser.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")
        parser.add_argument(
            "--rules", metavar="NAME", help=f"one of {', '.join(RULE_SETS)}; default: the pipeline's own"
        )
        parser.add_argument(
            "--pipeline", type=Path, default=STARTER_FOLDER, metavar="FOLDER", help="default: the starter"
        )
        parser.add_argument("--engine", default="auto", metavar="NAME", help="auto, openvino, torch or torch-cuda")
        parser.add_argument(
            "--cascade", action="store_true", help="skip models 2 and 3 where model 1 finds no leukemia"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            pipeline = load_pipeline_folder(options["pipeline"])
            rules = rule_set_named(options["rules"]) if options["rules"] else pipeline.rule_set
            slide = read_slide(options["paths"])
            for refused in slide.refused:
                self.stderr.write(f"{refused.file}: {refused.code}: {refused.message}")
            if not slide.images:
                raise CommandError(
                    "E_NO_IMAGES: No image could be read, so there is nothing to diagnose.", returncode=1
                )
            runner = PipelineRunner(pipeline, options["engine"])
            result = runner.diagnose(
                [image.content for image in slide.images],
                rule_set=rules,
                mode="cascade" if options["cascade"] else "all",
            )
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=2) from error
        report = _report(pipeline, slide, result)
        if options["json"]:
            self.stdout.write(json.dumps(report, indent=2, ensure_ascii=False))
        else:
            self.stdout.write(_text(report, result))


def _report(pipeline: Pipeline, slide: SlideFiles, result: SlideResult) -> dict[str, Any]:
    """What ``--json`` prints; probabilities of a model that was not run are null, not 0."""
    decision = result.decision
    slots = {"model_1": None, "model_2": None, "model_3": None} | result.probabilities
    images = [
        {"file": image.file, "sha256": image.sha256}
        | {
            slot: None
            if table is None
            else dict(zip(pipeline.models[slot].card.classes, table[i].tolist(), strict=True))
            for slot, table in slots.items()
        }
        for i, image in enumerate(slide.images)
    ]
    models = pipeline.as_dict()["models"]
    return {
        "diagnosis_3": decision.diagnosis_3,
        "diagnosis_5": decision.diagnosis_5,
        "trace": decision.trace,
        "trace_sentences": trace_sentences(decision.trace),
        "flags": list(decision.flags),
        "images": images,
        "deciding_order": rank_images(decision.trace, **_tables(pipeline, result)),
        "refused": [{"file": r.file, "code": r.code, "message": r.message} for r in slide.refused],
        "duplicates": [{"file": file, "same_as": first} for file, first in slide.duplicates.items()],
        "pipeline": {
            "name": pipeline.name,
            "version": pipeline.version,
            "synthetic": pipeline.synthetic,
            "rules": decision.rule_set.as_dict(),
            "models": {slot: models[slot] | {"engine": profile} for slot, profile in result.profiles.items()},
        },
        "notice": f"{NOTICE} {SYNTHETIC_NOTICE}" if pipeline.synthetic else NOTICE,
    }


def _tables(pipeline: Pipeline, result: SlideResult) -> dict[str, Any]:
    tables: dict[str, Any] = dict(result.probabilities)
    if "single_model" in tables:
        tables["classes"] = pipeline.models["single_model"].card.classes
    return tables


def _text(report: dict[str, Any], result: SlideResult) -> str:
    lines = [
        f"Diagnosis: {result.decision.diagnosis} ({len(report['images'])} images)",
        f"Reasons: {trace_text(result.decision.trace)}.",
    ]
    lines += [f"Note: {flag}." for flag in report["flags"]]
    lines += [f"Left out: {entry['file']} repeats {entry['same_as']}." for entry in report["duplicates"]]
    order = report["deciding_order"][:5]
    lines += ["Deciding images first: " + ", ".join(report["images"][i]["file"] for i in order)]
    pipeline = report["pipeline"]
    lines += [f"Made by: {pipeline['name']} {pipeline['version']}, rules {pipeline['rules']['name']}", report["notice"]]
    return "\n".join(lines)

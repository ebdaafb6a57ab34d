"""``manage.py export_model``: one registered model as its zip, or only its safetensors, ONNX or card."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.selectors.registry import model_named
from inference.services.archives import model_export
from inference.services.files import model_file_read, model_folder
from leukoweb.core.exceptions import DomainError
from leukoweb.core.files import whole_file

FORMATS = ("zip", "safetensors", "onnx", "card")


class Command(BaseCommand):
    help = "Export a model. Its stored files are checked against its card first; a changed one is refused by name."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", metavar="NAME:VERSION")
        parser.add_argument("--out", type=Path, required=True, metavar="FILE")
        parser.add_argument("--format", choices=FORMATS, default="zip")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        try:
            model = model_named(options["model"])
            model_folder(model)
            with whole_file(out) as file:
                if options["format"] == "zip":
                    model_export(actor=None, model=model, out=file)
                elif options["format"] == "card":
                    file.write((json.dumps(model.card, indent=2, ensure_ascii=False) + "\n").encode())
                else:
                    sha256 = model.weights_sha256 if options["format"] == "safetensors" else model.onnx_sha256
                    file.write(model_file_read(model, sha256))
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message} {error.hint}".strip(), returncode=2) from error
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.", returncode=2) from error
        self.stdout.write(f"{model} written to {out} ({out.stat().st_size} bytes).")

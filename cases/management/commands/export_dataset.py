"""``manage.py export_dataset``: a dataset version as a zip of image folders or COCO."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from cases.management.failures import told_in_one_line
from cases.selectors.datasets import dataset_named
from cases.services.dataset_exports import LAYOUTS, dataset_export, export_name
from leukoweb.core.exceptions import Conflict


class Command(BaseCommand):
    help = "Write a dataset version as a zip. Exit codes: 0 done, 2 wrong arguments."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", metavar="NAME[:VERSION]")
        parser.add_argument("--layout", choices=list(LAYOUTS), default="folders")
        parser.add_argument("--out", type=Path, help="file to write; default: a name made of the version's, here")
        parser.add_argument("--force", action="store_true", help="write over an existing file")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            version = dataset_named(options["version"])
            out: Path = options["out"] or Path(export_name(version, options["layout"]))
            if out.exists() and not options["force"]:
                raise Conflict(f"{out} is there already.", hint="Use --force to write over it.")
            part = out.with_name(f".{out.name}.part")
            try:
                with part.open("wb") as file:
                    for chunk in dataset_export(actor=None, version=version, layout=options["layout"]):
                        file.write(chunk)
                os.replace(part, out)
            except OSError as error:
                raise Conflict(f"{out} cannot be written: {error.strerror}.", code="E_FILE") from error
            finally:
                part.unlink(missing_ok=True)
        self.stdout.write(f"{out}: {version.n_images} images, {out.stat().st_size} bytes")

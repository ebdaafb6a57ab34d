"""``manage.py check_consistency FILE|-``: can a printed table of metrics come from whole patients? Needs no
database.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandError

from leukoweb.statistics.consistency import DEFAULT_BUDGET, check_table
from leukoweb.statistics.consistency_metrics import AVERAGES, Conventions, HarmonicOrMean, Rounding, Undefined
from leukoweb.statistics.consistency_table import consistency_text, parse_paste
from leukoweb.statistics.results import StatisticsError
from reader_study.management.tables import read_lines


class Command(BaseCommand):
    help = (
        "Paste a table of a manuscript (name, then metrics) and the number of patients per class: says which "
        "confusion matrices of whole patients reproduce each row, or that none can."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the table; tabs, semicolons, commas or blanks between columns; - reads input")
        parser.add_argument("--n", default="", help='patients per class in order: "ALL=7,AML=22"; or a line "n: ..."')
        parser.add_argument(
            "--cell", action="append", default=[], help='a known cell, "CLL>CML=0"; "*>CML=0" for all other classes'
        )
        parser.add_argument(
            "--also", action="append", default=[], help='values printed elsewhere, "AI: ALL:f1=0.36, AML:f1=0.57"'
        )
        parser.add_argument("--average", choices=AVERAGES, default="macro", help="what a bare F1 or Sensitivity means")
        parser.add_argument("--rounding", choices=get_args(Rounding), default="half-up")
        parser.add_argument("--macro-f1", choices=get_args(HarmonicOrMean), default="mean")
        parser.add_argument(
            "--undefined", choices=get_args(Undefined), default="exclude", help="a class that is never predicted"
        )
        parser.add_argument("--budget", type=int, default=DEFAULT_BUDGET, help="partial tables to look at per row")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            paste = parse_paste(
                read_lines(options["file"]),
                sizes=options["n"],
                cells=options["cell"],
                also=options["also"],
                average=options["average"],
            )
            checks = check_table(
                paste.n_per_class,
                paste.rows,
                conventions=Conventions(options["rounding"], options["macro_f1"], options["undefined"]),
                cells=paste.cells,
                budget=options["budget"],
            )
        except StatisticsError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        if options["format"] == "json":
            answer = {"n_per_class": paste.n_per_class, "rows": [check.as_dict() for check in checks]}
            self.stdout.write(json.dumps(answer, indent=2, allow_nan=False))
        else:
            self.stdout.write(consistency_text(checks, tuple(paste.n_per_class)), ending="")

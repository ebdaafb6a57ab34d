"""``manage.py analyse_ratings FILE.csv``: agreement and accuracy of a table of reads; needs no database."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leukoweb.statistics.ratings import RatingsPlan, analyse_ratings, parse_sessions, read_csv
from leukoweb.statistics.ratings_report import report_csv, report_text
from leukoweb.statistics.results import StatisticsError
from reader_study.management.tables import read_text, split_names


class Command(BaseCommand):
    help = (
        "Analyse a table of reads: one row per case, one column per rater; an empty cell is a read that did not "
        "happen. Research use only."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="CSV, semicolon or tab separated, with a header; - reads standard input")
        parser.add_argument("--raters", required=True, help="columns of the readers, separated by commas")
        parser.add_argument(
            "--classes", required=True, help="all classes in order, separated by commas; quote a name with a comma"
        )
        parser.add_argument(
            "--sessions",
            action="append",
            default=[],
            help='sessions of one reader, the primary first: "P1=P1-1,P1-2"; repeat it, or separate readers by ";"',
        )
        parser.add_argument("--reference", help="column of the reference diagnosis")
        parser.add_argument("--ai", help="column of the AI's answer")
        parser.add_argument("--case", help="column of the patient; several rows of one make clustered intervals")
        parser.add_argument("--positive", default="", help="classes that count as positive, separated by commas")
        parser.add_argument("--margin", type=float, help="non-inferiority margin of the AI, for example 0.05")
        parser.add_argument("--bootstrap", type=int, default=2000, help="resamples; 0 = analytic intervals only")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--format", choices=("json", "text", "csv"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            plan = RatingsPlan(
                raters=split_names(options["raters"]),
                classes=split_names(options["classes"]),
                sessions=parse_sessions(options["sessions"]),
                reference=options["reference"],
                ai=options["ai"],
                case=options["case"],
                positive=split_names(options["positive"]),
                margin=options["margin"],
                bootstrap=options["bootstrap"],
                seed=options["seed"],
            )
            result = analyse_ratings(read_csv(read_text(options["file"])), plan)
        except StatisticsError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(result, indent=2, allow_nan=False))
        elif options["format"] == "csv":
            self.stdout.write(report_csv(result), ending="")
        else:
            self.stdout.write(report_text(result), ending="")

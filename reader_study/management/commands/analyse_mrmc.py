"""``manage.py analyse_mrmc FILE.csv``: compare modalities over readers and cases; needs no database."""

from __future__ import annotations

import csv
import io
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leukoweb.statistics.cells import safe_cell
from leukoweb.statistics.covariance import AUC_COVARIANCES
from leukoweb.statistics.mrmc_report import ROW_HEADER, mrmc_report, report_rows, report_text
from leukoweb.statistics.mrmc_table import parse_mrmc
from leukoweb.statistics.results import StatisticsError
from reader_study.management.tables import read_lines


class Command(BaseCommand):
    help = (
        "Analyse a multi-reader multi-case table: columns case, truth, then <modality>_<reader> scores. "
        "Obuchowski-Rockette with Hillis degrees of freedom; difference = first minus second modality."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="CSV, semicolon or tab separated; - reads standard input")
        parser.add_argument("--truth-positive", default="1", help="value of the truth column that is positive")
        parser.add_argument(
            "--positive-from",
            type=float,
            help="a score >= this is positive: adds sensitivity and specificity",
        )
        parser.add_argument("--covariance", choices=AUC_COVARIANCES, default="delong")
        parser.add_argument("--case", default="case", help="column that identifies the case")
        parser.add_argument("--truth", default="truth", help="column of the truth")
        parser.add_argument("--cluster", default="", help="column of what cases share, such as the patient")
        parser.add_argument(
            "--ai", default="", help="column of one fixed evaluator to compare with all other score columns"
        )
        parser.add_argument("--margin", type=float, help="non-inferiority margin for --ai")
        parser.add_argument("--level", type=float, default=0.95)
        parser.add_argument("--format", choices=("json", "text", "csv"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            table = parse_mrmc(
                read_lines(options["file"]),
                truth_positive=options["truth_positive"],
                case=options["case"],
                truth=options["truth"],
                ai=options["ai"],
                cluster=options["cluster"],
            )
            report = mrmc_report(
                table,
                positive_from=options["positive_from"],
                covariance=options["covariance"],
                margin=options["margin"],
                level=options["level"],
            )
        except StatisticsError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(report, indent=2, allow_nan=False))
        elif options["format"] == "csv":
            self.stdout.write(_csv(report), ending="")
        else:
            self.stdout.write(report_text(report), ending="")


def _csv(report: dict[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(ROW_HEADER)
    for row in report_rows(report):
        writer.writerow([_safe(value) for value in row])
    return out.getvalue()


def _safe(value: Any) -> Any:
    """Names come from the user's file; a spreadsheet must not take one for a formula."""
    return "" if value is None else safe_cell(value)

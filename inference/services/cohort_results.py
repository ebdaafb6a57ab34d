"""All results of a cohort as one zip, written while it is sent. Recorded like every export, and as seen by who asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from django.db import transaction

from cases.exporting import csv_pieces, zip_stream
from cases.models import Cohort
from cases.services.exposures import exposures_record
from inference.interop.facts import NOTICE, PHANTOM_NOTICE, SYNTHETIC_NOTICE
from inference.models import PipelineRun, PipelineVersion
from inference.selectors.cohort_results import (
    IMAGE_COLUMNS,
    SLIDE_COLUMNS,
    image_rows,
    newest_run_ids,
    results_in_pieces,
    slide_rows,
)
from inference.services.interop import interop_required, result_file
from leukoweb.core.audit import audit_record
from leukoweb.core.blindfold import hidden_patients
from leukoweb.core.exceptions import DomainError, NotAllowed
from leukoweb.core.models import User
from leukoweb.core.words import counted

KINDS: Final = {
    "csv": "Tables (CSV): one row for each slide, one for each image",
    "fhir": "FHIR R4 Bundles, one file for each slide",
    "sr": "DICOM Comprehensive SR, one file for each slide",
}
Files = Iterator[tuple[str, Callable[[], bytes | Iterator[bytes]]]]


def require_open_eyes() -> None:
    """A person from whom patients are hidden would get a table that looks whole and is not.

    Raises
    ------
    NotAllowed
    """
    if hidden_patients():
        raise NotAllowed(
            "You read or sort blinded at the moment, so results of whole cohorts are not for you.",
            hint="They are again when the study is unblinded or the sorting task is closed.",
        )


def cohort_export_name(cohort: Cohort, kind: str) -> str:
    """A file name of plain characters."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", cohort.name).strip("-.") or "cohort"
    return f"{words}-results-{kind}.zip"


def cohort_export(*, actor: User | None, cohort: Cohort, pipeline: PipelineVersion, kind: str) -> Iterator[bytes]:
    """The newest result that each slide has of this pipeline: ``csv`` (slides.csv and images.csv), ``fhir`` or ``sr``.

    Raises
    ------
    DomainError
        An unknown kind, or there is no result.
    NotAllowed
        Patients are hidden from who asks.
    InteropUnavailable
        DICOM without the extra ``[interop]``.
    """
    if kind not in KINDS:
        raise DomainError(f"{kind[:40]!r} is not a format.", field="format", hint=f"Choose one of {', '.join(KINDS)}.")
    require_open_eyes()
    interop_required(kind)
    found = newest_run_ids(cohort, pipeline)
    if not found:
        raise DomainError(f"{pipeline} has no result in {cohort}.", code="E_NO_RESULT", hint="Run the pipeline first.")
    with transaction.atomic():
        if actor is not None:
            exposures_record(actor, {patient for _, patient in found}, "result")
        audit_record(
            actor=actor, action="result.export_cohort", target=f"cohort:{cohort.pk}",
            data={"format": kind, "pipeline": str(pipeline), "n_results": len(found)},
        )  # fmt: skip
    return zip_stream(_files(cohort, pipeline, kind, [run for run, _ in found]))


def _files(cohort: Cohort, pipeline: PipelineVersion, kind: str, runs: Sequence[int]) -> Files:
    yield "README.txt", _words(cohort, pipeline, len(runs)).encode
    if kind == "csv":
        yield from result_tables(runs)
        return
    for results in results_in_pieces(runs):
        for result in results:
            file = result_file(result, kind)
            yield f"{kind}/{file.name}", partial(bytes, file.data)


def result_tables(runs: Sequence[int]) -> Iterator[tuple[str, Callable[[], Iterator[bytes]]]]:
    """``slides.csv`` and ``images.csv`` of these runs, each written while it is read."""
    yield "slides.csv", lambda: csv_pieces(SLIDE_COLUMNS, slide_rows(runs))
    yield "images.csv", lambda: csv_pieces(IMAGE_COLUMNS, image_rows(runs))


def tables_record(*, actor: User | None, runs: Sequence[int]) -> None:
    """One event of the audit trail for each run that goes into tables, as for every other export."""
    addresses = PipelineRun.objects.filter(pk__in=runs).order_by("pk").values_list("public_id", flat=True)
    with transaction.atomic():
        for address in addresses:
            audit_record(actor=actor, action="result.export", target=f"run:{address}", data={"format": "csv"})


def _words(cohort: Cohort, pipeline: PipelineVersion, n: int) -> str:
    lines = [
        f"{cohort}: {counted(n, 'result')} of {pipeline}, the newest of each slide.",
        NOTICE,
        "What the columns mean: docs/interoperability.md of the software.",
    ]
    if pipeline.synthetic:
        lines.append(SYNTHETIC_NOTICE)
    if cohort.synthetic:
        lines.append(PHANTOM_NOTICE)
    return "\n".join(lines) + "\n"

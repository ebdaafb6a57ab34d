"""The job that computes an analysis from its frozen inputs."""

from __future__ import annotations

from inference.services.version import app_version
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.words import counted
from leukoweb.statistics.results import StatisticsError
from reader_study.analysis.run import analyse
from reader_study.models import Analysis
from reader_study.rendering import draw_ahead
from reader_study.services.analyses import result_store


def run_analysis(context: JobContext) -> str:
    """Compute and store; a job that comes again after a crash begins anew and gives the same numbers."""
    analysis = Analysis.objects.select_related("study").get(pk=context.payload["analysis"])
    if hasattr(analysis, "result"):
        draw_ahead(analysis, analysis.result.result, context.check)
        return "done already"
    try:
        result = analyse(analysis.inputs, version=app_version(), progress=context.progress)
    except StatisticsError as error:
        raise DomainError(error.message, code=error.code, hint=error.hint) from error
    with context.write():
        analysis.result = result_store(analysis=analysis, result=result)
    draw_ahead(analysis, result, context.check)
    return f"{counted(len(result['evaluators']), 'evaluator')}, {counted(len(analysis.inputs['cases']), 'case')}"

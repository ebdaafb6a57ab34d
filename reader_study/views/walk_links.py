"""From the tables of an analysis to the cases behind their cells, and which cases somebody walks through."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import User
from reader_study.analysis.cases import pattern_cases
from reader_study.analysis.table_model import Column, Table
from reader_study.models import Analysis, Study
from reader_study.selectors.analyses import analysis_get, result_of
from reader_study.selectors.walkthrough import FILTERS, Walk, walk_list, wanted
from reader_study.views.shown_tables import Link

_OF_AI = {"right": "the AI right", "wrong": "the AI wrong", "none": "the AI without an answer"}


@dataclass(frozen=True)
class Choice:
    """Which cases: by a filter, or those behind one cell of an analysis. ``query`` says the same in an address."""

    only: str
    words: str
    query: str
    codes: frozenset[str] | None = None

    def has(self, walk: Walk) -> bool:
        return walk.case.code in self.codes if self.codes is not None else wanted(walk, self.only)

    def listed(self, study: Study) -> list[str]:
        """Codes of these cases in their order. Votes are looked at only where a filter asks for them."""
        if self.codes is None and self.only != "all":
            return [walk.case.code for walk in walk_list(study) if self.has(walk)]
        every = study.cases.filter(training=False).order_by("code").values_list("code", flat=True)
        return [code for code in every if self.codes is None or code in self.codes]


def walk_links(analysis: Analysis) -> Link:
    """Each case leads to its own page, each count of the table of patterns to the cases that it counts.

    Before the unblinding nothing leads anywhere, for the pages would refuse.
    """
    study = analysis.study
    if study.state != Study.State.UNBLINDED:
        return lambda *_: ""
    everywhere = reverse("study_walk", args=[study.public_id])

    def link(table: Table, column: Column, row: Mapping[str, Any]) -> str:
        if column.kind == "case" and row.get(column.key):
            return reverse("study_walk_case", args=[study.public_id, row[column.key]])
        if table.key.startswith("discordance") and column.key in _OF_AI and row[column.key]:
            right = row["readers"].split()[0]
            asked = {"analysis": analysis.public_id, "level": table.level, "right": right, "ai": column.key}
            return f"{everywhere}?{urlencode(asked)}"
        return ""

    return link


def walk_choice(asked: QueryDict, *, study: Study, for_user: User) -> Choice:
    """What the address asks for; a filter that is not known is the one for disputed cases.

    Raises
    ------
    NotFound
        It names an analysis or a cell that this study does not have.
    """
    if "analysis" not in asked:
        only = asked.get("only", "")
        only = only if only in FILTERS else "disputed"
        return Choice(only, FILTERS[only], urlencode({"only": only}))
    level, right, of_ai = asked.get("level", ""), asked.get("right", ""), asked.get("ai", "")
    try:
        analysis = analysis_get(uuid.UUID(asked.get("analysis", "")), for_user=for_user)
        found = result_of(analysis)["levels"][level]
        if analysis.study_id != study.pk or of_ai not in _OF_AI:
            raise ValueError(of_ai)
        codes = pattern_cases(found, int(right), of_ai)
    except (ValueError, KeyError) as error:
        raise NotFound("This study has no such analysis.", hint="Open the cases from the study's page.") from error
    words = f"{found['title']}: {int(right)} of {found['discordance']['n_readers']} readers right, {_OF_AI[of_ai]}"
    query = urlencode({"analysis": analysis.public_id, "level": level, "right": int(right), "ai": of_ai})
    return Choice("", words, query, frozenset(codes))

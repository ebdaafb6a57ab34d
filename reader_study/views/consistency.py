"""The consistency checker as a page: can a printed table come from whole patients?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from leukoweb.core.permissions import requires
from leukoweb.statistics.consistency import RowCheck, check_table
from leukoweb.statistics.consistency_metrics import AVERAGES, Conventions
from leukoweb.statistics.consistency_table import parse_paste
from leukoweb.statistics.results import StatisticsError

PAGE_BUDGET = 400_000  # partial tables per row: a request must answer in seconds; the command line searches further
MAX_ROWS = 12
EXAMPLE = """n: ALL=7, AML=22, CLL=3, CML=4, NO_LEUKEMIA=28
cell: *>NO_LEUKEMIA=0
also AI: ALL:f1=0.36, AML:f1=0.57, CLL:f1=1, CML:f1=1
Evaluator Precision/PPV Sensitivity/recall F1 Accuracy Specificity
AI 0.80 0.80 0.77 0.70 0.93
"""


class ConsistencyForm(forms.Form):
    table = forms.CharField(
        max_length=20_000, label="Printed table", widget=forms.Textarea(attrs={"rows": 9, "spellcheck": "false"}),
        help_text="First a line n: with the patients of each class, then the table with its heading. Known cells and "
        "values printed elsewhere may stand in lines cell: and also ROW: as in the example.",
    )  # fmt: skip
    average = forms.ChoiceField(choices=[(name, name) for name in AVERAGES], initial="macro",
                                label="A bare F1 or sensitivity is")  # fmt: skip
    rounding = forms.ChoiceField(choices=[(n, n) for n in ("half-up", "half-even", "truncate")], initial="half-up")


def _shown(check: RowCheck, classes: list[str]) -> dict[str, Any]:
    """The check with the first matrices as named rows."""
    matrices = [{"named": list(zip(classes, matrix, strict=True))} for matrix in check.matrices[:3]]
    return check.as_dict() | {"matrices": matrices}


@require_http_methods(["GET", "POST"])
@requires("analyses.view")
def consistency_check(request: HttpRequest) -> HttpResponse:
    form = ConsistencyForm(request.POST or None, initial={"table": EXAMPLE})
    context: dict[str, object] = {"form": form}
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            paste = parse_paste(data["table"].splitlines(), average=data["average"])
            if len(paste.rows) > MAX_ROWS:
                raise StatisticsError(f"{len(paste.rows)} rows; the page checks up to {MAX_ROWS} at once.")
            checks = check_table(
                paste.n_per_class, paste.rows, conventions=Conventions(data["rounding"], "mean", "exclude"),
                cells=paste.cells, budget=PAGE_BUDGET,
            )  # fmt: skip
            classes = list(paste.n_per_class)
            context |= {"checks": [_shown(check, classes) for check in checks], "classes": classes}
        except StatisticsError as error:
            form.add_error("table", f"{error.message} {error.hint}".strip())
    return render(request, "reader_study/consistency.html", context, status=200 if not form.errors else 400)

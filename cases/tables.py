"""Tables of patients, slides and references; sorting and pages by django-tables2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django_tables2 as tables
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cases.models import Patient, Slide
from cases.selectors.slide_states import SlideState, SlideStates

_NUMBER = {"td": {"class": "text-end num"}, "th": {"class": "text-end"}}
_TABLE = {"class": "table align-middle"}
_REVIEW_TONES = {"waiting": "warn", "passed": "good", "refused": "bad"}


def _status(tone: str, words: str) -> SafeString:
    return format_html('<span class="status status-{}">{}</span>', tone, words)


class PatientTable(tables.Table):
    code = tables.Column(linkify=("patient_detail", [tables.A("pk")]), verbose_name="Patient")
    n_slides = tables.Column(verbose_name="Slides", attrs=_NUMBER)
    n_images = tables.Column(verbose_name="Fields", attrs=_NUMBER)
    created_at = tables.DateColumn(format="Y-m-d", verbose_name="Added")
    withdrawn_at = tables.DateColumn(format="Y-m-d", verbose_name="Withdrawn", default="")

    class Meta:
        model = Patient
        fields = ["code", "n_slides", "n_images", "created_at", "withdrawn_at"]
        attrs = _TABLE
        empty_text = "No patient here."


class StateColumn(tables.Column):
    """What another app says of the slide, looked up for the chosen page alone (``SlideTable.look_up``)."""

    def render(self, record: Slide, bound_column: Any, table: SlideTable) -> SafeString | str:
        state = table.states[bound_column.name].get(record.pk)
        return _status(state.tone, state.words) if state else ""


class SlideTable(tables.Table):
    code = tables.Column(linkify=("slide_detail", [tables.A("pk")]), verbose_name="Slide")
    patient = tables.Column(
        linkify=("patient_detail", [tables.A("patient_id")]), accessor="patient__code", verbose_name="Patient"
    )
    n_images = tables.Column(verbose_name="Fields", attrs=_NUMBER)
    device = tables.Column(verbose_name="Camera", default="")
    stain = tables.Column(default="")
    captured_on = tables.DateColumn(format="Y-m-d", verbose_name="Captured", default="")
    review = tables.Column()

    class Meta:
        model = Slide
        fields = ["code", "patient", "n_images", "device", "stain", "captured_on", "review"]
        attrs = _TABLE
        empty_text = "No slide here."

    def __init__(self, *args: Any, columns: Mapping[str, SlideStates] | None, **kwargs: Any) -> None:
        """``columns`` is None: nothing is told of the state of a slide."""
        self._sources = columns or {}
        self.states: dict[str, Mapping[int, SlideState]] = {}
        extra = [
            (name, StateColumn(accessor="pk", verbose_name=source.title, orderable=False))
            for name, source in self._sources.items()
        ]
        super().__init__(*args, extra_columns=extra, exclude=() if columns is not None else ("review",), **kwargs)

    def render_review(self, record: Any) -> SafeString | str:
        """A slide without a field waits for its fields, not for a review."""
        return _status(_REVIEW_TONES[record.review], record.get_review_display()) if record.n_images else ""

    def look_up(self) -> None:
        """For the rows of the page that is shown; a column that has nothing to tell is left out."""
        slides = [row.record.pk for row in self.paginated_rows]
        for name, source in self._sources.items():
            self.states[name] = source.of(slides)
            if not self.states[name]:
                self.columns.hide(name)


class ReferenceTable(tables.Table):
    """Whether there is a reference, never which: opening a patient's page is what is recorded."""

    code = tables.Column(linkify=("patient_references", [tables.A("pk")]), verbose_name="Patient")
    cohort = tables.Column(accessor="cohort__name", verbose_name="Cohort")
    n_references = tables.Column(verbose_name="Entries", attrs=_NUMBER)

    class Meta:
        model = Patient
        fields = ["code", "cohort", "n_references"]
        attrs = _TABLE
        empty_text = "No patient here."

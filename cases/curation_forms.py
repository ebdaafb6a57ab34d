"""Forms of curation: narrowing the list of images, taking images out, settling a pair."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from cases.models import CaptureDevice, Cohort, DuplicateSettlement, Exclusion, HpfImage
from cases.selectors.curation import MEASURES

STATES = [
    ("", "any"),
    ("in", "in"),
    ("out", "taken out"),
    ("unmeasured", "not measured yet"),
    ("text", "burnt-in text"),
]
SORTS = ["slide", *MEASURES]


class ImagesFilterForm(forms.Form):
    """What the list of images can be narrowed to, and its order. Wrong values narrow nothing."""

    cohort = forms.ModelChoiceField(Cohort.objects.all(), required=False, empty_label="any")
    q = forms.CharField(required=False, max_length=60, label="Code contains")
    device = forms.ModelChoiceField(CaptureDevice.objects.all(), required=False, empty_label="any", label="Camera")
    state = forms.ChoiceField(choices=STATES, required=False)
    reason = forms.ChoiceField(choices=[("", "any"), *Exclusion.Reason.choices], required=False, label="Taken out for")

    def narrow(self, rows: Any) -> QuerySet[HpfImage]:
        """``rows`` are those of `images_measured`."""
        self.is_valid()
        chosen: dict[str, Any] = self.cleaned_data
        if chosen.get("cohort"):
            rows = rows.filter(slide__patient__cohort=chosen["cohort"])
        if text := (chosen.get("q") or "").strip():
            rows = rows.filter(Q(slide__code__icontains=text) | Q(slide__patient__code__icontains=text))
        if chosen.get("device"):
            rows = rows.filter(slide__device=chosen["device"])
        if chosen.get("reason"):
            rows = rows.filter(is_out=True, out_reason=chosen["reason"])
        state = chosen.get("state")
        if state == "in":
            rows = rows.filter(Q(is_out=None) | Q(is_out=False))
        elif state == "out":
            rows = rows.filter(is_out=True)
        elif state == "unmeasured":
            rows = rows.filter(sharpness=None)
        elif state == "text":
            rows = rows.filter(has_text=True)
        return rows  # type: ignore[no-any-return]


class ExcludeForm(forms.Form):
    """One reason for all the chosen images. ``everything`` takes the whole narrowed list, not only the ticked ones."""

    action = forms.ChoiceField(choices=[("exclude", "Take out"), ("include", "Take in again")])
    reason = forms.ChoiceField(choices=Exclusion.Reason.choices)
    note = forms.CharField(required=False, max_length=300)
    everything = forms.BooleanField(required=False)


class SettleForm(forms.Form):
    outcome = forms.ChoiceField(choices=DuplicateSettlement.Outcome.choices, widget=forms.RadioSelect)
    note = forms.CharField(max_length=300, required=False, help_text="Needed where the images are of two patients.")

    def __init__(self, *args: Any, outcomes: Collection[str], **kwargs: Any) -> None:
        """``outcomes`` are those of `outcomes_open`."""
        super().__init__(*args, **kwargs)
        offered = [one for one in DuplicateSettlement.Outcome.choices if one[0] in outcomes]
        self.fields["outcome"].choices = offered  # type: ignore[attr-defined]

"""What coordinators sign: each form is a signature with what the deed needs besides."""

from __future__ import annotations

from typing import Any

from django import forms

from leukoweb.core.models import Role, User
from leukoweb.core.signing import SignatureForm

_REASON = "Kept in the record for good, with your name and the time."


def reason_field(label: str = "Reason") -> forms.CharField:
    return forms.CharField(
        max_length=2_000, label=label, help_text=_REASON, widget=forms.Textarea(attrs={"rows": 2})
    )  # fmt: skip


class StudyForm(forms.Form):
    title = forms.CharField(max_length=160, help_text="Readers see it, so it should not tell what the patients have.")


class LockForm(SignatureForm):
    sha256 = forms.CharField(widget=forms.HiddenInput)


class ExtendForm(SignatureForm):
    closes_on = forms.DateField(
        required=False, label="New last day of reading", widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty: no last day.",
    )  # fmt: skip
    reason = reason_field()

    field_order = ["closes_on", "reason"]


class AmendForm(SignatureForm):
    version = forms.IntegerField(widget=forms.HiddenInput)
    protocol = forms.CharField(widget=forms.Textarea(attrs={"rows": 24, "class": "code", "spellcheck": "false"}))
    reason = reason_field("Reason of the amendment")

    field_order = ["protocol", "reason"]


class FreezeForm(SignatureForm):
    stop_reason = forms.CharField(
        required=False, max_length=2_000, label="Reason to stop early", widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Needed if a session is not finished, or if nothing was read; unfinished sessions become void.",
    )  # fmt: skip

    field_order = ["stop_reason"]


class UnblindForm(SignatureForm):
    reason = reason_field("Reason of the unblinding")

    field_order = ["reason"]


class ReplaceForm(SignatureForm):
    label = forms.CharField(max_length=20, label="Label of the new reader", help_text="As in tables, such as P1b.")
    username = forms.ChoiceField(label="Who reads instead")
    years = forms.IntegerField(required=False, min_value=0, max_value=70, label="Years of experience")
    specialty = forms.CharField(required=False, max_length=120)
    training = forms.CharField(required=False, max_length=300)
    reason = reason_field()

    field_order = ["label", "username", "years", "specialty", "training", "reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(role=Role.PATHOLOGIST, is_active=True).order_by("username")
        self.fields["username"].choices = [(u.username, f"{u} ({u.username})") for u in people]  # type: ignore[attr-defined]

    def replacement(self) -> dict[str, Any]:
        return {key: self.cleaned_data[key] for key in ("label", "username", "years", "specialty", "training")}


class ReadingsFileForm(SignatureForm):
    readings = forms.FileField(label="CSV file", help_text="Columns: case, reader, session, diagnosis, and more below.")

    field_order = ["readings"]


class CoordinatorForm(forms.Form):
    user = forms.ModelChoiceField(User.objects.none(), label="Study coordinator")

    def __init__(self, *args: Any, study: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(role=Role.COORDINATOR, is_active=True).exclude(coordinated_studies=study)
        self.fields["user"].queryset = people.order_by("username")  # type: ignore[attr-defined]

"""What people type about cohorts, patients, slides and references. The services check it again."""

from __future__ import annotations

from typing import Any

from django import forms

from cases.models import Cohort, Patient, ReferenceDiagnosis, Slide
from cases.selectors.filling import acquisition_known
from cases.services.slides import CAPTURE_WORDS, SLIDE_FIELDS

_REASON = "Kept in the record for good, with your name and the time."


class CohortForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Cohort
        fields = ["name", "purpose", "description"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3}), "purpose": forms.RadioSelect}
        help_texts = {"purpose": "Cannot be changed later: images for external validation never enter a training."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["purpose"].choices = Cohort.Purpose.choices  # type: ignore[attr-defined]


class CohortChangeForm(CohortForm):
    class Meta(CohortForm.Meta):
        fields = ["name", "description"]

    def __init__(self, *args: Any, name_held: str = "", **kwargs: Any) -> None:
        forms.ModelForm.__init__(self, *args, **kwargs)
        self.fields["name"].disabled = bool(name_held)
        self.fields["name"].help_text = (
            f"Stays: {name_held} names the cohort." if name_held
            else "Frozen datasets, exported files and the record keep the old name. Commands and imports find a cohort "
            "by its name: give them the new one."
        )  # fmt: skip

    def _post_clean(self) -> None:
        """The service checks and changes the row."""


class PatientForm(forms.Form):
    code = forms.CharField(max_length=60, label="Patient code", help_text="A study code such as P-017, never a name.")


class SlideForm(forms.ModelForm):  # type: ignore[type-arg]
    """Acquisition fields of a slide; the device is found or made from its two names."""

    camera = forms.CharField(max_length=80, required=False)
    microscope = forms.CharField(max_length=80, required=False)

    class Meta:
        model = Slide
        fields = list(SLIDE_FIELDS)
        widgets = {
            "captured_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "note": forms.Textarea(attrs={"rows": 2}),
        }
        labels = CAPTURE_WORDS

    field_order = ["camera", "microscope", *SLIDE_FIELDS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = acquisition_known()  # "Giemsa" twice is one stain, "giemsa" and "Giemsa" are two
        for name in self.known:
            self.fields[name].widget.attrs["list"] = f"known_{name}"

    def _post_clean(self) -> None:
        """Leave the instance alone: the service changes it, under a lock and on record."""


class NewSlideForm(SlideForm):
    code = forms.CharField(max_length=60, label="Slide code")

    field_order = ["code", "camera", "microscope", *SLIDE_FIELDS]


class RecodeForm(forms.Form):
    code = forms.CharField(max_length=60, label="New code")
    reason = forms.CharField(max_length=500, help_text=_REASON)


class MoveForm(forms.Form):
    images = forms.TypedMultipleChoiceField(coerce=int, error_messages={"required": "Tick the fields to move."})
    slide = forms.CharField(max_length=60, label="Move to the slide with code")
    reason = forms.CharField(max_length=500, help_text=_REASON)

    def __init__(self, *args: Any, image_ids: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["images"].choices = [(pk, str(pk)) for pk in image_ids]  # type: ignore[attr-defined]

    def clean_slide(self) -> Slide:
        slide = Slide.objects.select_related("patient").filter(code=self.cleaned_data["slide"].strip()).first()
        if slide is None:
            raise forms.ValidationError("There is no slide with this code.")
        return slide


class SlideMoveForm(forms.Form):
    patient = forms.CharField(max_length=60, label="Move to the patient with code")
    reason = forms.CharField(max_length=500, help_text=_REASON)

    def clean_patient(self) -> Patient:
        patient = Patient.objects.filter(code=self.cleaned_data["patient"].strip()).first()
        if patient is None:
            raise forms.ValidationError("There is no patient with this code.")
        return patient


class ReviewForm(forms.Form):
    """Three statements; a slide passes when all hold. ``seen`` is what the reviewer was shown."""

    no_identity = forms.BooleanField(
        required=False, label="No field shows a name, a number, a date, a label or any other text."
    )
    complete = forms.BooleanField(
        required=False, label="Every captured field is here, and what is said about the capture is right."
    )
    in_order = forms.BooleanField(required=False, label="The fields stand in the order in which they were captured.")
    reason = forms.CharField(
        max_length=500, required=False, label="Why it is refused, if a statement does not hold",
        widget=forms.Textarea(attrs={"rows": 2}),
    )  # fmt: skip
    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)


class RemoveForm(forms.Form):
    reason = forms.CharField(max_length=500, label="Why it is removed", help_text=_REASON)


class WithdrawForm(forms.Form):
    """The code is typed again, because nothing brings the pixels back."""

    code = forms.CharField(max_length=60, label="Type the patient's code to confirm", widget=forms.TextInput(
        attrs={"autocomplete": "off", "spellcheck": "false"}))  # fmt: skip
    reason = forms.CharField(max_length=500, help_text=_REASON)

    def __init__(self, *args: Any, expected: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._expected = expected

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"].strip()
        if code != self._expected:
            raise forms.ValidationError(f"This is not the code of the patient, {self._expected}.")
        return code


class ReferenceForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = ReferenceDiagnosis
        fields = ["diagnosis", "source", "decided_on", "transformed", "note"]
        widgets = {
            "decided_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "note": forms.Textarea(attrs={"rows": 2}),
        }

    def _post_clean(self) -> None:
        """The service builds and checks the row."""

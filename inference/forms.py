"""Input of the registry's and the runs' pages."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from inference.models import ModelVersion, PipelineRun, PipelineVersion
from inference.pipeline.rules import DEFAULT_RULE_SET, RULE_SETS, RuleSet
from inference.selectors.registry import model_list_for, pipeline_list
from inference.services.cohort_results import KINDS
from leukoweb.core.exceptions import DomainError
from leukoweb.core.numbers import json_read


class RunForm(forms.Form):
    """Which pipeline (empty: the active one) and how much of it."""

    pipeline = forms.ModelChoiceField(
        queryset=PipelineVersion.objects.none(), required=False, empty_label="The active one"
    )
    mode = forms.ChoiceField(choices=PipelineRun.Mode.choices, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["pipeline"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = pipeline_list()

    def clean_mode(self) -> str:
        return self.cleaned_data["mode"] or PipelineRun.Mode.FULL


class CohortRunForm(RunForm):
    everything = forms.BooleanField(required=False)


class ActivateForm(forms.Form):
    """``instead_of`` is the pipeline that was active when the page was made: whoever comes second is told."""

    instead_of = forms.IntegerField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=500, required=False, help_text="Kept in the audit trail")


class ImportForm(forms.Form):
    file = forms.FileField(
        label="Zip file", help_text="A model or pipeline as the export makes it, or as a folder zipped"
    )
    activate = forms.BooleanField(required=False, label="Activate it at once, if it is a pipeline")
    instead_of = forms.IntegerField(required=False, widget=forms.HiddenInput)  # as in ActivateForm


class CohortExportForm(forms.Form):
    """The results of a cohort as files."""

    pipeline = forms.ModelChoiceField(queryset=PipelineVersion.objects.all())
    format = forms.ChoiceField(choices=list(KINDS.items()))


class PipelineForm(forms.Form):
    """A new pipeline version of registered models."""

    name = forms.CharField(max_length=80)
    version = forms.CharField(max_length=40)
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    rules = forms.ChoiceField(choices=[(name, name) for name in RULE_SETS], initial=DEFAULT_RULE_SET)
    own_rules = forms.CharField(
        required=False,
        label="Own rules (JSON)",
        widget=forms.Textarea(attrs={"rows": 4, "class": "form-control mono"}),
        help_text="Optional, in place of the above: a rule set as a pipeline's page shows it, with a name of its own.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for slot, title in ModelVersion.Slot.choices:
            self.fields[slot] = forms.ModelChoiceField(
                queryset=model_list_for(slot), required=False, label=title, empty_label="None"
            )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        text = data.get("own_rules", "").strip()
        try:
            data["rule_set"] = RuleSet.from_dict(json_read(text)) if text else RULE_SETS.get(data.get("rules", ""))
        except json.JSONDecodeError as error:
            self.add_error("own_rules", f"This is not JSON (line {error.lineno}): {error.msg}.")
        except RecursionError:
            self.add_error("own_rules", "This is nested too deeply.")
        except DomainError as error:
            self.add_error("own_rules", f"{error.message} {error.hint}".strip())
        return data

    def models_by_slot(self) -> dict[str, ModelVersion]:
        return {slot: self.cleaned_data[slot] for slot in ModelVersion.Slot.values if self.cleaned_data.get(slot)}

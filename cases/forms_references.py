"""Forms of the page that takes a table of reference diagnoses."""

from __future__ import annotations

from django import forms

BYTES_MAX, ROWS_MAX = 1_000_000, 2_000
"""Above, the import belongs on the server: a page that is waited for is no place for it."""


class ReferenceTableForm(forms.Form):
    file = forms.FileField(
        label="Table (CSV)", widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv,text/plain"}),
        help_text="As your spreadsheet program saves it: commas, semicolons or tabs.",
    )  # fmt: skip
    source = forms.CharField(
        max_length=200, label="How established", required=False,
        help_text="For rows that do not say it themselves, such as flow cytometry or genetics.",
    )  # fmt: skip


class TableConfirmForm(forms.Form):
    """What was looked at travels with the page, so that nothing of an unconfirmed table is kept on the server."""

    table = forms.CharField(max_length=2 * BYTES_MAX, strip=False, widget=forms.HiddenInput)
    source = forms.CharField(max_length=200, required=False, widget=forms.HiddenInput)
    plan = forms.CharField(max_length=64, widget=forms.HiddenInput)
    sealed = forms.CharField(max_length=400, widget=forms.HiddenInput)

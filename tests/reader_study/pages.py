"""What tests of the coordinator's pages share."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from reader_study.designer_form import Designer
from reader_study.models import Study

SIGNED = {"signed_name": "Dr C", "password": "correct horse", "agree": "on"}


def url(name: str, study: Study, *more: Any) -> str:
    return reverse(name, args=[study.public_id, *more])


def posted(document: dict[str, Any]) -> dict[str, Any]:
    """What a browser would send for the designer's form of this document."""
    designer, data = Designer(document), {}
    for field in [field for form in [designer.form, *designer.readers, *designer.endpoints] for field in form]:
        value = field.value()
        if field.widget_type == "checkbox":
            if value:
                data[field.html_name] = "on"
        else:
            data[field.html_name] = value if value is not None else ""
    return data

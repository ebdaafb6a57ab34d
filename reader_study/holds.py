"""What of this app rests on an image and so keeps it from being removed (``cases.services.removals``)."""

from __future__ import annotations

from django.db.models import TextField
from django.db.models.functions import Cast

from cases.models import HpfImage
from reader_study.models import StudyCase


def cases_on(image: HpfImage) -> str:
    """In words what rests on the image; empty if no study has it in the frozen list of a case."""
    cases = StudyCase.objects.annotate(listed=Cast("manifest", TextField()))
    return "a case of a study" if cases.filter(listed__contains=image.content_sha256).exists() else ""

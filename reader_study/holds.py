"""What of this app rests on an image, or on the name of a cohort, and so keeps it (``cases.services``)."""

from __future__ import annotations

from django.db.models import TextField
from django.db.models.functions import Cast

from cases.models import Cohort, HpfImage
from reader_study.models import ProtocolVersion, Study, StudyCase


def cases_on(image: HpfImage) -> str:
    """In words what rests on the image; empty if no study has it in the frozen list of a case."""
    cases = StudyCase.objects.annotate(listed=Cast("manifest", TextField()))
    return "a case of a study" if cases.filter(listed__contains=image.content_sha256).exists() else ""


def protocols_on(cohort: Cohort) -> str:
    """In words whether a protocol, drafted or signed, finds the cohort by its name."""
    name = Cohort.objects.values_list("name", flat=True).get(pk=cohort.pk)
    drafted = Study.objects.filter(state=Study.State.DRAFT, draft__cases__cohort=name)
    signed = ProtocolVersion.objects.filter(document__cases__cohort=name)
    return "the protocol of a study" if drafted.exists() or signed.exists() else ""

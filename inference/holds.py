"""What of this app rests on an image and so keeps it from being removed (``cases.services.removals``)."""

from __future__ import annotations

from django.db.models import TextField
from django.db.models.functions import Cast

from cases.models import HpfImage
from inference.models import PatientPrediction


def results_on(image: HpfImage) -> str:
    """In words what rests on the image; empty if nothing does. A rare question: it reads through the stored results."""
    results = PatientPrediction.objects.annotate(listed=Cast("images", TextField()))
    return "a result of the AI pipeline" if results.filter(listed__contains=image.content_sha256).exists() else ""

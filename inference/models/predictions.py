"""What the models and the rules said. Insert-only."""

from __future__ import annotations

from django.db import models

from cases.models import Patient, Slide
from inference.models.registry import ModelVersion
from inference.models.runs import PipelineRun
from leukoweb.core.blindfold import HidesByPatient, HidesBySlide
from leukoweb.core.guards import Forget, append_only, forget_with


@append_only()
class ImagePrediction(models.Model):
    """One model's probabilities for one image content; shared by every run that meets the same bytes again."""

    content_sha256 = models.CharField(max_length=64)
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="predictions")
    recipe_sha256 = models.CharField(max_length=64)
    profile = models.CharField(max_length=80, help_text="Engine and precision")
    probabilities = models.JSONField(help_text="Softmax, in the order of the model's classes")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["content_sha256", "model", "recipe_sha256", "profile"], name="prediction_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model_id} on {self.content_sha256[:12]}"


@append_only()
class PatientPrediction(models.Model):
    """The diagnosis of one run, with the trace that explains it."""

    run = models.OneToOneField(PipelineRun, on_delete=models.PROTECT, related_name="prediction")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="predictions")
    slide = models.ForeignKey(Slide, on_delete=models.PROTECT, related_name="predictions")
    decided = models.BooleanField(default=True, help_text="False: no decision, see reason")
    reason = models.TextField(blank=True, help_text="Why there is no decision")
    diagnosis = models.CharField(max_length=12, blank=True, help_text="The finest level that the rules give")
    diagnosis_3 = models.CharField(max_length=12, blank=True)
    diagnosis_5 = models.CharField(max_length=12, blank=True)
    trace = models.JSONField(default=list)
    flags = models.JSONField(default=list)
    images = models.JSONField(
        default=list, help_text="[{image, position, content_sha256, profile: {slot}}] in capture order"
    )
    images_sha256 = models.CharField(
        max_length=64, blank=True, help_text="Which images in which order; tells an old result"
    )
    rule_set_sha256 = models.CharField(max_length=64, blank=True)
    engine_profile = models.CharField(max_length=240, blank=True, help_text="Numeric profiles of all its models")
    app_version = models.CharField(max_length=40, blank=True, help_text="Of the software that decided")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = HidesByPatient["PatientPrediction"]()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.slide_id}: {self.diagnosis or 'no decision'}"


class SlideContents(models.Model):
    """Which images in which order a slide has now, as `PatientPrediction.images_sha256` says it of the past.

    Remembered when a result is stored, so that the page of a cohort tells old results without reading every image.
    The row goes as soon as an image of the slide comes, goes or moves; a slide without one is worked out.
    """

    slide = models.OneToOneField(Slide, primary_key=True, on_delete=models.CASCADE, related_name="contents")
    images_sha256 = models.CharField(max_length=64, blank=True, help_text="Empty: it has no image")

    objects = HidesBySlide["SlideContents"]()

    def __str__(self) -> str:
        return f"{self.slide_id}: {self.images_sha256[:12]}"


forget_with(
    "cases.HpfImage",
    Forget(
        memo="inference_slidecontents", via="slide_id", owner="cases_slide",
        columns=("slide_id", "position", "content_sha256"),
    ),
)  # fmt: skip

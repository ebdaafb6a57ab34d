"""Where saliency maps are kept, and how one becomes the picture that lies over a field.

A map file holds every class of one model for one image: (n_classes, h, w) float16, values 0..1. It is written while
the image is predicted, or by the job ``inference.saliency`` when it is gone; both kinds of file are a cache. Their
names begin with the hash of the image's content, by which a withdrawal removes them.
"""

from __future__ import annotations

import contextlib
import io
from datetime import timedelta
from pathlib import Path

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from cases.models import HpfImage
from inference.models import ModelVersion, PipelineRun
from inference.pipeline.preprocess import Recipe
from inference.pipeline.saliency import render_png
from inference.services.errors import SaliencyUnavailable
from leukoweb.core.audit import audit_record
from leukoweb.core.files import write_whole
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job, User

KIND = "inference.saliency"
SLIDE_KIND = "inference.saliency_slide"
RETRY_AFTER = timedelta(minutes=5)


def _path(content_sha256: str, model: ModelVersion, ending: str) -> Path:
    folder = Path(settings.CACHE_ROOT) / "saliency" / content_sha256[:2]
    return folder / f"{content_sha256}.{model.weights_sha256[:16]}.{ending}"


def maps_save(content_sha256: str, model: ModelVersion, maps: NDArray[np.float32]) -> None:
    """Keep (n_classes, h, w) maps in 0..1 of one image."""
    stream = io.BytesIO()
    np.save(stream, maps.astype(np.float16), allow_pickle=False)
    write_whole(_path(content_sha256, model, "npy"), stream.getvalue())


def maps_load(content_sha256: str, model: ModelVersion) -> NDArray[np.float32] | None:
    """(n_classes, h, w), or None if the file is gone or damaged: then it is computed again."""
    try:
        maps = np.load(_path(content_sha256, model, "npy"), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return maps.astype(np.float32) if maps.ndim == 3 and len(maps) == len(model.classes) else None


def maps_exist(content_sha256: str, model: ModelVersion) -> bool:
    """Whether an overlay can be drawn at once. A look at the disk, no reading."""
    return _path(content_sha256, model, "npy").is_file()


def overlay_png(image: HpfImage, model: ModelVersion, class_name: str) -> bytes | None:
    """The RGBA overlay of one class, from the cache or drawn from the stored map; None if the map is gone."""
    if class_name not in model.classes:
        raise SaliencyUnavailable(
            f"{model} has no class {class_name[:40]!r}.", hint=f"Its classes: {', '.join(model.classes)}."
        )
    path = _path(image.content_sha256, model, f"{class_name}.{image.width_px}x{image.height_px}.png")
    try:
        return path.read_bytes()
    except OSError:
        pass
    maps = maps_load(image.content_sha256, model)
    if maps is None:
        return None
    recipe = Recipe.from_dict(model.card["recipe"])
    png = render_png(maps[model.classes.index(class_name)], recipe, (image.width_px, image.height_px))
    with contextlib.suppress(OSError):  # a full disk: then it is drawn again next time
        write_whole(path, png)
    return png


@transaction.atomic
def saliency_request(
    *, actor: User | None, run: PipelineRun, image: HpfImage, model: ModelVersion, retry: bool = False
) -> Job:
    """The job that computes all maps of one model for one image: the unfinished one, or a new one.

    One that failed in the last minutes is returned as it is, so that a page that asks again and again does not
    fill the queue; ``retry`` starts anew.
    """
    key = f"saliency:{image.content_sha256}:{model.pk}"
    recent = Job.objects.filter(key=key, status=Job.Status.FAILED, finished_at__gt=timezone.now() - RETRY_AFTER)
    if not retry and (failed := recent.order_by("-finished_at").first()):
        return failed
    return job_create(
        kind=KIND, title=f"Saliency map, field {image.position} of slide {run.slide.code}", actor=actor, total_units=1,
        key=key, payload={"image": image.content_sha256, "model": model.pk},
    )  # fmt: skip


@transaction.atomic
def saliency_slide_request(*, actor: User | None, run: PipelineRun) -> Job:
    """The job that computes every map of a result that is not there and draws the overlays of its sheet.

    While it waits or works, that job is returned and nothing new is made.
    """
    key = f"saliency-slide:{run.pk}"
    running = Job._base_manager.filter(key=key, status__in=Job.ACTIVE).exists()  # also somebody else's
    job = job_create(
        kind=SLIDE_KIND, title=f"Saliency maps of slide {run.slide.code}", actor=actor, key=key,
        payload={"run": run.pk}, total_units=run.slide.images.count(),
    )  # fmt: skip
    if not running:
        audit_record(actor=actor, action="saliency.request", target=f"run:{run.public_id}")
    return job


def saliency_slide_job(run: PipelineRun) -> Job | None:
    """The newest job of ``saliency_slide_request``, whatever became of it."""
    return Job.objects.filter(key=f"saliency-slide:{run.pk}").order_by("-created_at").first()

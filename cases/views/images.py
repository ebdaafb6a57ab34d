"""Pixels and the viewer. Addresses hold a random id; headers tell nothing about the file."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cases import selectors, services
from cases.forms import RemoveForm
from cases.models import HpfImage
from cases.services.content import PREVIEW_PX, THUMBNAIL_PX, PurgeDelayed, thumbnail_of
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import blob_response, person
from leukoweb.core.permissions import requires

FOREVER = "private, max-age=31536000, immutable"
MEDIA_TYPES = {HpfImage.Format.JPEG.value: "image/jpeg", HpfImage.Format.PNG.value: "image/png"}


@require_safe
@requires("slides.view")
def image_file(request: HttpRequest, public_id: uuid.UUID) -> HttpResponseBase:
    """The stored bytes, which never change: browsers keep them. Names and dates of files are not told."""
    image = selectors.image_get(public_id)
    response = blob_response(image.content_sha256, content_type=MEDIA_TYPES[image.format])
    response["Cache-Control"] = FOREVER
    return response


@require_safe
@requires("slides.view")
def image_thumb(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _small(public_id, THUMBNAIL_PX)


@require_safe
@requires("slides.review")
def image_preview(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Large enough to see print in a field; for the review of a slide."""
    return _small(public_id, PREVIEW_PX)


def _small(public_id: uuid.UUID, size_px: int) -> HttpResponse:
    image = selectors.image_get(public_id)
    response = HttpResponse(thumbnail_of(image.content_sha256, size_px), content_type="image/webp")
    response["Cache-Control"] = FOREVER
    return response


@require_safe
@requires("slides.view")
def image_viewer(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    image = selectors.image_get(public_id)
    context = {"image": image, "slide": image.slide, "n_images": selectors.image_list(image.slide).count()}
    return render(request, "cases/viewer.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def image_remove(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """One field, for good; what rests on it is said instead where something does."""
    image = selectors.image_get(public_id)
    form = RemoveForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.image_remove(actor=person(request), image=image, reason=form.cleaned_data["reason"])
        except PurgeDelayed as error:
            messages.warning(request, f"{error} {error.hint}")
            return redirect("slide_detail", image.slide_id)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"Field {image.position} was removed from slide {image.slide}.")
            return redirect("slide_detail", image.slide_id)
    context = {"form": form, "image": image, "slide": image.slide}
    return render(request, "cases/image_remove.html", context, status=400 if form.errors else 200)

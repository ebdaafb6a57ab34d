"""One slide: its images, what is known about its capture, corrections."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cases import selectors, services
from cases.forms import MoveForm, RecodeForm, SlideForm
from cases.services.slides import acquisition_of
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, whole_number
from leukoweb.core.permissions import has_action, requires
from leukoweb.core.words import counted


@require_safe
@requires("slides.view")
def slide_detail(request: HttpRequest, pk: int) -> HttpResponse:
    slide = selectors.slide_get(pk)
    images = list(selectors.image_list(slide, names=has_action(person(request), "names.view")))
    duplicates = selectors.duplicates_of(slide)
    across = any(o.slide.patient_id != slide.patient_id for others in duplicates.values() for o in others)
    context = {
        "slide": slide, "images": images, "across": across, "twins": set(duplicates),
        "duplicates": [(image, duplicates[image.pk]) for image in images if image.pk in duplicates],
    }  # fmt: skip
    return render(request, "cases/slide_detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def slide_change(request: HttpRequest, pk: int) -> HttpResponse:
    slide = selectors.slide_get(pk)
    form = SlideForm(request.POST or None, initial=acquisition_of(slide))
    if request.method == "POST" and form.is_valid():
        try:
            services.slide_change(actor=person(request), slide=slide, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, "The slide was changed.")
            return redirect("slide_detail", pk)
    context = {"form": form, "title": "Change acquisition", "crumb": slide, "back": "slide_detail", "button": "Save"}
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def slide_recode(request: HttpRequest, pk: int) -> HttpResponse:
    slide = selectors.slide_get(pk)
    form = RecodeForm(request.POST or None, initial={"code": slide.code})
    if request.method == "POST" and form.is_valid():
        try:
            services.slide_recode(actor=person(request), slide=slide, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, "The code was corrected.")
            return redirect("slide_detail", pk)
    context = {"form": form, "title": "Correct the slide's code", "crumb": slide, "back": "slide_detail",
               "button": "Correct code"}  # fmt: skip
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def images_move(request: HttpRequest, pk: int) -> HttpResponse:
    slide = selectors.slide_get(pk)
    images = list(selectors.image_list(slide, names=has_action(person(request), "names.view")))
    form = MoveForm(request.POST or None, image_ids=[image.pk for image in images])
    if request.method == "POST" and form.is_valid():
        chosen = [image for image in images if image.pk in form.cleaned_data["images"]]
        target, reason = form.cleaned_data["slide"], form.cleaned_data["reason"]
        try:
            moved = services.images_move(actor=person(request), images=chosen, slide=target, reason=reason)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"{counted(moved, 'image')} moved to {target}.")
            return redirect("slide_detail", target.pk)
    chosen_ids = {whole_number(value) for value in request.POST.getlist("images")}
    context = {"form": form, "slide": slide, "images": images, "chosen": chosen_ids}
    return render(request, "cases/images_move.html", context, status=400 if form.errors else 200)

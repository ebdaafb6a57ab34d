"""One slide: its images, what is known about its capture, corrections."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cases import selectors, services
from cases.forms import MoveForm, RecodeForm, RemoveForm, SlideForm, SlideMoveForm
from cases.selectors.filling import SCOPES, SPREAD, gap_counts, slides_beside
from cases.services.filling import slides_fill
from cases.services.slides import CAPTURE_WORDS, acquisition_of
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import next_of, person, whole_number
from leukoweb.core.permissions import has_action, requires
from leukoweb.core.words import counted

FIELD_WORDS = {"device": "Camera and microscope"} | CAPTURE_WORDS


@require_safe
@requires("slides.view")
def slide_detail(request: HttpRequest, pk: int) -> HttpResponse:
    slide = selectors.slide_get(pk)
    images = list(selectors.image_list(slide, names=has_action(person(request), "names.view")))
    duplicates = selectors.duplicates_of(slide)
    across = any(o.slide.patient_id != slide.patient_id for others in duplicates.values() for o in others)
    context = {
        "slide": slide, "images": images, "across": across, "twins": set(duplicates),
        "noted": [image for image in images if image.notes],
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
            return redirect(next_of(request) or reverse("slide_detail", args=[pk]))
    context = {"form": form, "title": "Change capture data", "crumb": slide, "back": "slide_detail", "button": "Save",
               "next": next_of(request)}  # fmt: skip
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def slide_fill(request: HttpRequest, pk: int) -> HttpResponse:
    """What this slide says, for the slides of its patient or cohort that say nothing: how many first, then the deed."""
    slide, error = selectors.slide_get(pk), None
    if request.method == "POST":
        scope = request.POST.get("scope", "")
        try:
            expected = whole_number(request.POST.get(f"n_{scope}")) or 0
            n = slides_fill(actor=person(request), slide=slide, scope=scope, expected=expected)
        except DomainError as refused:
            error = refused
        else:
            messages.success(request, f"{counted(n, 'slide')} filled in.")
            return redirect("slide_detail", pk)
    found = {scope: gap_counts(slide, slides_beside(slide, scope)) for scope in SCOPES}
    rows = [
        (FIELD_WORDS[name], getattr(slide, name), [counts.get(name, 0) for _, counts in found.values()])
        for name in SPREAD
    ]
    scopes = [(scope, words, found[scope][0]) for scope, words in SCOPES.items()]
    context = {"slide": slide, "rows": rows, "scopes": scopes, "error": error}
    return render(request, "cases/slide_fill.html", context, status=error.status if error else 200)


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
            messages.success(request, f"{counted(moved, 'field')} moved to {target}.")
            return redirect("slide_detail", target.pk)
    chosen_ids = {whole_number(value) for value in request.POST.getlist("images")}
    context = {"form": form, "slide": slide, "images": images, "chosen": chosen_ids}
    return render(request, "cases/images_move.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def slide_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """A slide made by mistake; what rests on it is said instead where something does."""
    slide = selectors.slide_get(pk)
    form = RemoveForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.slide_remove(actor=person(request), slide=slide, reason=form.cleaned_data["reason"])
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"Slide {slide} was removed.")
            return redirect("patient_detail", slide.patient_id)
    context = {"form": form, "title": f"Remove slide {slide}?", "crumb": slide, "back": "slide_detail",
               "button": "Remove the slide", "danger": True, "words": "Only a slide without fields can be removed, and "
               "only while nothing rests on it. The record keeps the code, your reason and your name."}  # fmt: skip
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.mend")
def slide_move(request: HttpRequest, pk: int) -> HttpResponse:
    """To another patient of the cohort, while nothing rests on the slide."""
    slide = selectors.slide_get(pk)
    form = SlideMoveForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            slide = services.slide_move(actor=person(request), slide=slide, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"Slide {slide} is of patient {slide.patient} now.")
            return redirect("slide_detail", pk)
    context = {"form": form, "title": "Move to another patient", "crumb": slide, "back": "slide_detail",
               "button": "Move the slide", "words": f"The slide is of patient {slide.patient}. It goes with its fields "
               "to another patient of the cohort, as long as no sorter, result, dataset or study has it."}  # fmt: skip
    return render(request, "cases/form.html", context, status=400 if form.errors else 200)

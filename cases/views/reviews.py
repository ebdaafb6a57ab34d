"""The review of slides: what waits, and all fields of one slide at a size at which print is seen."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cases import selectors, services
from cases.forms import ReviewForm
from cases.models import Slide
from cases.services.reviews import text_search_request
from cases.services.slides import CAPTURE_WORDS, acquisition_of
from cases.text_hint import available
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person
from leukoweb.core.jobs.bell import ring
from leukoweb.core.permissions import requires

PER_PAGE = 50


@require_safe
@requires("slides.review")
def slide_reviews(request: HttpRequest) -> HttpResponse:
    page = Paginator(selectors.slides_to_review(), PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "cases/slide_reviews.html", {"page": page, "counts": selectors.review_counts()})


@require_http_methods(["GET", "HEAD", "POST"])
@requires("slides.review")
def slide_review(request: HttpRequest, pk: int) -> HttpResponse:
    """All fields at once; the outcome leads to the next slide that waits."""
    slide = selectors.slide_get(pk)
    form = ReviewForm(request.POST or None, initial={"seen": selectors.fields_fingerprint(slide)})
    if request.method == "POST" and form.is_valid():
        try:
            slide = services.slide_review(actor=person(request), slide=slide, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"Slide {slide} was {'passed' if slide.review == 'passed' else 'refused'}.")
            return _next()
    return render(request, "cases/slide_review.html", _shown(slide, form), status=400 if form.errors else 200)


def _next() -> HttpResponse:
    following = selectors.slides_to_review().filter(review=Slide.Review.WAITING).first()
    return redirect("slide_review", following.pk) if following else redirect("slide_reviews")


def _shown(slide: Slide, form: ReviewForm) -> dict[str, object]:
    hints = selectors.text_hints(slide)
    fields = [(image, hints.get(image.content_sha256)) for image in selectors.image_list(slide)]
    said = acquisition_of(slide)
    unknown = [words.lower() for name, words in CAPTURE_WORDS.items() if said[name] in ("", None) and name != "note"]
    return {
        "slide": slide, "form": form, "fields": fields, "unknown": unknown,
        "text_available": available(), "n_looked": sum(boxes is not None for _, boxes in fields),
        "n_text": sum(bool(boxes) for _, boxes in fields), "jobs": selectors.text_jobs(slide),
    }  # fmt: skip


@require_POST
@requires("slides.review")
def slide_text_search(request: HttpRequest, pk: int) -> HttpResponse:
    job = text_search_request(actor=person(request), slide=selectors.slide_get(pk))
    ring(job.pk)
    return redirect("slide_review", pk)

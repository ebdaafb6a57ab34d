"""Curation: measured images with reasons to take them out, and duplicates side by side."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cases import selectors
from cases.curation_forms import SORTS, ExcludeForm, ImagesFilterForm, SettleForm
from cases.models import Cohort, HpfImage
from cases.selectors.curation import ImageKeys, images_in_order, images_measured, n_images, n_unmeasured
from cases.selectors.duplicates import Alike, duplicates_find, live_seen, outcomes_open, pair_settlements
from cases.services.curation import duplicate_settle, images_by_public_id, images_exclude, measure_request
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, uuids, whole_number
from leukoweb.core.jobs.bell import ring
from leukoweb.core.models import Job
from leukoweb.core.permissions import requires
from leukoweb.core.words import counted

PER_PAGE = 60
PAIRS_PER_PAGE = 20
AGAIN_AT_MOST = 60  # their ids travel in the address


@require_safe
@requires("curation.manage")
def curation_home(request: HttpRequest) -> HttpResponse:
    """Images with their measures; sorted and narrowed by the address."""
    return _list(request, ExcludeForm(auto_id="exclude_%s"))


def _list(request: HttpRequest, exclude: ExcludeForm) -> HttpResponse:
    """The list; with a refused ``exclude`` what was ticked and typed stays."""
    form = ImagesFilterForm(request.GET)
    sort = request.GET.get("sort", "slide")
    query = request.GET.copy()
    for name in ("page", "sort"):
        query.pop(name, None)
    narrowed = any(query.values())
    keys = ImageKeys(form.narrow(images_measured()), sort, narrowed=narrowed, n_images=n_images())
    pages: Paginator[int] = Paginator(keys, PER_PAGE)  # type: ignore[arg-type]  # it counts and slices
    page = pages.get_page(request.GET.get("page"))
    context = {
        "form": form, "page": page, "images": images_in_order(page.object_list), "sort": sort,
        "sorts": SORTS, "query": query.urlencode(), "exclude": exclude,
        "here": f"{reverse('curation_home')}?{request.GET.urlencode()}",
        "ticked": uuids(request.POST.getlist("images")), "everything": "everything" in request.POST,
        "n_unmeasured": n_unmeasured(), "narrowed": narrowed,
        "job": Job.objects.filter(kind="cases.measure", status__in=Job.ACTIVE).first(),
        "any_images": HpfImage.objects.exists(),
    }  # fmt: skip
    return render(request, "cases/curation_home.html", context, status=400 if exclude.errors else 200)


@require_POST
@requires("curation.manage")
def curation_exclude(request: HttpRequest) -> HttpResponse:
    """The ticked images, or everything that fits the filter in the address, out or in again."""
    form = ExcludeForm(request.POST, auto_id="exclude_%s")
    if form.is_valid():
        chosen = form.cleaned_data
        try:
            images = _chosen(request, everything=chosen["everything"])
            excluded = chosen["action"] == "exclude"
            n = images_exclude(
                actor=person(request), images=images, reason=chosen["reason"], note=chosen["note"], excluded=excluded
            )
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, f"{counted(n, 'image')} {'taken out' if excluded else 'taken in again'}.")
            return redirect(_back(request))
    if request.POST.get("back"):  # ticked on another page of ours, which takes what was chosen from its address
        told = " ".join(str(error) for errors in form.errors.values() for error in errors)
        messages.error(request, f"Nothing was changed. {told}")
        return redirect(f"{_back(request)}?{_chosen_again(request)}")
    return _list(request, form)


def _chosen_again(request: HttpRequest) -> str:
    ticked = request.POST.getlist("images")[:AGAIN_AT_MOST]
    return urlencode(
        {"images": ticked, "reason": request.POST.get("reason", ""), "note": request.POST.get("note", "")[:300]}, True
    )


@require_POST
@requires("sorting.manage")
def curation_sort_again(request: HttpRequest) -> HttpResponse:
    """The ticked images go to the form of a new sorting task."""
    ids = [value for value in request.POST.getlist("images") if value]
    if not ids or len(ids) > AGAIN_AT_MOST:
        messages.error(request, f"Tick 1 to {AGAIN_AT_MOST} images that are to be sorted again.")
        return redirect(_back(request))
    return redirect(f"{reverse('sorting_task_create')}?{urlencode({'images': ','.join(ids)})}")


def _back(request: HttpRequest) -> str:
    """The page that the images were ticked on: the list of curation, or another page of ours that it names."""
    named = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(named, allowed_hosts=None):
        return named
    return f"{reverse('curation_home')}?{request.GET.urlencode()}"


def _chosen(request: HttpRequest, *, everything: bool) -> list[HpfImage]:
    if everything:
        return list(ImagesFilterForm(request.GET).narrow(images_measured()).order_by("pk"))
    try:
        ids = [str(uuid.UUID(value)) for value in request.POST.getlist("images")]
    except ValueError as error:
        raise DomainError("An image was named wrongly.", hint="Load the list again.") from error
    return images_by_public_id(ids)


@require_POST
@requires("curation.manage")
def curation_measure(request: HttpRequest) -> HttpResponse:
    job = measure_request(actor=person(request))
    if job is None:
        messages.info(request, "Everything is measured already.")
    else:
        ring(job.pk)
    return redirect("curation_home")


@require_safe
@requires("curation.manage")
def curation_duplicates(request: HttpRequest) -> HttpResponse:
    """Pairs that look the same: across patients first, then within, the settled ones last."""
    cohort = Cohort.objects.filter(pk=whole_number(request.GET.get("cohort")) or 0).first()
    search = duplicates_find(live_seen([cohort] if cohort else None))
    page = Paginator(search.pairs, PAIRS_PER_PAGE).get_page(request.GET.get("page"))
    shown: list[Alike] = list(page.object_list)
    ids = {pk for pair in shown for pk in (pair.first, pair.second)}
    images = HpfImage.objects.filter(pk__in=ids).select_related("slide__patient__cohort", "slide__device").in_bulk()
    rows = [(pair, images[pair.first], images[pair.second]) for pair in shown]
    context = {
        "rows": rows, "page": page, "search": search, "cohorts": Cohort.objects.all(), "cohort": cohort,
        "n_within": sum(not pair.across_patients and pair.settlement is None for pair in search.pairs),
        "n_settled": sum(pair.settlement is not None for pair in search.pairs),
        "query": f"cohort={cohort.pk}" if cohort else "",
    }  # fmt: skip
    return render(request, "cases/curation_duplicates.html", context)


def _duplicates(request: HttpRequest) -> str:
    """The list of pairs, narrowed and turned as it was when this pair was opened from it."""
    numbers = {name: whole_number(request.GET.get(name)) for name in ("cohort", "page")}
    query = urlencode({name: number for name, number in numbers.items() if number})
    return reverse("curation_duplicates") + (f"?{query}" if query else "")


@require_http_methods(["GET", "HEAD", "POST"])
@requires("curation.manage")
def curation_pair(request: HttpRequest, first: uuid.UUID, second: uuid.UUID) -> HttpResponse:
    """Two fields side by side, and what is decided about them."""
    one, other = sorted((selectors.image_get(first), selectors.image_get(second)), key=lambda image: image.pk)
    identical = one.content_sha256 == other.content_sha256
    form = SettleForm(request.POST or None, outcomes=outcomes_open(one, other))
    if request.method == "POST" and form.is_valid():
        try:
            duplicate_settle(actor=person(request), first=one, second=other, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            messages.success(request, "The pair is settled.")
            return redirect(_duplicates(request))
    context: dict[str, Any] = {
        "pair_images": [one, other], "identical": identical, "form": form,
        "external": len({image.slide.patient.cohort.purpose for image in (one, other)}) > 1,
        "across": one.slide.patient_id != other.slide.patient_id, "history": pair_settlements(one, other),
        "back": _duplicates(request),
    }  # fmt: skip
    return render(request, "cases/curation_pair.html", context, status=400 if form.errors else 200)

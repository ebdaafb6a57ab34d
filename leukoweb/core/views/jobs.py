"""The Jobs page: what runs, what waits, what failed and why, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from leukoweb.core.exceptions import NotAllowed
from leukoweb.core.filters import JobFilter
from leukoweb.core.http import person, query_kept
from leukoweb.core.jobs import ledger
from leukoweb.core.jobs.bell import ring
from leukoweb.core.jobs.links import links_of
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action, requires

PER_PAGE = 25
SHOWN_ACTIVE = 200
ACTIVE_LISTS = (
    (Job.Status.RUNNING, "Running", "Nothing runs at the moment."),
    (Job.Status.QUEUED, "Waiting", "Nothing waits."),
)


@require_safe
@requires("jobs.view")
def job_list(request: HttpRequest) -> HttpResponse:
    """Whole page, or only the lists when htmx asks each two seconds."""
    narrowed = JobFilter(request.GET, queryset=Job.objects.select_related("created_by"))
    context = {
        "filter": narrowed,
        "narrowed": any(narrowed.data.get(name) for name in narrowed.filters),
        "query": query_kept(request, narrowed.filters),
        "nobody_works": _nobody_works(),
        **_lists(narrowed, request),
    }
    return render(request, "core/_job_lists.html" if request.headers.get("HX-Request") else "core/jobs.html", context)


def _lists(narrowed: JobFilter, request: HttpRequest) -> dict[str, Any]:
    """The lists that can hold anything under this filter, each job with its link."""
    wanted = narrowed.form.cleaned_data.get("status", "") if narrowed.is_valid() else ""
    active = narrowed.qs.filter(status__in=Job.ACTIVE).order_by("created_at")
    shown = list(active[:SHOWN_ACTIVE])
    ended = narrowed.qs.exclude(status__in=Job.ACTIVE).order_by("-finished_at")
    page = Paginator(ended, PER_PAGE).get_page(request.GET.get("page"))
    links = links_of([*shown, *page], person(request))
    return {
        "lists": [
            (title, [(job, links.get(job.pk)) for job in shown if job.status == status], empty)
            for status, title, empty in ACTIVE_LISTS
            if wanted in ("", status)
        ],
        "ended": [(job, links.get(job.pk)) for job in page],
        "show_ended": wanted not in Job.ACTIVE,
        "n_active": active.count(),
        "n_shown": SHOWN_ACTIVE,
        "page": page,
    }


def _nobody_works() -> set[str]:
    """Queues where a job has waited for a minute and nothing runs, whosever it is: probably no worker is up."""
    busy = Job._base_manager.filter(status=Job.Status.RUNNING).values("queue")
    limit = timezone.now() - timedelta(seconds=60)
    stuck = Job.objects.filter(status=Job.Status.QUEUED, created_at__lt=limit, not_before=None).exclude(queue__in=busy)
    return set(stuck.order_by().values_list("queue", flat=True).distinct())


@require_safe
@requires("jobs.view")
def job_progress(request: HttpRequest, pk: str) -> HttpResponse:
    """A fragment with one job's bar; without a trigger once the job has ended, which stops the polling."""
    job = get_object_or_404(Job, pk=pk)
    response = render(request, "core/_job_progress.html", {"job": job})
    if not job.is_active:
        response["HX-Trigger"] = "job-ended"
    return response


def _may_touch(user: User, job: Job) -> None:
    if job.created_by_id != user.pk and not has_action(user, "jobs.cancel"):
        raise NotAllowed("Only the person who started this job, or staff, may do that.")


@require_POST
@requires("jobs.view")
def job_cancel(request: HttpRequest, pk: str) -> HttpResponse:
    job = get_object_or_404(Job, pk=pk)
    _may_touch(person(request), job)
    job = ledger.job_cancel(actor=person(request), job=job)
    word = "was cancelled" if job.status == Job.Status.CANCELLED else "stops at its next checkpoint"
    messages.info(request, f"“{job.title}” {word}.")
    return _back(request)


@require_POST
@requires("jobs.view")
def job_retry(request: HttpRequest, pk: str) -> HttpResponse:
    job = get_object_or_404(Job, pk=pk)
    _may_touch(person(request), job)
    ledger.job_retry(actor=person(request), job=job)
    ring(job.pk)
    messages.info(request, f"“{job.title}” is queued again and goes on where it stopped.")
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    target = request.POST.get("next", "")
    if target and url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        return HttpResponseRedirect(target)
    return redirect("job_list")

"""The Jobs page: what runs, what waits, what failed and why, in words."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from leukoweb.core.exceptions import NotAllowed
from leukoweb.core.http import person
from leukoweb.core.jobs import ledger
from leukoweb.core.jobs.bell import ring
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action, requires


@require_safe
@requires("jobs.view")
def job_list(request: HttpRequest) -> HttpResponse:
    """Whole page, or only the lists when htmx asks each two seconds."""
    active = Job.objects.filter(status__in=Job.ACTIVE).select_related("created_by").order_by("created_at")
    running = [job for job in active[:200] if job.status == Job.Status.RUNNING]
    waiting = [job for job in active[:200] if job.status == Job.Status.QUEUED]
    ended = Job.objects.exclude(status__in=Job.ACTIVE).select_related("created_by").order_by("-finished_at")
    context = {
        "running": running,
        "waiting": waiting,
        "n_active": active.count(),
        "page": Paginator(ended, 25).get_page(request.GET.get("page")),
        "nobody_works": _nobody_works(waiting, running),
        "now": timezone.now(),
    }
    return render(request, "core/_job_lists.html" if request.headers.get("HX-Request") else "core/jobs.html", context)


def _nobody_works(waiting: list[Job], running: list[Job]) -> set[str]:
    """Queues where the oldest job has waited for a minute and nothing runs: probably no worker is up."""
    busy = {job.queue for job in running}
    limit = timezone.now() - timedelta(seconds=60)
    return {job.queue for job in waiting if job.queue not in busy and job.created_at < limit and not job.not_before}


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

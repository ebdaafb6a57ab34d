"""Where this app's jobs lead (``core.jobs.links``)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from django.urls import reverse

from leukoweb.core.jobs.links import JobLink
from leukoweb.core.models import Job, User
from leukoweb.core.permissions import has_action
from reader_study.models import Analysis


def analysis_links(jobs: Sequence[Job], user: User) -> Mapping[uuid.UUID, JobLink]:
    """Analyses of the studies that this person coordinates. 1 query."""
    if not has_action(user, "analyses.view"):
        return {}
    rows = Analysis.objects.filter(job__in=[job.pk for job in jobs], study__coordinators=user)
    return {
        job: JobLink("Open the analysis", reverse("analysis_detail", args=[public]))
        for job, public in rows.values_list("job", "public_id")
        if job is not None
    }

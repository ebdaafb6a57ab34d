"""What is put away once a day."""

from __future__ import annotations

from django.contrib.sessions.models import Session
from django.utils import timezone

from leukoweb.core.jobs.context import JobContext
from leukoweb.core.words import counted


def clear_sessions(context: JobContext) -> str:
    """Delete the rows of sign-ins that nobody can use any more; Django leaves them for ever."""
    n, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
    return f"{counted(n, 'expired sign-in')} removed."

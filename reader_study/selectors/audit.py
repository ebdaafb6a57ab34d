"""Details of events in studies are for those who coordinate them."""

from __future__ import annotations

from django.db.models import Q

from leukoweb.core.models import User
from leukoweb.core.permissions import has_action
from reader_study.models import Analysis, ReadingSession, Study


def own_studies(user: User) -> Q:
    """Events of the studies that this person coordinates, their sessions and analyses. At most 3 queries."""
    if not has_action(user, "studies.manage"):
        return Q(pk__in=[])
    own = Study.objects.filter(coordinators=user)
    studies = list(own.values_list("pk", "public_id"))
    sessions = ReadingSession.objects.filter(reader__study__coordinators=user).values_list("pk", flat=True)
    analyses = Analysis.objects.filter(study__coordinators=user).values_list("public_id", flat=True)
    targets = [f"study:{key}" for pair in studies for key in pair]
    targets += [f"session:{pk}" for pk in sessions] + [f"analysis:{key}" for key in analyses]
    return Q(target__in=targets)

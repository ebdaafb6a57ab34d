"""The published study, rebuilt, as the finished study of the demonstration."""

from __future__ import annotations

from leukoweb.core.models import Role, User
from reader_study.services.analyses import analysis_ensure
from reader_study.services.reconstruction import reconstruction_load


def demo_reconstruction() -> None:
    """Load it and queue its analysis, which a worker computes in the background. Idempotent."""
    coordinators = User.objects.filter(role=Role.COORDINATOR, is_active=True)
    analysis_ensure(reconstruction_load(coordinators=list(coordinators)))

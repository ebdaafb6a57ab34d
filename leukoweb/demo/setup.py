"""What the first start makes, and the sign-in links that every start prints. Laptop mode only."""

from __future__ import annotations

from django.conf import settings
from django.db.models import Q

from inference.services.registry import starter_ensure
from leukoweb.core.models import Role, User
from leukoweb.core.services.users import user_create, user_invite
from leukoweb.demo.cohort import demo_queue, first_queue
from leukoweb.demo.reconstruction import demo_reconstruction
from leukoweb.demo.sorting import sorting_queue
from leukoweb.demo.study import study_queue


def first_run(*, demo: bool) -> None:
    """Idempotent: the starter pipeline always; demo users and the phantom cohort only where wanted.

    A demo user whom an admin gave another role keeps it: the name is taken, and the role may stay without anybody.
    """
    starter_ensure()
    if settings.PRODUCTION:
        return
    for role in Role.values if demo else [Role.ADMIN]:
        if not User.objects.filter(Q(role=role) | Q(username=role)).exists():
            user_create(actor=None, username=role, role=role, full_name=f"Demo {role}" if demo else "")
    if demo:
        first_queue()
        study_queue()
        demo_reconstruction()  # a minute's work: before the drawing, which takes long
        sorting_queue()
        demo_queue()


def sign_in_links(url: str, *, demo: bool) -> list[tuple[str, str]]:
    """(role, link) for each demo user; without the demo, for an admin as long as none has a password."""
    if settings.PRODUCTION:
        return []
    if demo:
        people = list(User.objects.filter(username__in=Role.values, is_active=True).order_by("pk"))
    else:
        admins = User.objects.filter(role=Role.ADMIN, is_active=True)
        people = [] if any(a.has_usable_password() for a in admins) else list(admins[:1])
    return [(person.username, f"{url}/join/{user_invite(actor=None, user=person)}/") for person in people]

"""Who may do what: one table. The documentation and the tests are made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import rules
from django.contrib.auth.models import AnonymousUser

from leukoweb.core.models import Role, User

T, P, C, A = Role.TECHNICIAN, Role.PATHOLOGIST, Role.COORDINATOR, Role.ADMIN

ACTIONS: dict[str, tuple[str, frozenset[str]]] = {
    # action: (what it means, roles that may)
    "home.view": ("See the start page", frozenset({T, P, C, A})),
    "slides.view": ("See patients, slides and their images", frozenset({T, P, C, A})),
    "slides.upload": ("Upload images, make patients and slides", frozenset({T, A})),
    "slides.mend": ("Correct codes and capture data; move or remove fields, slides and patients", frozenset({T, A})),
    "slides.review": ("Review the fields of a slide before it can be read", frozenset({T, A})),
    "names.view": ("See the original file names of images", frozenset({T, A})),
    "cohorts.manage": ("Make cohorts", frozenset({T, C, A})),
    "patients.withdraw": ("Withdraw a patient and purge the images", frozenset({C, A})),
    "references.view": ("See reference diagnoses", frozenset({C, A})),
    "references.edit": ("Enter and import reference diagnoses", frozenset({C, A})),
    "inference.run": ("Run an AI pipeline on a slide or cohort", frozenset({T, P, C, A})),
    "results.view": ("See AI results", frozenset({P, C, A})),
    "models.view": ("See models and pipelines", frozenset({P, C, A})),
    "models.manage": ("Import, export and activate models and pipelines", frozenset({A})),
    "sorting.sort": ("Sort images of a task that one has a seat in", frozenset({P})),
    "sorting.manage": ("Make sorting tasks, seat sorters, close tasks, edit the taxonomy", frozenset({A})),
    "sorting.agreement": ("See all sorters' decisions and their agreement", frozenset({C, A})),
    "curation.manage": ("Exclude images, settle duplicates, measure quality", frozenset({A})),
    "datasets.view": ("See dataset versions, drift reports and exports", frozenset({C, A})),
    "datasets.import": ("Import datasets: cohorts, images and labels", frozenset({A})),
    "datasets.freeze": ("Freeze dataset versions", frozenset({A})),
    "training.view": ("See training runs and validation reports", frozenset({C, A})),
    "training.run": ("Start, cancel and continue training runs", frozenset({A})),
    "studies.manage": ("Design, lock, run, freeze and unblind one's own studies", frozenset({C})),
    "studies.read": ("Read cases blinded in a session of one's own", frozenset({P})),
    "analyses.view": ("Analyse one's own studies; see and export results", frozenset({C})),
    "jobs.view": ("See the queue of work", frozenset({T, P, C, A})),
    "jobs.cancel": ("Cancel or retry any job", frozenset({T, C, A})),
    "users.manage": ("Make, disable and reset users", frozenset({A})),
    "audit.view": ("Read the audit trail", frozenset({C, A})),
    "health.view": ("See how the installation is: queue, disk, backups, audit chain", frozenset({A})),
    "api.docs": ("Read the API documentation", frozenset({T, C, A})),
}


def has_action(user: User | AnonymousUser, action: str) -> bool:
    """Whether ``user`` may do ``action`` at all; object rules come on top. An unknown action is nobody's."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return user.role in ACTIONS.get(action, ("", frozenset[str]()))[1]


def _predicate(action: str) -> Any:
    return rules.predicate(lambda user: has_action(user, action), name=action)


for _action in ACTIONS:
    rules.add_perm(_action, _predicate(_action))

View = TypeVar("View", bound=Callable[..., Any])


def requires(action: str) -> Callable[[View], View]:
    """Mark a view with the action it needs. A view without a mark is refused to everybody (core.middleware)."""
    if action not in ACTIONS:
        raise KeyError(f"unknown action {action!r}: add it to core.permissions.ACTIONS")

    def mark(view: View) -> View:
        view.required_action = action  # type: ignore[attr-defined]
        return view

    return mark


def public(view: View) -> View:
    """Mark a view that needs no sign-in."""
    view.required_action = None  # type: ignore[attr-defined]
    return view

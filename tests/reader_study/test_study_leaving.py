"""What takes a study away from somebody: leaving it, and deleting a draft. Both ask first."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from leukoweb.core.exceptions import Conflict, NotAllowed
from leukoweb.core.models import AuditEvent, User
from reader_study.models import Study
from reader_study.services import studies
from tests.conftest import BACKEND
from tests.reader_study.pages import url
from tests.reader_study.studies import make_locked, make_study, user, world

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


@pytest.fixture
def client(coordinator: User) -> Client:
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    return client


def test_who_takes_themselves_off_a_study_is_asked_once(client: Client, coordinator: User) -> None:
    study, other, third = make_study(coordinator), user("coordinator", "other"), user("coordinator", "third")
    for person in (other, third):
        studies.coordinator_add(actor=coordinator, study=study, user=person)
    here = url("study_coordinators", study)
    off = client.post(here, {"do": "remove", "user": third.pk})
    assert off.headers["Location"] == url("study_detail", study), "somebody else can be added again: no question"
    page = client.post(here, {"do": "remove", "user": coordinator.pk}).content.decode()
    assert "Leave this study?" in page
    assert "You cannot add yourself again; other can." in page
    assert coordinator in study.coordinators.all()
    left = client.post(here, {"do": "remove", "user": coordinator.pk, "sure": "yes"})
    assert left.headers["Location"] == reverse("study_list")
    assert list(study.coordinators.all()) == [other]


def test_a_draft_is_deleted_after_a_question_and_on_record(client: Client, coordinator: User) -> None:
    study = make_study(coordinator, "A try")
    key, here = study.pk, url("study_delete", study)
    assert f'href="{here}"' in client.get(url("study_detail", study)).content.decode()
    asked = client.get(here).content.decode()
    assert "Delete this draft?" in asked
    assert 'name="draft_version" value="0"' in asked
    studies.draft_save(actor=coordinator, study=study, document=study.draft | {"washout_days": 30}, version=0)
    assert client.post(here, {"draft_version": "0"}).status_code == 409, "somebody saved it meanwhile"
    assert client.post(here).status_code == 409
    assert client.post(here, {"draft_version": "1"}, follow=True).content.decode().count("A try") == 1  # the message
    assert not Study.objects.filter(pk=key).exists()
    event = AuditEvent.objects.get(action="study.delete")
    assert (event.target, event.data, event.actor) == (f"study:{key}", {"title": "A try", "version": 1}, coordinator)
    assert client.get(here).status_code == 404
    assert make_study(coordinator, "A try").pk != key, "the title is free again, the number is not"
    trail = client.get("/audit/", {"action": "study.delete"}).content.decode()
    assert "A try" in trail, "to who deleted it the trail keeps what it promises"
    other = Client()
    other.force_login(user("coordinator", "another"), backend=BACKEND)
    told = other.get("/audit/", {"action": "study.delete"}).content.decode()
    assert ("study.delete" in told, "A try" in told) == (True, False)


def test_what_was_locked_or_is_somebody_elses_is_not_deleted(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    assert client.get(url("study_delete", study)).status_code == 409
    assert client.post(url("study_delete", study), {"draft_version": "0"}).status_code == 409
    with pytest.raises(Conflict, match="never deleted"):
        studies.draft_delete(actor=coordinator, study=study, version=study.draft_version)
    assert "Delete the draft" not in client.get(url("study_detail", study)).content.decode()
    stranger = user("coordinator", "stranger")
    theirs = make_study(stranger, "Theirs")
    assert client.post(url("study_delete", theirs), {"draft_version": "0"}).status_code == 404
    with pytest.raises(NotAllowed):
        studies.draft_delete(actor=coordinator, study=theirs, version=0)
    assert Study.objects.filter(pk__in=[study.pk, theirs.pk]).count() == 2

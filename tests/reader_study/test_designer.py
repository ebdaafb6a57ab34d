"""The designer: its form is the document, its checks are live, its file comes and goes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from leukoweb.core.models import User
from reader_study.designer_form import Designer, anchor
from reader_study.models import Study
from reader_study.protocol import canonical, default_document, dump_yaml, load_yaml
from tests.conftest import BACKEND
from tests.reader_study.pages import posted, url
from tests.reader_study.protocols import complete, reader
from tests.reader_study.studies import make_study, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


@pytest.fixture
def client(coordinator: User) -> Client:
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    return client


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"classes": {"map": "custom", "names": ["ACUTE", "OTHER"], "reference_map": {
            "ALL": "ACUTE", "AML": "ACUTE", "CLL": "OTHER", "CML": "OTHER", "NO_LEUKEMIA": "OTHER"}}},
        {"classes": {"map": "three", "names": ["ACUTE", "CHRONIC", "NO_LEUKEMIA"], "reference_map": {}}},
        {"images_per_case": {"rule": "fixed", "k": 10, "seed": 7}, "closes_on": "2027-03-01",
         "navigation": "forward_only"},
        {"arms": ["blinded", "ai_assisted"], "readers": [reader("P1", "p1", ("blinded", "ai_assisted", "blinded"))]},
        {"non_inferiority_margin": None, "ai": {"primary": None, "comparators": []}, "endpoints": []},
    ],
)  # fmt: skip
def test_the_form_and_the_document_are_the_same_thing(coordinator: User, changes: dict[str, Any]) -> None:
    from django.http import QueryDict

    document = complete(**changes)
    data = QueryDict(mutable=True)
    for key, value in posted(document).items():
        data.setlist(key, [str(one) for one in value] if isinstance(value, list) else [str(value)])
    assert canonical(Designer(document, data).document()) == document


def test_every_item_of_the_schema_is_in_the_form_or_a_table(coordinator: User) -> None:
    from reader_study.designer_form import ITEMS

    def paths(document: dict[str, Any], prefix: str = "") -> set[str]:
        found = set()
        for key, value in document.items():
            nested = isinstance(value, dict) and value and f"{prefix}{key}" != "classes.reference_map"
            found |= paths(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}"}
        return found

    assert paths(default_document()) - {"schema", "arms", "readers", "endpoints"} == set(ITEMS)


def test_designing_saves_and_says_what_is_missing(client: Client, coordinator: User) -> None:
    response = client.post(reverse("study_create"), {"title": "A new one"})
    study = Study.objects.get(title="A new one")
    assert response.headers["Location"] == url("study_design", study)
    page = client.get(url("study_design", study)).content.decode()
    assert "The study has no reader." in page
    document = complete(title="A new one", readers=[reader("P1", "p1")])
    response = client.post(url("study_design", study), posted(document) | {"draft_version": "0"}, follow=True)
    assert "Ready to lock" in response.content.decode()
    study.refresh_from_db()
    assert (study.draft, study.draft_version) == (document, 1)


def test_check_and_lock_saves_first(client: Client, coordinator: User) -> None:
    study = make_study(coordinator)
    page = client.get(url("study_design", study)).content.decode()
    assert 'data-unsaved="no"' in page
    assert '<button class="btn btn-secondary" type="submit" name="then" value="lock">' in page
    assert f'href="{url("study_lock", study)}"' not in page  # a link would leave the edits behind
    data = posted(study.draft) | {"draft_version": "0", "then": "lock"}
    response = client.post(url("study_design", study), data | {"washout_days": "28"})
    assert response.headers["Location"] == url("study_lock", study)
    study.refresh_from_db()
    assert study.draft["washout_days"] == 28
    refused = client.post(url("study_design", study), data | {"draft_version": "1", "washout_days": "many"})
    assert refused.status_code == 400
    assert 'data-unsaved="yes"' in refused.content.decode()  # what was refused is asked about before one leaves


def test_a_stale_form_is_refused_and_keeps_what_was_typed(client: Client, coordinator: User) -> None:
    study = make_study(coordinator)
    data = posted(study.draft) | {"draft_version": "0"}
    client.post(url("study_design", study), data | {"washout_days": "28"})
    response = client.post(url("study_design", study), data | {"washout_days": "14"})
    page = response.content.decode()
    assert response.status_code == 409
    assert "Somebody saved this protocol in the meantime" in page
    assert re.search(r'name="washout_days" value="14"', page)
    study.refresh_from_db()
    assert study.draft["washout_days"] == 28


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("washout_days", "many", "A whole number is expected here"),
        ("readers-0-years", "ten", "A whole number is expected here"),
        ("non_inferiority_margin", "7", "7 is not between 0 and 1"),
        ("closes_on", "soon", "is not a date"),
        ("planning.expected_per_class", "1, x", "A whole number is expected here"),
    ],
)
def test_bad_values_are_named_at_once_and_not_saved(
    client: Client, coordinator: User, field: str, value: str, words: str
) -> None:
    study = make_study(coordinator)
    data = posted(study.draft) | {"draft_version": "0", field: value}
    page = client.post(url("study_check", study), data).content.decode()
    assert words in page
    assert f'href="#id_{field}"' in page
    assert client.post(url("study_design", study), data).status_code == 400
    study.refresh_from_db()
    assert study.draft_version == 0


@pytest.mark.parametrize("version", ["x", "²", "-1", "9" * 5000])
def test_a_page_that_does_not_say_its_draft_is_refused(client: Client, coordinator: User, version: str) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    study = make_study(coordinator)
    for name, data in (
        ("study_design", posted(study.draft)),
        ("study_upload", {"file": SimpleUploadedFile("p.yaml", dump_yaml(study.draft).encode())}),
    ):
        answer = client.post(url(name, study), data | {"draft_version": version})
        assert answer.status_code == 400
        assert "which draft it shows" in answer.content.decode()
    study.refresh_from_db()
    assert study.draft_version == 0


@pytest.mark.parametrize("user", ["x", "²", "", "9" * 5000])
def test_a_coordinator_who_does_not_exist_is_refused(client: Client, coordinator: User, user: str) -> None:
    answer = client.post(url("study_coordinators", make_study(coordinator)), {"user": user})
    assert (answer.status_code, "Choose a coordinator" in answer.content.decode()) == (400, True)


def test_problems_lead_to_their_field() -> None:
    assert anchor("washout_days") == "id_washout_days"
    assert anchor("readers.2.sessions.1") == "id_readers-1-sessions"
    assert anchor("classes.reference_map.ALL") == "id_classes.reference_map"
    assert anchor("arms") == "section-readers"


def test_live_checks_store_nothing_and_show_the_planner(client: Client, coordinator: User) -> None:
    study = make_study(coordinator)
    page = client.post(url("study_check", study), posted(study.draft | {"washout_days": 5})).content.decode()
    assert "5 days of washout are very short" in page
    assert "not saved" in page
    assert "Ready to lock once it is saved" in page
    assert "0.90 ±" in page
    study.refresh_from_db()
    assert study.draft["washout_days"] == 42


def test_the_file_goes_out_and_comes_back(client: Client, coordinator: User) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    study = make_study(coordinator)
    response = client.get(url("study_protocol_file", study))
    assert load_yaml(response.content) == study.draft
    assert str(study.public_id)[:8] in response["Content-Disposition"]
    other = SimpleUploadedFile("p.yaml", dump_yaml(study.draft | {"washout_days": 30}).encode())
    client.post(url("study_upload", study), {"file": other, "draft_version": "0"})
    study.refresh_from_db()
    assert study.draft["washout_days"] == 30
    bad = SimpleUploadedFile("p.yaml", response.content.replace(b"washout_days: 42", b"washout_days: x"))
    refused = client.post(url("study_upload", study), {"file": bad, "draft_version": "1"})
    assert refused.status_code == 400
    assert b"washout_days: A whole number is expected here" in refused.content
    tricks = SimpleUploadedFile("p.yaml", b"a: &x 1\n")
    refused = client.post(url("study_upload", study), {"file": tricks, "draft_version": "1"})
    assert (refused.status_code, b"Back to the designer" in refused.content) == (400, True)

"""The sorting API: roles, own data only, one error shape."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.utils.crypto import salted_hmac

from cases.models import AdjudicationDecision, Cohort, HpfImage, SortingDecision, SortingTask
from cases.services.sorting_tasks import People, task_create
from cases.services.taxonomies import taxonomy_ensure
from tests.conftest import BACKEND

pytestmark = pytest.mark.django_db
JSON = "application/json"


@pytest.fixture
def anna(as_role: Callable[[str], Client]) -> Client:
    return as_role("pathologist")


@pytest.fixture
def task(anna: Any, training: Cohort, images: list[HpfImage], sorters: list[Any]) -> SortingTask:
    people = People([anna.user, sorters[0]], [], [sorters[1]])
    return task_create(actor=None, name="T", cohorts=[training], people=people, taxonomy=taxonomy_ensure(), seed=1)


def body(picture: str, **change: Any) -> dict[str, Any]:
    return {"image": picture, "key": str(uuid.uuid4()), "verdict": "label", "label": "AML", **change}


def test_a_sorting_session_over_the_api(anna: Client, task: SortingTask) -> None:
    base = f"/api/v1/sorting/{task.public_id}"
    queue = anna.get(f"{base}/queue/").json()
    assert len(queue["items"]) == 12
    assert queue["items"][0][3:] == ["", "", "", None]
    sent = body(queue["items"][3][0], shown_ms=812)
    for expected in ((1, 0), (0, 1)):
        answer = anna.post(f"{base}/decisions/", {"decisions": [sent]}, JSON).json()
        assert (answer["n_new"], answer["n_known"]) == expected
    assert SortingDecision.objects.get().shown_ms == 812
    queue = anna.get(f"{base}/queue/").json()
    assert queue["items"][3][3:] == ["label", "AML", "", sent["key"]]
    assert queue["position"] == 4
    assert anna.get(f"{base}/history/").json()["decisions"][0][:1] == [sent["key"]]

    other = body(sent["image"], label="CLL")
    answer = anna.post(f"{base}/decisions/", {"decisions": [other]}, JSON)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "E_STALE"
    assert answer.json()["error"]["conflicts"][0]["label"] == "AML"
    assert anna.put(f"{base}/place/", {"position": 9, "preferences": {"tile": 240}}, JSON).status_code == 204
    assert anna.get(f"{base}/queue/").json()["preferences"] == {"tile": 240}
    refused = anna.put(f"{base}/place/", {"position": 3_000_000_000}, JSON)
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "position")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"image": "7"}, "decisions.0.image"),
        ({"verdict": "guess"}, "decisions.0.verdict"),
        ({"origin": "import"}, "decisions.0.origin"),
        ({"seat": 1}, "decisions.0.seat"),
        ({"label": "MDS"}, "label"),
    ],
)
def test_bad_decisions_are_named(anna: Client, task: SortingTask, change: dict[str, Any], field: str) -> None:
    image = anna.get(f"/api/v1/sorting/{task.public_id}/queue/").json()["items"][0][0]
    url = f"/api/v1/sorting/{task.public_id}/decisions/"
    answer = anna.post(url, {"decisions": [body(image, **change)]}, JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field
    assert not SortingDecision.objects.exists()


def test_the_queue_costs_the_same_for_12_and_for_60_images(
    anna: Client, task: SortingTask, training: Cohort, django_assert_max_num_queries: Any
) -> None:
    from tests.cases.sorting.conftest import images_make

    images_make(training, 4, 12, prefix="more")
    people = People([anna.user], [], [])  # type: ignore[attr-defined]
    larger = task_create(actor=None, name="L", cohorts=[training], people=people, taxonomy=taxonomy_ensure(), seed=1)
    counts = []
    for one in (task, larger):
        with django_assert_max_num_queries(10) as captured:
            anna.get(f"/api/v1/sorting/{one.public_id}/queue/")
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_an_admin_makes_closes_and_reads_a_task(
    as_role: Callable[[str], Client], training: Cohort, images: list[HpfImage], sorters: list[Any]
) -> None:
    admin = as_role("admin")
    made = admin.post(
        "/api/v1/sorting/tasks/",
        {"name": "By API", "cohorts": [training.pk], "sorters": ["anna", "ben"], "adjudicators": ["cleo"],
         "consensus": {"rule": "majority"}, "assignment": "overlap", "overlap_percent": 50},
        JSON,
    )  # fmt: skip
    assert made.status_code == 201, made.json()
    task = made.json()
    assert task["consensus"]["rule"] == "majority"
    assert admin.get("/api/v1/sorting/tasks/").json()["results"][0]["id"] == task["id"]
    consensus = admin.get(f"/api/v1/sorting/tasks/{task['id']}/consensus/").json()
    assert consensus["counts"] == {"open": 12}
    assert admin.post(f"/api/v1/sorting/tasks/{task['id']}/close/").json()["closed_at"]
    assert admin.post(f"/api/v1/sorting/tasks/{task['id']}/close/").status_code == 409
    nobody = {"name": "X", "cohorts": [training.pk], "sorters": ["nobody"]}
    refused = admin.post("/api/v1/sorting/tasks/", nobody, JSON)
    assert refused.status_code == 404
    assert "There is no user 'nobody'" in refused.json()["error"]["message"]


def test_another_pathologist_gets_404_everywhere(
    as_role: Callable[[str], Client], task: SortingTask, images: list[HpfImage]
) -> None:
    stranger = as_role("pathologist")
    base = f"/api/v1/sorting/{task.public_id}"
    for answer in (
        stranger.get(f"{base}/queue/"),
        stranger.get(f"{base}/history/"),
        stranger.post(f"{base}/decisions/", {"decisions": [body(str(images[0].public_id))]}, JSON),
        stranger.put(f"{base}/place/", {"position": 1}, JSON),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize("other", ["sorter", "adjudicator", "stranger"])
def test_an_open_board_does_not_act_as_whoever_signed_in_later(
    anna: Client, task: SortingTask, sorters: list[Any], as_role: Callable[[str], Client], other: str
) -> None:
    """The tab of one person, the cookie of another: a seat of the same task must not get these decisions."""
    board = anna.get(f"/sorting/{task.public_id}/board/").context["owner"]
    base = f"/api/v1/sorting/{task.public_id}"
    sent = {"decisions": [body(anna.get(f"{base}/queue/").json()["items"][0][0])]}
    later = as_role("pathologist")
    if other != "stranger":
        later.force_login(sorters[other == "adjudicator"])
    mine = {"X-Sorting-Board": board}
    for answer in (
        later.get(f"{base}/queue/", headers=mine),
        later.get(f"{base}/history/", headers=mine),
        later.post(f"{base}/decisions/", sent, JSON, headers=mine),
        later.put(f"{base}/place/", {"position": 9}, JSON, headers=mine),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "E_OTHER_PERSON")
    assert not SortingDecision.objects.exists()
    assert not AdjudicationDecision.objects.exists()
    assert anna.post(f"{base}/decisions/", sent, JSON, headers=mine).json()["n_new"] == 1
    task.seats.filter(user=anna.user).update(active=False)  # type: ignore[attr-defined]
    assert anna.get(f"{base}/queue/", headers=mine).status_code == 404, "it is theirs, but it was stopped"


@pytest.mark.both_databases
def test_a_board_keeps_its_name_when_the_secret_key_changes(anna: Any, task: SortingTask, settings: Any) -> None:
    """Decisions wait under it in browsers; seats that were there before the name was stored keep theirs too."""
    address = f"/sorting/{task.public_id}/board/"
    board = anna.get(address).context["owner"]
    settings.SECRET_KEY = "another one after a leak, of more than fifty characters"
    anna.force_login(anna.user, backend=BACKEND)
    assert anna.get(address).context["owner"] == board
    assert len(set(task.seats.values_list("board", flat=True))) == task.seats.count()
    import_module("cases.migrations.0012_sorting_seat_board").keep_names(apps, None)
    seat = task.seats.get(user=anna.user)
    assert seat.board == salted_hmac("leukoweb.sorting.outbox", str(seat.pk)).hexdigest()[:32]


def test_a_visitor_is_told_to_sign_in(client: Client, task: SortingTask) -> None:
    answer = client.post(f"/api/v1/sorting/{task.public_id}/decisions/", {}, JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "E_LOGIN")

"""Pages of staff: a task by form, its close, a person who leaves, the taxonomy editor, the command, the start page."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from cases.models import Cohort, HpfImage, SortingTask, Taxonomy
from cases.services import sorting_tasks
from cases.services.taxonomies import taxonomy_ensure
from reader_study.selectors.blindfold import hidden_patients

pytestmark = pytest.mark.django_db


def form(training: Cohort, sorters: list[Any], **change: Any) -> dict[str, Any]:
    return {
        "name": "First", "cohorts": [training.pk], "sorters": [s.pk for s in sorters[:2]],
        "adjudicators": [sorters[2].pk], "assignment": "all", "overlap_percent": 20, "rule": "adjudicated",
        "min_decisions": 0, "panel_min": 1, "adjudication": "open", "taxonomy": taxonomy_ensure().pk,
        "instructions": "Look twice.", **change,
    }  # fmt: skip


def test_an_admin_makes_and_closes_a_task(
    as_role: Callable[[str], Client], training: Cohort, images: list[HpfImage], sorters: list[Any]
) -> None:
    admin = as_role("admin")
    assert b"Make the first task" in admin.get("/sorting/").content
    refused = admin.post("/sorting/new/", form(training, sorters, adjudicators=[sorters[0].pk]))
    assert refused.status_code == 400
    assert b"has two parts" in refused.content
    answer = admin.post("/sorting/new/", form(training, sorters), follow=True)
    task = SortingTask.objects.get()
    assert (task.adjudication, task.created_by.role) == ("open", "admin")
    assert b"0 of 12" in answer.content
    seat = task.seats.first()
    stop = f"/sorting/{task.public_id}/seats/{seat.pk}/stop/"
    assert admin.post(stop, {"reason": ""}).status_code == 400
    assert b"has left the task" in admin.post(stop, {"reason": "Retired"}, follow=True).content
    asked = admin.get(f"/sorting/{task.public_id}/close/").content.decode()
    assert "It cannot be opened again" in asked
    assert "<dt>Disputes not settled</dt><dd>0</dd>" in asked
    assert "<dt>Images without an outcome</dt><dd>12 of 12</dd>" in asked
    assert "<dt>Sorters not through</dt><dd>1</dd>" in asked, "who left is not waited for"
    task.refresh_from_db()
    assert task.closed_at is None
    assert b"is closed" in admin.post(f"/sorting/{task.public_id}/close/", follow=True).content
    assert admin.get(f"/sorting/{task.public_id}/close/").status_code == 302
    assert admin.post(f"/sorting/{task.public_id}/close/").status_code == 409
    assert b"Closed" in admin.get("/sorting/").content


def test_chosen_images_alone_are_sorted_again(
    as_role: Callable[[str], Client], training: Cohort, images: list[HpfImage], sorters: list[Any]
) -> None:
    admin = as_role("admin")
    report = reverse("training_list")
    ticked = [str(image.public_id) for image in images[:2]]
    to_form = admin.post("/curation/sort-again/", {"images": ticked, "back": report})
    page = admin.get(to_form["Location"]).content.decode()
    assert "Only the 2 images that you chose are dealt" in page
    admin.post("/sorting/new/", form(training, sorters, images=",".join(ticked)))
    task = SortingTask.objects.get()
    dealt = set(task.seats.filter(part="sorter").values_list("items__image__public_id", flat=True))
    assert {str(one) for one in dealt} == set(ticked)
    for wrong in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        answer = admin.post("/sorting/new/", form(training, sorters, name="Second", images=wrong))
        assert (answer.status_code, b"Choose them again" in answer.content) == (400, True)
    assert admin.post("/curation/sort-again/", {"back": report})["Location"] == report
    elsewhere = admin.post("/curation/sort-again/", {"back": "https://example.org/"})["Location"]
    assert elsewhere.startswith("/curation/"), "a page of another site is not gone to"


def test_who_reads_the_patients_in_a_study_is_not_dealt_them(
    as_role: Callable[[str], Client], training: Cohort, images: list[HpfImage], sorters: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert hidden_patients in sorting_tasks._hidings, "reader_study says whom a reader may not see"
    reader, patient = sorters[1], images[0].slide.patient_id
    monkeypatch.setattr(sorting_tasks, "_hidings", [lambda user: [patient] if user == reader else []])
    answer = as_role("admin").post("/sorting/new/", form(training, sorters))
    assert answer.status_code == 400
    assert f"{reader} reads some of these patients" in answer.content.decode()
    assert not SortingTask.objects.exists()


def test_the_start_page_leads_a_pathologist_to_an_open_task(
    as_role: Callable[[str], Client], client: Client, training: Cohort, images: list[HpfImage], sorters: list[Any]
) -> None:
    as_role("admin").post("/sorting/new/", form(training, sorters))
    board = f"/sorting/{SortingTask.objects.get().public_id}/board/"
    for user, words in ((sorters[0], "Begin sorting: First"), (sorters[2], "Settle disagreements: First")):
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        start = client.get("/").content.decode()
        assert board in start
        assert words in start
        assert "First" in client.get("/sorting/").content.decode()
    SortingTask.objects.update(closed_at="2026-01-01T00:00Z")
    assert board not in client.get("/").content.decode()
    assert client.get(board).status_code == 400


def edited(taxonomy: Taxonomy, **change: str) -> dict[str, str]:
    """The form as the browser would send it, with a new label MDS in the last row."""
    data = {"name": taxonomy.name, "note": "MDS added"}
    for number, label in enumerate(taxonomy.labels):
        data |= {f"label-{number}-{column}": label[column] for column in ("name", "title", "code", "colour", "key")}
        data |= {f"map-{number}-{name}": one["by_label"][label["name"]] for name, one in taxonomy.maps.items()}
    new = {"name": "MDS", "title": "Myelodysplastic syndrome", "code": "MD", "colour": "#F0E442", "key": "8"}
    return data | {f"label-7-{column}": value for column, value in new.items()} | change


def test_a_laboratory_adds_a_class_and_is_told_which_maps_to_extend(as_role: Callable[[str], Client]) -> None:
    admin = as_role("admin")
    paper = taxonomy_ensure()
    url = f"/sorting/taxonomies/{paper.pk}/"
    assert b'name="label-7-name"' in admin.get(url).content
    refused = admin.post(url, edited(paper, **{"map-7-five": "MDS"}))
    assert refused.status_code == 400
    assert "map four: MDS; map three: MDS; map two: MDS" in refused.content.decode()
    assert 'value="Myelodysplastic syndrome"' in refused.content.decode()
    maps = {"map-7-five": "MDS", "map-7-four": "CHRONIC", "map-7-three": "CHRONIC", "map-7-two": "LEUKEMIA"}
    for odd in ({"note": "a\x00b"}, {"label-7-title": "a\x00b"}):  # PostgreSQL cannot store it
        answer = admin.post(url, edited(paper, **maps) | odd)
        assert (answer.status_code, b"Null characters" in answer.content) == (400, True)
    answer = admin.post(url, edited(paper, **maps), follow=True)
    assert "paper, version 2" in answer.content.decode()
    second = Taxonomy.objects.get(version=2)
    assert second.maps["five"]["classes"][-1] == "MDS"
    assert (second.note, second.created_by.role) == ("MDS added", "admin")
    assert b"paper 2" in admin.get("/sorting/new/").content


def test_the_command_makes_and_closes_a_task(
    training: Cohort, images: list[HpfImage], sorters: list[Any], admin_user: Any
) -> None:
    out = StringIO()
    call_command(
        "sorting_task", "By command", "--cohort", "Training", "--sorter", "anna", "--sorter", "ben", "--adjudicator",
        "cleo", "--assignment", "split", "--rule", "majority", "--seed", "7", stdout=out,
    )  # fmt: skip
    assert "anna: Sorter, 6 images" in out.getvalue()
    task = SortingTask.objects.get()
    assert (task.seed, task.consensus["rule"]) == (7, "majority")
    call_command("sorting_task", "By command", "--close", "--actor", admin_user.username, stdout=out)
    task.refresh_from_db()
    assert task.closed_at is not None
    with pytest.raises(CommandError, match="There is no cohort 'Nowhere'"):
        call_command("sorting_task", "X", "--cohort", "Nowhere", "--sorter", "anna")

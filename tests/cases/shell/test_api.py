"""The upload API as the browser uses it, and its refusals."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cases.models import Cohort, HpfImage, Slide, UploadItem
from tests.cases.shell.pictures import picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(technician: Any) -> Client:
    client = Client()
    client.force_login(technician, backend="django.contrib.auth.backends.ModelBackend")
    return client


def post(client: Client, url: str, body: Any) -> Any:
    return client.post(url, json.dumps(body), content_type="application/json")


def put(client: Client, batch: str, item: int, data: bytes, **extra: Any) -> Any:
    url = reverse("api_upload_item", args=[batch, item])
    return client.put(url, data, content_type="application/octet-stream", **extra)


def entry(path: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}


def opened(client: Client, slide: Slide, *files: dict[str, Any]) -> Any:
    response = post(client, "/api/v1/uploads/", {"slide": slide.pk, "files": list(files)})
    assert response.status_code == 201, response.content
    return response.json()


def test_a_cohort_upload_from_manifest_to_slides(client: Client, cohort: Cohort) -> None:
    data = picture(1), picture(2)
    body = {"cohort": cohort.pk, "slides": [{"patient": "P-7", "slide": "P-7-S1"}]}
    batch = post(client, "/api/v1/uploads/", body).json()
    files = [entry(f"dir/{i}.png", d, slide="P-7-S1") for i, d in enumerate(data)]
    items = post(client, f"/api/v1/uploads/{batch['id']}/items/", {"files": files}).json()["items"]
    assert [item["needed"] for item in items] == [True, True]
    response = put(client, batch["id"], items[0]["id"], data[0])
    assert (response.status_code, response.json()["item"]["state"]) == (200, "stored")
    listed = client.get("/api/v1/uploads/").json()
    assert [row["id"] for row in listed] == [batch["id"]], "half done: can be resumed"
    missing = client.get(f"/api/v1/uploads/{batch['id']}/items/?state=expected").json()["results"]
    assert [row["path"] for row in missing] == ["dir/1.png"]
    put(client, batch["id"], items[1]["id"], data[1])
    state = client.get(f"/api/v1/uploads/{batch['id']}/").json()
    assert state["counts"]["stored"] == 2
    assert state["slides"][0]["code"] == "P-7-S1"
    assert state["closed_at"] is not None
    assert client.get("/api/v1/uploads/").json() == []


def test_a_duplicate_elsewhere_is_told(client: Client, slide: Slide, other_slide: Slide, add: Any) -> None:
    add(other_slide, 1)
    batch = opened(client, slide, entry("a.png", picture(1)))
    answer = put(client, batch["id"], batch["items"][0]["id"], picture(1)).json()
    assert [note["code"] for note in answer["warnings"]] == ["W_DUPLICATE_PATIENT"]


def test_wrong_bytes_are_422_and_refused_bytes_400(client: Client, slide: Slide) -> None:
    bad = b"x" * 300
    batch = opened(client, slide, entry("a.png", picture(1)), entry("b.png", bad))
    first, second = (item["id"] for item in batch["items"])
    swapped = put(client, batch["id"], first, picture(1)[:-1] + b"?")
    assert (swapped.status_code, swapped.json()["error"]["code"]) == (422, "E_CHECKSUM")
    refused = put(client, batch["id"], second, bad)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "E_NOT_IMAGE")
    assert refused.json()["error"]["message"]
    assert UploadItem.objects.get(pk=first).state == "expected"


def test_size_is_judged_by_the_header_before_the_body_is_read(client: Client, slide: Slide) -> None:
    batch = opened(client, slide, entry("a.png", picture(1)))
    item = batch["items"][0]["id"]

    class Unread(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise AssertionError("the body was read")

    extra = {"CONTENT_LENGTH": "30000000", "wsgi.input": Unread()}
    response = put(client, batch["id"], item, b"", **extra)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "E_TOO_LARGE")
    assert "30.0 MB > 25 MB" in response.json()["error"]["message"]
    response = put(client, batch["id"], item, b"", CONTENT_LENGTH="", **{"wsgi.input": Unread()})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "E_LENGTH")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "cohort"),
        ({"cohort": 1, "slide": 1}, None),
        ({"cohort": "x"}, "cohort"),
        ({"slide": 10**30}, None),  # no number that is read at all
        ({"cohort": 1, "owner": 3}, "owner"),
        ({"cohort": 1, "files": [{"path": "a", "size": -1}]}, "files.0.size"),
        ({"cohort": 1, "files": [{"path": "a", "size": 5, "sha256": "zz"}]}, "files.0.sha256"),
        ({"cohort": 1, "files": [{"size": 5}]}, "files.0.path"),
        ({"cohort": 1, "slides": [{"patient": "P"}]}, "slides.0.slide"),
    ],
)
def test_bad_manifests_are_refused(client: Client, slide: Slide, body: dict[str, Any], field: str | None) -> None:
    body = {k: (slide.patient.cohort_id if (k, v) == ("cohort", 1) else slide.pk if (k, v) == ("slide", 1) else v)
            for k, v in body.items()}  # fmt: skip
    response = post(client, "/api/v1/uploads/", body)
    assert response.status_code == 400, response.content
    assert set(response.json()["error"]) == {"code", "message", "field", "hint"}
    if field is not None:
        assert response.json()["error"]["field"] == field


def test_a_page_of_a_manifest_is_bounded(client: Client, slide: Slide) -> None:
    files = [{"path": f"{i}.png", "size": 5} for i in range(1001)]
    assert post(client, "/api/v1/uploads/", {"slide": slide.pk, "files": files}).status_code == 400
    assert not UploadItem.objects.exists()


def test_nobody_else_reaches_an_upload(client: Client, slide: Slide, as_role: Any) -> None:
    batch = opened(client, slide, entry("DOE.png", picture(1)))
    item = batch["items"][0]["id"]
    other = as_role("technician")
    root = f"/api/v1/uploads/{batch['id']}/"
    assert [other.get(root + tail).status_code for tail in ("", "items/")] == [404, 404]
    assert put(other, batch["id"], item, picture(1)).status_code == 404
    assert post(other, root + "close/", {}).status_code == 404


def test_items_of_another_upload_are_not_found(client: Client, slide: Slide) -> None:
    one, two = opened(client, slide, entry("a.png", picture(1))), opened(client, slide, entry("b.png", picture(2)))
    assert put(client, one["id"], two["items"][0]["id"], picture(2)).status_code == 404


@pytest.mark.parametrize("role", ["pathologist", "coordinator"])
def test_only_uploaders_upload(role: str, as_role: Any, slide: Slide) -> None:
    response = post(as_role(role), "/api/v1/uploads/", {"slide": slide.pk})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "E_NOT_ALLOWED")


def test_a_forged_request_is_refused(technician: Any, slide: Slide) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(technician, backend="django.contrib.auth.backends.ModelBackend")
    answer = post(client, "/api/v1/uploads/", {"slide": slide.pk})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "E_CSRF")


def test_a_visitor_is_asked_to_sign_in(slide: Slide) -> None:
    response = post(Client(), "/api/v1/uploads/", {"slide": slide.pk})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "E_LOGIN")


def test_an_archive_comes_in_one_body(client: Client, slide: Slide, run_jobs: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("d/1.png", picture(1))
    content = buffer.getvalue()
    member = {"path": "x.zip/d/1.png", "size": 5, "member_of": "x.zip"}
    batch = opened(client, slide, entry("x.zip", content, archive=True), member)
    assert [(item["archive"], item["needed"]) for item in batch["items"]] == [(True, True), (False, False)]
    response = put(client, batch["id"], batch["items"][0]["id"], content)
    assert (response.status_code, response.json()["item"]["state"]) == (202, "received")
    assert put(client, batch["id"], batch["items"][1]["id"], b"12345").status_code == 404
    run_jobs()
    assert HpfImage.objects.get().original_name.name == "x.zip/d/1.png"


def test_the_viewers_list_has_the_agreed_shape(client: Client, slide: Slide, add: Any) -> None:
    images = [add(slide, 1, "DOE.png"), add(slide, 2)]
    response = client.get(f"/api/v1/slides/{slide.pk}/images/")
    first, second = response.json()
    assert first == {
        "id": str(images[0].public_id), "position": 1, "width": 80, "height": 70,
        "url": f"/images/{images[0].public_id}/", "thumb_url": f"/images/{images[0].public_id}/thumb/", "notes": [],
    }  # fmt: skip
    assert second["position"] == 2
    assert b"DOE" not in response.content


def test_giving_up_closes(client: Client, slide: Slide) -> None:
    batch = opened(client, slide, entry("a.png", picture(1)))
    assert post(client, f"/api/v1/uploads/{batch['id']}/close/", {}).status_code == 200
    assert client.get("/api/v1/uploads/").json() == []
    response = put(client, batch["id"], batch["items"][0]["id"], picture(1))
    assert (response.status_code, response.json()["error"]["code"]) == (409, "E_LOCKED")

"""Each input of the catalogue gets its own clear answer at each door; nothing is half-written, nothing raises."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from cases.models import Cohort, HpfImage, ImageOriginalName, Patient, Slide, UploadItem
from leukoweb.core.models import AuditEvent
from leukoweb.core.storage import blobs
from tests.cases.catalogue import API_ROWS, CSV_ROWS, ELSEWHERE, FILE, IMAGE_ROWS, JPEG, ROWS, ZIP_ROWS, Row
from tests.cases.image_files import field, saved

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"
State = UploadItem.State


def keyed(rows: Any) -> Any:
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.key) for row in rows])


def test_every_number_is_here_and_goes_through_a_door_or_belongs_elsewhere() -> None:
    assert {row.number for row in ROWS} == set(range(1, 119))
    assert all(row.doors or row.part for row in ROWS)
    keys = [(row.key, row.doors) for row in ROWS]
    assert len(keys) == len(set(keys))


@pytest.fixture
def slide(technician: Any) -> Slide:
    from cases import services

    cohort = services.cohort_create(actor=technician, name="Catalogue", purpose="external")
    patient = services.patient_create(actor=technician, cohort=cohort, code="P-1")
    return services.slide_create(actor=technician, patient=patient, code="P-1-S1")


class Browser:
    """Does over the API what the upload page does."""

    def __init__(self, user: Any, slide: Slide) -> None:
        self.client, self.slide = Client(), slide
        self.client.force_login(user, backend=BACKEND)

    def post(self, url: str, body: Any) -> Any:
        return self.client.post(url, json.dumps(body), content_type="application/json")

    def announce(self, *files: tuple[str, bytes], **more: Any) -> Any:
        rows = [
            {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}
            for name, data in files
        ]
        return self.post("/api/v1/uploads/", {"slide": self.slide.pk, "files": rows})

    def put(self, batch: Any, item: Any, data: bytes, kind: str = "application/octet-stream", **extra: Any) -> Any:
        url = reverse("api_upload_item", args=[batch["id"], item["id"]])
        extra.setdefault("CONTENT_LENGTH", str(len(data)))  # the test client leaves out a zero, which browsers send
        return self.client.put(url, data, content_type=kind, **extra)

    def send(self, name: str, data: bytes) -> Any:
        """The answer to the file itself, or to the manifest where that is refused."""
        opened = self.announce((name, data))
        if opened.status_code != 201:
            return opened
        batch = opened.json()
        return self.put(batch, batch["items"][0], data)


@pytest.fixture
def page(technician: Any, slide: Slide) -> Browser:
    return Browser(technician, slide)


def error_of(response: Any) -> dict[str, str]:
    """The one shape of refusals: a code, a sentence, what to do."""
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"code", "message", "field", "hint"}
    assert error["message"].strip().endswith((".", "?", ")")), error
    assert "Traceback" not in error["message"]
    return error


def nothing_written() -> None:
    assert (HpfImage.objects.count(), ImageOriginalName.objects.count()) == (0, 0)
    assert not AuditEvent.objects.filter(action="image.add").exists()
    assert [path for path in blobs().root.rglob("*") if path.is_file()] == []


@keyed(row for row in IMAGE_ROWS if "put" in row.doors)
def test_put(row: Row, page: Browser, slide: Slide) -> None:
    data = row.make()
    response = page.send(row.name, data)
    if row.code:
        assert (error_of(response)["code"], response.status_code) == (row.code, row.status)
        nothing_written()
        assert not UploadItem.objects.exclude(state=State.REFUSED).exists()
        return
    assert response.status_code == 200, response.content
    assert response.json()["item"]["state"] == State.STORED
    image = slide.images.get()
    assert {note["code"] for note in image.notes} == row.notes
    stored = blobs().read(image.content_sha256)
    assert hashlib.sha256(stored).hexdigest() == image.content_sha256
    assert len(stored) == image.size_bytes
    for secret in (b"MRN900017", b"DOE^JANE", b"<?php", b"PK\x03\x04"):
        assert secret not in stored
    shown = page.client.get(reverse("slide_detail", args=[slide.pk])).content
    assert b"<img onerror" not in shown


@keyed(ZIP_ROWS)
def test_zip(row: Row, page: Browser, slide: Slide, run_jobs: Callable[[], int], data_dir: Path) -> None:
    """Refused as a whole, or member by member; a refusal of one member lets the others in."""
    data = row.make()
    files = [{"path": "drop.zip", "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "archive": True}]
    files += [{"path": f"drop.zip/{name}", "size": len(JPEG), "member_of": "drop.zip"} for name in ("a.jpg", "a.png")]
    batch = page.post("/api/v1/uploads/", {"slide": slide.pk, "files": files}).json()
    archive = next(item for item in batch["items"] if item["archive"])
    assert page.put(batch, archive, data).status_code == 202
    run_jobs()
    name = "a.png" if row.code in ("E_ZIP_SIZE", "E_ZIP_RATIO") else "a.jpg"
    member = UploadItem.objects.get(path=f"drop.zip/{name}")
    if not row.code:
        assert member.state == State.STORED
        assert slide.images.count() == 1
    elif member.state == State.STORED:  # a bad neighbour
        assert row.code in ("E_NAME",)
        assert slide.images.count() == 1
    else:
        assert (member.state, member.code) == (State.REFUSED, row.code), member.message
        assert member.message
        nothing_written()
    assert not list((data_dir / "uploads").glob("*")), "the archive does not stay"


def told(*words: str, **options: Any) -> tuple[int, str]:
    """Run a command in this process; returns (exit code, what it said on standard error)."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*words, stdout=out, stderr=err, **options)
    except CommandError as error:
        return error.returncode, f"{err.getvalue()}{error}"
    return 0, err.getvalue()


@keyed(CSV_ROWS)
def test_csv(row: Row, tmp_path: Path, admin_user: Any) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg") if row.number == 73 else ("a.jpg",):
        (folder / name).write_bytes(saved(field(seed=ord(name[0])), "JPEG"))
    path = tmp_path / row.name
    path.write_bytes(row.make())
    if row.doors == ("references.csv",):
        code, said = told("import_references", str(path))
    else:
        code, said = told("import_slides", str(folder), cohort="Catalogue", csv=path)
    if not row.code:
        assert (code, said, HpfImage.objects.count()) == (0, "", 1)
        return
    assert row.code in said
    assert len(said) < 2000
    if row.number in (74, 75):
        assert code == 1, "the rest of the folder goes in"
    else:
        assert code == 2
        assert "\n" not in said.strip()
        assert not Cohort.objects.exists(), "not even the cohort was made"
    nothing_written()
    assert not Patient.objects.exists()


@keyed(API_ROWS)
def test_api(row: Row, page: Browser) -> None:
    response = page.client.post("/api/v1/uploads/", row.make(), content_type=row.name)
    assert (response.status_code, error_of(response)["code"]) == (row.status, row.code)
    assert not UploadItem.objects.exists()


# -- rows that need a story of their own --------------------------------------------------------------------------


def test_022_a_body_without_a_stated_length(page: Browser) -> None:
    batch = page.announce(("a.jpg", JPEG)).json()
    response = page.put(batch, batch["items"][0], JPEG, CONTENT_LENGTH="")
    assert (response.status_code, error_of(response)["code"]) == (400, "E_LENGTH")
    nothing_written()


def test_047_the_same_file_twice_in_a_slide_is_one_image(page: Browser, slide: Slide) -> None:
    assert page.send("a.jpg", JPEG).json()["item"]["state"] == State.STORED
    again = page.announce(("b.jpg", JPEG)).json()
    assert again["items"][0]["state"] == State.DUPLICATE, "known from the manifest: not even sent"
    assert slide.images.count() == 1


def test_048_the_same_file_in_another_patient_is_an_alarm(page: Browser, slide: Slide) -> None:
    from cases import services

    page.send("a.jpg", JPEG)
    cohort = slide.patient.cohort
    page.slide = services.slide_ensure(actor=None, cohort=cohort, patient_code="P-2", slide_code="P-2-S1")
    warnings = page.send("a.jpg", JPEG).json()["warnings"]
    assert [warning["code"] for warning in warnings] == ["W_DUPLICATE_PATIENT"]
    assert "P-1" in warnings[0]["message"]
    assert HpfImage.objects.count() == 2


def test_050_more_files_than_one_manifest_takes(page: Browser) -> None:
    response = page.announce(*[(f"{n}.jpg", b"x") for n in range(1001)])
    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "E_TOO_MANY")
    assert "1,001" in error["message"]
    assert "1,000" in error["message"]
    assert not UploadItem.objects.exists()


def test_051_a_slide_takes_any_number_of_fields(page: Browser, slide: Slide) -> None:
    """A study's limit of fields is its protocol's; the slide itself has none (decision of the project)."""
    batch = page.announce(*[(f"{n}.jpg", bytes([n % 256, n // 256])) for n in range(151)]).json()
    assert [item["needed"] for item in batch["items"]] == [True] * 151


def test_052_a_body_that_ends_early(page: Browser) -> None:
    batch = page.announce(("a.jpg", JPEG)).json()
    response = page.put(batch, batch["items"][0], JPEG, **{"wsgi.input": io.BytesIO(JPEG[:-9])})
    assert (response.status_code, error_of(response)["code"]) == (422, "E_CHECKSUM")
    nothing_written()
    assert page.put(batch, batch["items"][0], JPEG).json()["item"]["state"] == State.STORED, "it can be sent again"


def test_053_a_multipart_body(page: Browser) -> None:
    batch = page.announce(("a.jpg", JPEG)).json()
    response = page.put(batch, batch["items"][0], JPEG, "multipart/form-data")
    assert (response.status_code, error_of(response)["code"]) == (415, "E_MEDIA_TYPE")
    nothing_written()


def test_054_another_checksum_than_announced(page: Browser) -> None:
    batch = page.announce(("a.jpg", JPEG)).json()
    response = page.put(batch, batch["items"][0], JPEG[:-3] + b"???")
    assert (response.status_code, error_of(response)["code"]) == (422, "E_CHECKSUM")
    nothing_written()


def test_055_a_full_disk(page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    batch = page.announce(("a.jpg", JPEG)).json()
    monkeypatch.setattr(os, "fsync", full)
    response = page.put(batch, batch["items"][0], JPEG)
    assert (response.status_code, error_of(response)["code"]) == (507, "E_STORAGE")
    nothing_written()
    monkeypatch.undo()
    assert page.put(batch, batch["items"][0], JPEG).json()["item"]["state"] == State.STORED


def test_056_an_upload_that_is_closed(page: Browser) -> None:
    batch = page.announce(("a.jpg", JPEG)).json()
    page.client.post(reverse("api_upload_close", args=[batch["id"]]))
    response = page.put(batch, batch["items"][0], JPEG)
    assert (response.status_code, error_of(response)["code"]) == (409, "E_LOCKED")
    nothing_written()


def test_091_an_import_run_twice(tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(saved(field(seed=seed), "JPEG"))
    (folder / "list.pdf").write_bytes(b"%PDF")
    assert told("import_slides", str(folder), cohort="Catalogue") == (0, "")
    out = io.StringIO()
    call_command("import_slides", str(folder), cohort="Catalogue", stdout=out)
    assert out.getvalue().startswith("0 new images in 0 new slides, 3 already there")
    assert "Left out, because by their names they are no images: list.pdf." in out.getvalue()


def test_112_a_page_of_a_billion_rows(page: Browser) -> None:
    batch = page.announce(("a.jpg", JPEG)).json()
    address = reverse("api_upload_items", args=[batch["id"]])
    for state in ("%00", "lost"):
        assert error_of(page.client.get(f"{address}?state={state}"))["field"] == "state"
    assert page.client.get(f"{address}?state=expected").status_code == 200
    assert page.client.get(f"{address}?page_size=1000000000").status_code == 200, "bounded to 500"
    for query in ("page=-1", "page=99999999999999999999", "page=x"):
        assert page.client.get(f"{address}?{query}").status_code == 404, query


def test_113_an_expired_sign_in(page: Browser) -> None:
    batch = page.announce(("a.jpg", JPEG)).json()
    page.client.logout()
    response = page.put(batch, batch["items"][0], JPEG)
    assert (response.status_code, error_of(response)["code"]) == (401, "E_LOGIN")
    nothing_written()


def test_rows_of_other_parts_say_where_they_are_held() -> None:
    assert {row.number for row in ELSEWHERE} & {row.number for row in ROWS if row.doors} == set()
    assert all(row.part for row in ELSEWHERE)
    assert {door for row in IMAGE_ROWS for door in row.doors} == set(FILE)

"""Export, import, commands and the API."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from fnmatch import fnmatch
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from cases import services
from cases.dataset_files import ZIP_LIMITS, BadDataset, listed_images
from cases.exporting import COLUMNS, images_csv, zip_stream
from cases.limits import DEFAULT_LIMITS
from cases.models import (
    Cohort,
    DatasetVersion,
    DuplicateSettlement,
    Exposure,
    HpfImage,
    SortingDecision,
    SortingTask,
)
from cases.selectors.curation import contents_unmeasured, excluded_images
from cases.selectors.datasets import dataset_entries
from cases.services import dataset_imports
from cases.services.curation import contents_measure
from cases.services.dataset_uploads import dataset_receive
from cases.services.datasets import dataset_freeze
from leukoweb.core.models import Job
from leukoweb.core.storage import blobs
from leukoweb.statistics.cells import safe_cell
from tests.cases.datasets.rows import choices_of, labelled
from tests.cases.datasets.test_curation import encoded, plant, smear

Small = tuple[Cohort, SortingTask]


@pytest.fixture
def stored(technician: Any) -> DatasetVersion:
    """Four patients with three real little files each."""
    cohort = services.cohort_create(actor=technician, name="Stored", purpose="development")
    labels = {}
    for n, label in enumerate(("AML", "AML", "NO_LEUKEMIA", "REACTIVE")):
        slide = services.slide_ensure(
            actor=None, cohort=cohort, patient_code=f"S-{n}", slide_code=f"S-{n}-1", camera="DP73"
        )
        for seed in range(3):
            added = services.image_add(
                actor=None, slide=slide, data=encoded(smear(10 * n + seed, (96, 72))), name="f.jpg"
            )
            labels[added.image.pk] = label
    task = labelled(cohort, labels)
    contents_measure(contents_unmeasured())
    return dataset_freeze(actor=None, name="Stored", choices=choices_of([cohort], [task], seed=2))


def run(*args: Any, **options: Any) -> str:
    out = StringIO()
    call_command(*args, **options, stdout=out)
    return out.getvalue()


def require_croissant(meta: dict[str, Any], opened: zipfile.ZipFile, rows: list[dict[str, str]]) -> None:
    """What the specification asks of the metadata, and that it tells the truth about the archive."""
    assert meta["@type"] == "sc:Dataset"
    assert meta["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert meta["version"] == "1.0.0"
    known = {key for key in meta["@context"] if not key.startswith("@")}
    schema_org = {"alternateName", "contentUrl", "datePublished", "description", "distribution", "encodingFormat",
                  "name", "sha256", "url", "version"}  # fmt: skip

    def keys(node: Any) -> Any:
        for key, value in node.items() if isinstance(node, dict) else []:
            yield from [key, *keys(value)]
        for one in node if isinstance(node, list) else []:
            yield from keys(one)

    used = {key for name, part in meta.items() if name != "@context" for key in [name, *keys(part)]}
    assert {key for key in used if not key.startswith("@")} <= known | schema_org
    table, files = meta["distribution"]
    assert table["sha256"] == hashlib.sha256(opened.read(table["contentUrl"])).hexdigest()
    assert all(any(fnmatch(row["file"], one) for one in files["includes"]) for row in rows)
    (records,) = meta["recordSet"]
    assert [field["source"]["extract"]["column"] for field in records["field"]] == list(rows[0])
    assert {field["source"]["fileObject"]["@id"] for field in records["field"]} == {table["@id"]}
    assert records["key"]["@id"] in {field["@id"] for field in records["field"]}


@pytest.mark.parametrize("layout", ["folders", "coco"])
def test_what_is_exported_can_be_imported(stored: DatasetVersion, tmp_path: Path, layout: str) -> None:
    archive = tmp_path / "set.zip"
    run("export_dataset", "Stored", layout=layout, out=archive)
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        names = opened.namelist()
        assert hashlib.sha256(opened.read("manifest.json")).hexdigest() == stored.manifest_sha256
        rows = list(csv.DictReader(io.StringIO(opened.read("images.csv").decode("utf-8-sig"))))
        assert {hashlib.sha256(opened.read(row["file"])).hexdigest() for row in rows} == {
            entry.content_sha256 for entry in dataset_entries(stored)
        }
        require_croissant(json.loads(opened.read("croissant.json")), opened, rows)
        folder = tmp_path / "coco-only"
        opened.extractall(folder)
    if layout == "folders":
        assert any(name.startswith("images/train/AML/") for name in names)
        source = archive
    else:
        assert not any("AML" in name for name in names)
        (folder / "images.csv").unlink()  # now the COCO files are read
        source = folder
    with pytest.raises(CommandError, match="belongs to"):
        run("import_dataset", source, cohort="Again")
    assert "12 new images" in run("import_dataset", source, cohort="Again", prefix="B-")
    assert "0 new images" in run("import_dataset", source, cohort="Again", prefix="B-")
    again = SortingDecision.objects.filter(seat__task__name="Labels of Again")
    assert again.count() == 12
    told = {(d.image.content_sha256, d.label) for d in again.select_related("image")}
    assert told == {(entry.content_sha256, entry.label) for entry in dataset_entries(stored)}
    assert set(again.values_list("origin", flat=True)) == {"import"}
    slides = HpfImage.objects.filter(slide__patient__cohort__name="Again").values_list("slide__device__camera")
    assert set(slides) == {("DP73",)}


def test_an_export_with_a_lost_file_is_refused_before_it_begins(
    stored: DatasetVersion, as_role: Any
) -> None:
    client = as_role("admin")
    address = f"/datasets/{stored.public_id}/download/"
    assert client.post(address, {"layout": "folders"}).status_code == 200
    blobs().purge(stored.entries.order_by("number").first().content_sha256)
    answer = client.post(address, {"layout": "folders"})
    assert answer.status_code == 409
    assert "cannot be exported: the stored file is missing" in answer.content.decode()
    answer = client.post(f"/api/v1/datasets/{stored.public_id}/export/", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_FILE_MISSING")


def test_an_export_is_the_same_every_time_and_is_not_written_over(stored: DatasetVersion, tmp_path: Path) -> None:
    first, second = tmp_path / "1.zip", tmp_path / "2.zip"
    run("export_dataset", "Stored:1", out=first)
    run("export_dataset", "Stored:1", out=second)
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(CommandError, match="there already"):
        run("export_dataset", "Stored:1", out=first)
    with pytest.raises(CommandError, match="no dataset version"):
        run("export_dataset", "Other", out=tmp_path / "3.zip")
    assert sorted(path.name for path in tmp_path.glob("*.zip*")) == ["1.zip", "2.zip"]


LINE = b"file,patient,slide,label,%b\r\nimages/a.jpg,A,A1,AML,%b\r\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images.csv": b"file,patient\r\n"}, "no column 'slide'"),
        ({"images.csv": b"file,patient,slide,label\r\nimages/x.jpg,A,A1,AML\r\n"}, "is not there"),
        ({"images.csv": b"file,patient,slide,label\r\nimages/a.jpg,,A1,AML\r\n"}, "needs a patient"),
        ({"images.csv": b"file,patient,slide,label\r\nimages/a.jpg,A,A1,PURPLE\r\n"}, "no label 'PURPLE'"),
        ({"images.csv": b"\xff\xfe"}, "cannot be read"),
        ({"images.csv": b"file,patient,slide,label\r\n" + b"images/a.jpg,A,A1,AML\r\n" * 2}, "listed twice"),
        (
            {"images.csv": b"file,patient,slide,label,content_sha256\r\nimages/a.jpg,A,A1,AML,abc\r\n"},
            "not the image that the list names",
        ),
        ({"images.csv": LINE % (b"microscope", b"BX53")}, "[Cc]amera"),
        ({"images.csv": LINE % (b"camera", b"C" * 81)}, "camera"),
        ({"images.csv": LINE % (b"pixel_size_um", b"inf")}, "is no number"),
        ({"images.csv": LINE % (b"capture_minutes", b"nan")}, "is no number"),
        ({"images.csv": LINE % (b"notes", b""),
          "taxonomy.json": b'{"name":"x","labels":["AML"],"maps":{}}'}, "taxonomy"),
        ({"images.csv": LINE % (b"notes", b""), "taxonomy.json": b'{"name":"x","labels":[],"maps":[]}'}, "taxonomy"),
        ({"images.csv": LINE % (b"notes", b""),
          "taxonomy.json": b'{"name":"x","labels":[{"name":1}],"maps":{}}'}, "taxonomy"),
        ({"images.csv": LINE % (b"notes", b""),
          "taxonomy.json": b'{"name":"x","labels":[],"maps":{"five":{"by_label":["AML"]}}}'}, "taxonomy"),
        ({"images.csv": LINE % (b"notes", b""), "taxonomy.json": b"[" * 100_000}, "taxonomy.*too deeply"),
        ({"coco/train.json": b'{"images": []}'}, "not the COCO file.*'categories' is missing"),
        ({"coco/train.json": b"[" * 100_000}, "not the COCO file.*too deeply"),
        ({"images.csv": LINE % (b"magnification", b"9" * 400)}, "line 2: magnification is no number"),
        ({"images.csv": LINE % (b"pixel_size_um", b"1e999")}, "line 2: pixel_size_um is no number"),
        ({}, "no images.csv"),
    ],
)  # fmt: skip
def test_bad_files_are_told(db: None, tmp_path: Path, change: dict[str, bytes], said: str) -> None:
    for name, content in {"images/a.jpg": encoded(smear(1)), **change}.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(CommandError, match=said) as refused:
        run("import_dataset", tmp_path / "set", cohort="New")
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="neither"):
        run("import_dataset", tmp_path / "absent", cohort="New")


CANARY = "CANARYDOE_JANE"


def test_what_a_job_keeps_of_a_refused_dataset_names_no_file(
    admin_user: Any, data_dir: Path, run_jobs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where the name itself, or a file in the archive, is what is wrong."""
    table = f"file,patient,slide,label,content_sha256\r\n{CANARY}/{CANARY}%s,A,A1,AML,%s\r\n"
    whole = encoded(smear(1))
    for name, content, sha256, said in (
        (".svs", b"II*\x00" + bytes(40), "", "line 2: The file is a whole-slide file"),
        (".jpg", b"no image", "", "line 2: The content is"),
        ("\u202e.jpg", whole, "", "line 2: The file name has control"),
        (".jpg", whole, "0" * 64, "line 2: the file is not the image"),
        (".jpg", None, "", "A file is damaged in the archive"),
    ):
        path = f"{CANARY}/{CANARY}{name}"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("images.csv", table % (name, sha256))
            archive.writestr(path, content or b"what will not be there")
        data = buffer.getvalue() if content else buffer.getvalue().replace(b"what will not", b"something els")
        job, _ = dataset_receive(
            actor=admin_user, stream=io.BytesIO(data), size_bytes=len(data), target=dataset_imports.Target("New")
        )
        assert run_jobs() == 1
        job.refresh_from_db()
        assert job.status == Job.Status.FAILED
        assert job.error.startswith(said), job.error
        assert CANARY not in f"{job.error} {job.hint} {job.note} {job.title}"
    assert "line 2" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("a,A,S,AML\r\na,A,S,AML", "line 3: its file is listed twice, first at line 2"),
        ("a,A,S,AML\r\nb,B,S,AML", "line 3: its slide belongs to another patient at line 2"),
        ("a,A,S,AML\r\nc,A,S,AML", "line 3: the file that it names is not there"),
        ("a,A,S,AML,maybe", "line 2: synthetic is neither yes nor no"),
    ],
)
def test_a_bad_line_is_told_by_its_number(lines: str, said: str) -> None:
    table = f"file,patient,slide,label,synthetic\r\n{lines}\r\n".encode()
    with pytest.raises(BadDataset, match=said):
        listed_images(["images.csv", "a", "b"], lambda name: table)


def test_cells_that_a_spreadsheet_would_compute_are_texts() -> None:
    assert safe_cell("=1+1") == "'=1+1"
    assert safe_cell(-3) == -3
    assert images_csv([]).decode("utf-8-sig").strip() == ",".join(COLUMNS)


def test_a_zip_is_sent_in_pieces() -> None:
    read: list[int] = []

    def load(n: int) -> bytes:
        read.append(n)
        return bytes(400_000)

    pieces = zip_stream((f"images/{n}.jpg", lambda n=n: load(n)) for n in range(5))
    first = next(pieces)
    assert read == [0]  # the others are not read yet
    whole = zipfile.ZipFile(io.BytesIO(first + b"".join(pieces)))
    assert len(whole.namelist()) == 5
    assert whole.testzip() is None


def test_a_download_is_recorded(stored: DatasetVersion, as_role: Any) -> None:
    coordinator = as_role("coordinator")
    answer = coordinator.post(reverse("dataset_download", args=[stored.public_id]), {"layout": "folders"})
    assert answer["Content-Disposition"] == 'attachment; filename="Stored-1-folders.zip"'
    assert answer["X-Accel-Buffering"] == "no", "the proxy has no room to keep it for a slow client"
    assert zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))).testzip() is None
    assert Exposure.objects.filter(user=coordinator.user, kind="label").count() == 4
    assert coordinator.post(reverse("dataset_download", args=[stored.public_id]), {"layout": "x"}).status_code == 400


def test_freezing_from_the_command_line(small: Small, capsys: Any) -> None:
    options = {"cohort": [small[0].name], "task": [small[1].name], "seed": 5}
    told = run("freeze_dataset", "Set", **options, dry_run=True)
    assert "Kept: 41 images, 10 patients" in told
    assert "holds: No patient is in both parts" in told
    assert not DatasetVersion.objects.exists()
    assert "Frozen: Set:1" in run("freeze_dataset", "Set", **options)
    assert "all unchanged" in run("verify_dataset")
    plant(small, exact=True)
    with pytest.raises(CommandError) as refused:
        run("freeze_dataset", "Set", **options)
    assert refused.value.returncode == 1
    with pytest.raises(CommandError, match="Known: "):
        run("freeze_dataset", "Set", cohort=["None"], task=[small[1].name])


def test_the_api_freezes_and_lists(small: Small, as_role: Any) -> None:
    admin = as_role("admin")
    body = {"name": "Set", "cohorts": [small[0].name], "tasks": [small[1].name], "seed": 5}
    url = reverse("api_dataset_freeze")
    planned = admin.post(url, body | {"dry_run": True}, content_type="application/json").json()
    assert (planned["n_images"], planned["problems"]) == (41, [])
    made = admin.post(url, body, content_type="application/json")
    assert made.status_code == 201
    version = DatasetVersion.objects.get()
    assert made.json()["manifest_sha256"] == version.manifest_sha256
    assert admin.get(reverse("api_datasets")).json()["results"][0]["id"] == str(version.public_id)
    assert admin.get(reverse("api_dataset", args=[version.public_id])).json()["n_images"] == 41
    images = admin.get(reverse("api_dataset_images", args=[version.public_id])).json()
    assert images["count"] == 41
    assert images["results"][0].keys() >= {"content_sha256", "patient", "label", "split", "fold"}
    assert Exposure.objects.filter(kind="label", user=admin.user).exists()
    for bad, status in (({"cohorts": ["None"]}, 404), ({"folds": 1}, 400), ({"name": ""}, 400)):
        assert admin.post(url, body | bad, content_type="application/json").status_code == status, bad
    for verb in ("put", "patch", "delete"):  # a frozen version has no way to be changed
        for name in ("api_dataset", "api_dataset_images"):
            assert getattr(admin, verb)(reverse(name, args=[version.public_id])).status_code == 405
    assert as_role("coordinator").post(url, body, content_type="application/json").status_code == 403


def test_the_api_curates(small: Small, as_role: Any) -> None:
    admin = as_role("admin")
    one, other = plant(small, exact=True)
    pairs = admin.get(reverse("api_duplicates")).json()["results"]
    assert [(p["first"], p["second"]) for p in pairs] == [(str(one.public_id), str(other.public_id))]
    settle = {"first": str(other.public_id), "second": str(one.public_id), "outcome": "keep_second", "note": "Logbook"}
    assert admin.post(reverse("api_duplicates"), settle, content_type="application/json").status_code == 201
    assert DuplicateSettlement.objects.get().outcome == "keep_first"
    assert set(excluded_images()) == {other.pk}
    out = {"images": [str(one.public_id)], "reason": "blur"}
    assert admin.post(reverse("api_exclusions"), out, content_type="application/json").json() == {"changed": 1}
    out["images"] = ["12345678-1234-4234-8234-123456789abc"]
    assert admin.post(reverse("api_exclusions"), out, content_type="application/json").status_code == 404


@pytest.mark.parametrize(("written", "read"), [("7", 7), ("0", None), ("²", None), ("9" * 5000, None), ("x", None)])
def test_a_position_that_is_no_number_is_left_to_the_order(written: str, read: int | None) -> None:
    table = f"file,patient,slide,label,position\r\na.jpg,A,A1,AML,{written}\r\n".encode()
    (row,) = listed_images(["images.csv", "a.jpg"], lambda name: table)
    assert row.position == read


def test_a_list_that_is_packed_small_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cases.dataset_files.ZIP_LIMITS", replace(ZIP_LIMITS, members=3))
    lines = b"file,patient,slide,label\r\n" + b"a,A,S,AML\r\n" * 9
    with pytest.raises(BadDataset, match="more than 3 images"):
        listed_images(["images.csv", "a"], lambda name: lines)
    images = [{"id": n, "file_name": "a"} for n in range(9)]
    coco = json.dumps({"images": images, "categories": [], "annotations": []}).encode()
    with pytest.raises(BadDataset, match="more than 3 images"):
        listed_images(["coco/train.json", "a"], lambda name: coco)


def test_an_import_has_a_limit_of_its_own(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above that of an upload: a rotated or TIFF original is stored as lossless PNG, and exported as that."""
    assert dataset_imports.LIMITS.file_bytes > 4 * DEFAULT_LIMITS.file_bytes
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(encoded(smear(1)))
    (folder / "images.csv").write_bytes(LINE % (b"notes", b""))
    monkeypatch.setattr(dataset_imports, "LIMITS", replace(DEFAULT_LIMITS, file_bytes=100))
    with pytest.raises(CommandError, match=r"100 bytes|too large|limit"):
        run("import_dataset", folder, cohort="New")
    monkeypatch.undo()
    run("import_dataset", folder, cohort="New")
    assert HpfImage.objects.count() == 1

"""What is exported and taken in again is the same: labels, acquisition, phantoms, split."""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from cases import services
from cases.models import Cohort, DatasetVersion, HpfImage, Slide, SortingDecision, SortingTask, Taxonomy
from cases.selectors.curation import contents_unmeasured
from cases.selectors.datasets import manifest_lines
from cases.services.curation import contents_measure
from cases.services.dataset_imports import Target, dataset_import
from cases.services.dataset_uploads import KIND, dataset_archive_path
from cases.services.datasets import dataset_freeze
from cases.services.label_imports import labels_import
from cases.services.sweeping import media_sweep
from cases.services.taxonomies import taxonomy_ensure, taxonomy_version_create
from leukoweb.core.jobs.execute import execute
from leukoweb.core.models import AuditEvent, Job
from tests.cases.datasets.rows import choices_of
from tests.cases.datasets.test_curation import encoded, smear

ACQUISITION = {
    "camera": "DP73", "microscope": "BX53", "stain": "=Giemsa", "light": "LED", "slide_maker": "SP-50",
    "magnification": 1000, "pixel_size_um": 0.0645, "capture_minutes": 2.5,
}  # fmt: skip


def tiff(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF")
    return buffer.getvalue()


def filled(
    cohort_name: str, labels: tuple[str, ...], *, synthetic: bool = False, taxonomy: Any = None
) -> tuple[Any, Any]:
    """A cohort with one patient for each label, three real little files each, labelled and measured."""
    cohort = services.cohort_create(actor=None, name=cohort_name, purpose="development", synthetic=synthetic)
    told = {}
    for n, label in enumerate(labels):
        code = f"{cohort_name}-{n}"
        slide = services.slide_ensure(
            actor=None, cohort=cohort, patient_code=code, slide_code=f"{code}-S", **(ACQUISITION if n == 0 else {})
        )
        for seed in range(3):
            picture = smear(1000 * len(cohort_name) + 10 * n + seed, (96, 72))
            data, name = (tiff(picture), "f.tif") if n == 0 else (encoded(picture), "f.jpg")
            added = services.image_add(actor=None, slide=slide, data=data, name=name, position=2 * seed + 1)
            told[added.image.pk] = label
    contents_measure(contents_unmeasured())
    taxonomy = taxonomy or taxonomy_ensure()
    return cohort, labels_import(
        actor=None, name=f"Labels of {cohort_name}", cohorts=[cohort], taxonomy=taxonomy, labels=told
    )


LABELS = ("AML", "AML", "NO_LEUKEMIA", "REACTIVE")


def exported(version: DatasetVersion, path: Path, layout: str = "folders") -> Path:
    call_command("export_dataset", f"{version.name}:{version.version}", layout=layout, out=path, stdout=io.StringIO())
    return path


def take_in(path: Path, cohort: str, prefix: str = "") -> Any:
    return dataset_import(actor=None, path=path, target=Target(cohort, prefix=prefix))


def facts(cohort: Cohort, strip: str = "") -> list[Any]:
    fields = ("slide__patient__code", "slide__code", "position", "content_sha256", "slide__device__camera",
              "slide__device__microscope", "slide__stain", "slide__light", "slide__slide_maker",
              "slide__magnification", "slide__pixel_size_um", "slide__capture_minutes", "notes")  # fmt: skip
    images = HpfImage.objects.filter(slide__patient__cohort=cohort)
    labels = dict(SortingDecision.objects.filter(image__in=images).values_list("image", "label"))
    rows = images.values_list("pk", *fields)
    return sorted([*(str(one).removeprefix(strip) for one in row[1:]), labels[row[0]]] for row in rows)


@pytest.mark.parametrize("layout", ["folders", "coco"])
def test_nothing_that_an_export_tells_is_lost(db: Any, tmp_path: Path, layout: str) -> None:
    cohort, task = filled("Set", LABELS)
    version = dataset_freeze(actor=None, name="Set", choices=choices_of([cohort], [task], seed=2))
    archive = exported(version, tmp_path / "set.zip", layout)
    done = take_in(archive, "Again", "B-")
    assert facts(done.cohorts[0], "B-") == facts(cohort)
    assert Slide.objects.get(code="B-Set-0-S").stain == "=Giemsa"
    assert HpfImage.objects.filter(slide__code="B-Set-0-S").first().notes[0]["code"] == "N_CONVERTED"


def test_images_moved_since_the_freeze_leave_an_archive_that_can_be_taken_in(
    db: Any, tmp_path: Path, admin_user: Any, as_role: Any
) -> None:
    """One to another patient: left out and counted. One to another slide of its patient: by the slide of today."""
    cohort, task = filled("Set", LABELS)
    version = dataset_freeze(actor=None, name="Set", choices=choices_of([cohort], [task], seed=2))
    strange, within, _ = HpfImage.objects.filter(slide__code="Set-0-S").order_by("position")
    second = services.slide_ensure(actor=None, cohort=cohort, patient_code="Set-0", slide_code="Set-0-T", stain="MGG")
    for image, slide in ((strange, Slide.objects.get(code="Set-1-S")), (within, second)):
        services.images_move(actor=admin_user, images=[image], slide=slide, reason="Wrong folder")
    page = as_role("admin").get(reverse("dataset_detail", args=[version.public_id])).content.decode()
    assert "1 image was moved to another patient since" in page
    archive = exported(version, tmp_path / "set.zip")
    with zipfile.ZipFile(archive) as opened:
        assert b"1 images of the manifest are missing: they were moved" in opened.read("README.txt")
    done = take_in(archive, "Again", "B-")
    taken = HpfImage.objects.filter(slide__patient__cohort=done.cohorts[0])
    assert taken.count() == version.n_images - 1
    assert not taken.filter(content_sha256=strange.content_sha256).exists()
    assert taken.get(content_sha256=within.content_sha256).slide.code == "B-Set-0-T"


def test_the_same_seed_splits_what_was_taken_in_alike(db: Any, tmp_path: Path, django_user_model: Any) -> None:
    cohort, task = filled("Set", (*LABELS, "AML", "NO_LEUKEMIA"))
    version = dataset_freeze(actor=None, name="Set", choices=choices_of([cohort], [task], seed=2))
    archive = exported(version, tmp_path / "set.zip")
    for patient in cohort.patients.all():  # as in an installation that has never seen these codes
        services.patient_recode(actor=None, patient=patient, code=f"old {patient.code}", reason="test")  # type: ignore[arg-type]
    for slide in Slide.objects.all():
        services.slide_recode(actor=None, slide=slide, code=f"old {slide.code}", reason="test")  # type: ignore[arg-type]
    Cohort.objects.filter(pk=cohort.pk).update(purpose="development", name="Before")
    HpfImage.objects.filter(slide__patient__cohort=cohort).update(phash="")
    done = take_in(archive, "Set")
    fresh = choices_of(list(done.cohorts), [done.task], seed=2)
    again = dataset_freeze(actor=None, name="Again", choices=fresh)
    assert manifest_lines(again) == manifest_lines(version)


def test_phantoms_stay_phantoms(db: Any, tmp_path: Path) -> None:
    drawn, drawn_task = filled("Drawn", LABELS, synthetic=True)
    people, people_task = filled("People", LABELS)
    only = dataset_freeze(actor=None, name="Only", choices=choices_of([drawn], [drawn_task]))
    both = dataset_freeze(actor=None, name="Both", choices=choices_of([drawn, people], [drawn_task, people_task]))
    assert (only.synthetic, both.synthetic) == (True, True)
    for layout in ("folders", "coco"):
        source = tmp_path / f"only-{layout}"
        with zipfile.ZipFile(exported(only, tmp_path / f"{layout}.zip", layout)) as archive:
            archive.extractall(source)
            assert b"PHANTOM" in archive.read("README.txt")
        if layout == "coco":
            (source / "images.csv").unlink()
        done = take_in(source, f"Copy {layout}", f"{layout}-")
        assert [cohort.synthetic for cohort in done.cohorts] == [True]
        assert "PHANTOM" in Slide.objects.filter(code__startswith=layout)[0].note
        choices = choices_of(list(done.cohorts), [done.task])
        assert dataset_freeze(actor=None, name=f"Copy {layout}", choices=choices).synthetic
    with pytest.raises(CommandError, match="holds people, and the dataset has phantoms"):
        call_command("import_dataset", tmp_path / "folders.zip", cohort="People", prefix="C-")
    done = take_in(exported(both, tmp_path / "both.zip"), "Mixed", "M-")
    assert {(c.name, c.synthetic) for c in done.cohorts} == {("Mixed", False), ("Mixed (phantoms)", True)}
    of_phantoms = HpfImage.objects.filter(slide__patient__cohort__name="Mixed (phantoms)")
    assert {image.slide.patient.code[:4] for image in of_phantoms} == {"M-Dr"}
    assert of_phantoms.count() == 12


def test_a_class_of_a_laboratory_comes_along(db: Any, tmp_path: Path) -> None:
    paper = taxonomy_ensure()
    labels = [*paper.labels, {"name": "MDS", "title": "Myelodysplasia", "code": "MD", "colour": "#335577", "key": "8"}]
    maps = {n: {**m, "by_label": {**m["by_label"], "MDS": m["by_label"]["REACTIVE"]}} for n, m in paper.maps.items()}
    own = taxonomy_version_create(actor=None, name="Ours", labels=labels, maps=maps)
    cohort, task = filled("Set", ("MDS", "MDS", "AML", "NO_LEUKEMIA"), taxonomy=own)
    archive = exported(dataset_freeze(actor=None, name="Set", choices=choices_of([cohort], [task])), tmp_path / "s.zip")
    assert take_in(archive, "Known", "K-").task.taxonomy == own
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "s")
    brought = json.loads((tmp_path / "s" / "taxonomy.json").read_text())
    brought["labels"][-1]["colour"] = "#775533"  # a version that this installation has not
    (tmp_path / "s" / "taxonomy.json").write_text(json.dumps(brought))
    made = take_in(tmp_path / "s", "Unknown", "U-").task.taxonomy
    assert (made.name, made.version, made.labels[-1]["colour"]) == ("Ours", 2, "#775533")
    (tmp_path / "s" / "taxonomy.json").unlink()
    assert take_in(tmp_path / "s", "Nameless", "N-").task.taxonomy == made  # the newest that has all its labels
    assert Taxonomy.objects.count() == 3


@pytest.fixture
def archive(db: Any, tmp_path: Path) -> bytes:
    cohort, task = filled("Set", LABELS)
    version = dataset_freeze(actor=None, name="Set", choices=choices_of([cohort], [task], seed=2))
    return exported(version, tmp_path / "set.zip").read_bytes()


@pytest.fixture
def data_dir(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


def waiting(folder: Path) -> list[Path]:
    return list((folder / "uploads").glob("*")) if (folder / "uploads").exists() else []


def send(client: Any, body: bytes, **query: str) -> Any:
    return client.post(reverse("api_dataset_import"), body, content_type="application/zip", query_params=query)


def test_the_api_exports_and_imports(archive: bytes, as_role: Any, data_dir: Path) -> None:
    admin = as_role("admin")
    version = DatasetVersion.objects.get()
    url = reverse("api_dataset_export", args=[version.public_id])
    answer = admin.post(url, {"layout": "folders"}, content_type="application/json")
    assert answer["Content-Type"] == "application/zip"
    assert b"".join(answer.streaming_content) == archive
    assert admin.post(url, {"layout": "x"}, content_type="application/json").status_code == 400
    sent = send(admin, archive, cohort="Again", prefix="B-")
    assert (sent.status_code, sent.json()["n_images"]) == (202, 12)
    assert not Cohort.objects.filter(name="Again").exists()
    assert send(admin, archive, cohort="Again", prefix="B-").status_code == 409  # the same import is running
    media_sweep(older_than_s=-1)
    assert len(waiting(data_dir)) == 1  # what a job waits for is not swept
    assert execute(uuid.UUID(sent.json()["job"]))
    job = Job.objects.get(kind=KIND)
    assert (job.status, job.done_units, job.total_units) == ("done", 24, 24), job.error
    assert waiting(data_dir) == []
    assert facts(Cohort.objects.get(name="Again"), "B-") == facts(Cohort.objects.get(name="Set"))
    seats = SortingTask.objects.get(name="Labels of Again").seats.values_list("user__username", flat=True)
    assert list(seats) == ["import"]  # whoever imported did not sort
    assert AuditEvent.objects.filter(action="dataset.import", actor=admin.user).count() == 1


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"cohort": "Again"}, 409, "E_TAKEN"),
        ({"cohort": "Again", "prefix": "§"}, 400, "E_INVALID"),
        ({"cohort": "Set", "purpose": "external"}, 409, "E_CONFLICT"),
        ({"cohort": "Again", "purpose": "both"}, 400, "E_INVALID"),
        ({}, 400, "E_INVALID"),
        ({"cohort": "Again", "path": "/etc"}, 400, "E_INVALID"),
    ],
)
def test_the_api_refuses_what_the_command_refuses(
    archive: bytes, as_role: Any, data_dir: Path, query: dict[str, str], status: int, code: str
) -> None:
    answer = send(as_role("admin"), archive, **query)
    assert answer.status_code == status, answer.json()
    assert waiting(data_dir) == []
    assert not Job.objects.filter(kind=KIND).exists()
    assert set(Cohort.objects.values_list("name", flat=True)) == {"Set"}


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name.replace("__", "/").replace("_csv", ".csv").replace("_jpg", ".jpg"), content)
    return buffer.getvalue()


HEAD = b"file,patient,slide,label,synthetic,magnification\r\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "length of the body|not a complete zip"),
        (b"PK nonsense", "not a complete zip"),
        (zipped(a=b"x"), "no images.csv"),
        (zipped(images_csv=HEAD), "names no image"),
        (zipped(images_csv=HEAD + b"images/a.jpg,A,S,AML,perhaps,\r\n", images__a_jpg=b"x"), "Write yes or no"),
        (zipped(images_csv=HEAD + b"images/a.jpg,A,S,AML,,many\r\n", images__a_jpg=b"x"), "is no number"),
        (
            zipped(images_csv=HEAD + b"images/a.jpg,A,S,AML,,\r\nimages/b.jpg,B,S,AML,,\r\n",
                   images__a_jpg=b"x", images__b_jpg=b"y"), "its slide belongs to another patient at line 2",
        ),
        (
            zipped(images_csv=HEAD + b"images/a.jpg,A,S,AML,,1000\r\nimages/b.jpg,A,S,AML,,400\r\n",
                   images__a_jpg=b"x", images__b_jpg=b"y"), "magnification of its slide differs from that at line 2",
        ),
        (
            zipped(images_csv=HEAD + b"images/a.jpg,A,S,AML,yes,\r\nimages/b.jpg,A,T,AML,no,\r\n",
                   images__a_jpg=b"x", images__b_jpg=b"y"), "drawn here and a person at line 2, or the reverse",
        ),
        (zipped(**{"../images_csv": HEAD}), "leaves the archive"),
    ],
)  # fmt: skip
def test_bad_archives_leave_nothing(as_role: Any, data_dir: Path, body: bytes, said: str) -> None:
    answer = send(as_role("admin"), body, cohort="New")
    assert answer.status_code in (400, 422)
    error = answer.json()["error"]
    assert re.search(said, f"{error['message']} {error['hint']}"), error
    assert waiting(data_dir) == []
    assert not Cohort.objects.exists()


def test_a_bad_image_fails_the_job_and_writes_no_row(as_role: Any, data_dir: Path) -> None:
    lines = b"images/a.jpg,A,S,AML,,\r\nimages/b.jpg,A,S,AML,,\r\n"
    body = zipped(images_csv=HEAD + lines, images__a_jpg=encoded(smear(1)), images__b_jpg=b"no image")
    sent = send(as_role("admin"), body, cohort="New")
    assert sent.status_code == 202
    execute(uuid.UUID(sent.json()["job"]))
    job = Job.objects.get(kind=KIND)
    assert (job.status, job.error_code) == ("failed", "E_NOT_IMAGE")
    assert not Cohort.objects.exists()
    assert waiting(data_dir) == []


@pytest.mark.parametrize("there", [False, True])
def test_one_picture_of_a_slide_has_one_label(as_role: Any, data_dir: Path, there: bool) -> None:
    """Also where one of its files has a note in it that cleaning takes out, and where it is in the slide already."""
    admin, picture = as_role("admin"), encoded(smear(1))
    noted = picture[:2] + b"\xff\xfe\x00\x06note" + picture[2:]
    if there:
        body = zipped(images_csv=HEAD + b"images/a.jpg,A,S,ALL,,\r\n", images__a_jpg=picture)
        assert execute(uuid.UUID(send(admin, body, cohort="New").json()["job"]))
    before = SortingTask.objects.count()
    lines = b"images/a.jpg,A,S,ALL,,\r\nimages/b.jpg,A,S,AML,,\r\n"
    sent = send(admin, zipped(images_csv=HEAD + lines, images__a_jpg=picture, images__b_jpg=noted), cohort="New")
    execute(uuid.UUID(sent.json()["job"]))
    job = Job.objects.get(pk=sent.json()["job"])
    assert (job.status, job.error_code) == ("failed", "E_TRUTH_CONFLICT")
    assert "line 3" in job.error
    assert "line 2" in job.error
    assert (HpfImage.objects.count(), SortingTask.objects.count()) == (int(there), before)


def test_a_stopped_import_goes_on(archive: bytes, as_role: Any, data_dir: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("cases.services.dataset_imports.CHUNK", 5)
    path = data_dir / "set.zip"
    data_dir.mkdir()
    path.write_bytes(archive)

    def stop(done: int, total: int) -> None:
        if done > 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset_import(actor=None, path=path, target=Target("Again", prefix="B-"), tell=stop)
    assert HpfImage.objects.filter(slide__patient__cohort__name="Again").count() == 10
    done = take_in(path, "Again", "B-")
    assert (done.n_new, done.n_listed) == (2, 12)
    assert facts(Cohort.objects.get(name="Again"), "B-") == facts(Cohort.objects.get(name="Set"))


@pytest.mark.parametrize("role", ["technician", "pathologist", "coordinator"])
def test_only_admins_import_and_only_who_sees_versions_exports(archive: bytes, as_role: Any, role: str) -> None:
    client = as_role(role)
    assert send(client, archive, cohort="New").status_code == 403
    url = reverse("api_dataset_export", args=[DatasetVersion.objects.get().public_id])
    allowed = 200 if role == "coordinator" else 403
    assert client.post(url, {}, content_type="application/json").status_code == allowed


def test_the_page_imports(archive: bytes, as_role: Any, data_dir: Path) -> None:
    admin = as_role("admin")
    url = reverse("dataset_import")
    assert 'enctype="multipart/form-data"' in admin.get(url).content.decode()
    file = io.BytesIO(archive)
    file.name = "set.zip"
    body = {"cohort": "Again", "purpose": "development", "code_prefix": ""}
    refused = admin.post(url, {**body, "file": file})
    assert refused.status_code == 400
    assert "Give a prefix" in refused.content.decode()
    file.seek(0)
    assert admin.post(url, {**body, "file": file, "code_prefix": "B-"}).status_code == 302
    assert execute(Job.objects.get(kind=KIND).pk)
    assert Cohort.objects.get(name="Again").patients.count() == 4
    assert dataset_archive_path("x").parent == data_dir / "uploads"

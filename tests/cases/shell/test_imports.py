"""``import_slides`` and ``import_references``: what goes where, twice, dry, and with faults; the media commands."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cases import services
from cases.management.failures import table_source
from cases.models import Cohort, HpfImage, Patient, ReferenceDiagnosis, Slide
from cases.services.images import image_add
from leukoweb.core.models import AuditEvent
from leukoweb.core.storage import blobs
from tests.cases.shell.pictures import picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Patients 4 and 15 in class folders, a document, a hidden file."""
    root = tmp_path / "smears"
    for path, seed in {"ALL/4_2.png": 1, "ALL/4_10.png": 2, "ALL/15_1.png": 3, "AML/15_2.png": 4}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(picture(seed))
    (root / "SOURCE.md").write_text("about")
    (root / ".hidden.png").write_bytes(b"x")
    return root


def run(capsys: pytest.CaptureFixture[str], command: str, *args: Any) -> tuple[int, str, str]:
    code = 0
    try:
        call_command(command, *args)
    except CommandError as error:
        code = error.returncode
        capsys_error = str(error)
    else:
        capsys_error = ""
    out, err = capsys.readouterr()
    return code, out, err + capsys_error


def test_a_folder_is_one_slide_of_an_unnamed_patient(folder: Path, capsys: Any) -> None:
    code, out, _ = run(capsys, "import_slides", folder, "--cohort", "New")
    assert (code, out) == (
        0,
        "4 new images in 2 new slides, 0 already there, 0 duplicates, 0 refused, 0 new references.\n"
        "Left out, because by their names they are no images: SOURCE.md.\n",
    )
    assert Cohort.objects.get().purpose == "external"
    slides = {s.code: [i.original_name.name for i in s.images.all()] for s in Slide.objects.all()}
    assert sorted(slides.values()) == [["ALL/4_2.png", "ALL/4_10.png", "ALL/15_1.png"], ["AML/15_2.png"]]
    for patient in Patient.objects.all():
        assert patient.code.startswith("UNNAMED-")
        assert "ALL" not in patient.code, "a folder's name may be a diagnosis"


def test_natural_order_is_the_capture_order(folder: Path, capsys: Any) -> None:
    run(capsys, "import_slides", folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    names = Slide.objects.get(code="4-S1").images.values_list("position", "original_name__name")
    assert list(names) == [(1, "ALL/4_2.png"), (2, "ALL/4_10.png")]


def test_a_pattern_reads_patients_and_folders_stay_slides(folder: Path, capsys: Any) -> None:
    run(capsys, "import_slides", folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    assert sorted(Slide.objects.values_list("patient__code", "code")) == [
        ("15", "15-S1"),
        ("15", "15-S2"),
        ("4", "4-S1"),
    ]


def test_a_second_import_finds_everything_done(folder: Path, capsys: Any) -> None:
    args = (folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    run(capsys, "import_slides", *args)
    events = AuditEvent.objects.count()
    code, out, _ = run(capsys, "import_slides", *args)
    assert (code, out.split(",")[0]) == (0, "0 new images in 0 new slides")
    assert "4 already there" in out
    assert AuditEvent.objects.count() == events
    (folder / "ALL" / "4_11.png").write_bytes(picture(9))
    code, out, _ = run(capsys, "import_slides", *args)
    assert out.startswith("1 new images in 0 new slides, 4 already there")
    assert Slide.objects.get(code="4-S1").images.count() == 3


def test_an_interrupted_import_is_completed(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from cases.services import imports

    calls = Counter[str]()

    def dies_at_second(**kwargs: Any) -> Any:
        calls["n"] += 1
        if calls["n"] == 2:
            raise KeyboardInterrupt
        return image_add(**kwargs)

    args = (folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    with monkeypatch.context() as patch:
        patch.setattr(imports, "image_add", dies_at_second)
        with pytest.raises(KeyboardInterrupt):
            call_command("import_slides", *args)
    code, out, _ = run(capsys, "import_slides", *args)
    assert code == 0
    assert "1 already there" in out
    assert HpfImage.objects.count() == 4
    assert Slide.objects.filter(images=None).count() == 0, "the slide that was left empty was used"


def test_a_dry_run_writes_nothing_and_finds_what_is_bad(folder: Path, capsys: Any) -> None:
    (folder / "AML" / "bad.png").write_bytes(b"no image")
    code, out, err = run(capsys, "import_slides", folder, "--cohort", "New", "--dry-run")
    assert code == 1
    assert "nothing was written" in out
    assert "4 new images" in out
    assert "AML/bad.png  E_NOT_IMAGE" in err
    assert not Cohort.objects.exists()
    assert list(blobs().names()) == []
    run(capsys, "import_slides", folder, "--cohort", "New")
    _, out, _ = run(capsys, "import_slides", folder, "--cohort", "New", "--dry-run")
    assert "0 new images in 0 new slides, 4 already there" in out


def test_bad_files_are_listed_and_the_rest_goes_in(folder: Path, capsys: Any) -> None:
    (folder / "ALL" / "4_3.png").write_bytes(picture(5)[:500])
    with (folder / "ALL" / "4_4.png").open("wb") as file:
        file.truncate(26_000_000)
    code, out, err = run(capsys, "import_slides", folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    assert code == 1
    assert "4 new images" in out
    assert "2 refused" in out
    assert "ALL/4_3.png  E_TRUNCATED" in err
    assert "ALL/4_4.png  E_TOO_LARGE" in err


def test_names_that_the_pattern_does_not_fit_are_refused(folder: Path, capsys: Any) -> None:
    (folder / "ALL" / "x.png").write_bytes(picture(7))
    code, _, err = run(capsys, "import_slides", folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    assert (code, "ALL/x.png  E_PATTERN" in err) == (1, True)


@pytest.mark.parametrize(
    ("args", "code"),
    [(["--patient-pattern", "("], "E_PATTERN"), (["--csv", "nowhere.csv"], "E_FILE_MISSING")],
)
def test_what_cannot_be_done_exits_with_2(folder: Path, capsys: Any, args: list[str], code: str) -> None:
    status, _, err = run(capsys, "import_slides", folder, "--cohort", "New", *args)
    assert status == 2
    assert err.startswith(code)
    assert not Cohort.objects.exists()
    status, _, err = run(capsys, "import_slides", folder / "nowhere", "--cohort", "New")
    assert (status, err.split(":")[0]) == (2, "E_FOLDER")


def test_the_purpose_of_a_cohort_never_changes(folder: Path, capsys: Any, cohort: Cohort) -> None:
    status, _, err = run(capsys, "import_slides", folder, "--cohort", cohort.name, "--purpose", "development")
    assert status == 2
    assert "exists for the purpose 'external'" in err


def test_identical_files_are_reported(folder: Path, capsys: Any) -> None:
    (folder / "ALL" / "4_20.png").write_bytes(picture(1))
    (folder / "AML" / "15_9.png").write_bytes(picture(2))
    _, out, _ = run(capsys, "import_slides", folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    assert "duplicate  ALL/4_20.png  ALL/4_2.png (the same slide)" in out
    assert "duplicate  AML/15_9.png  The identical image is in slide 4-S1 of another patient, 4." in out
    assert "2 duplicates" in out


CSV = """file,patient,slide,order,reference,camera,minutes,captured_on
ALL/4_10.png,P-4,P-4-A,1,ALL,DP73,12.5,2024-03-01
ALL/4_2.png,P-4,P-4-A,2,,,,
ALL/15_1.png,,,,,,,
ALL/gone.png,P-9,P-9-A,1,,,,
"""


def test_a_csv_says_what_goes_where(folder: Path, tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "meta.csv"
    table.write_text(CSV)
    args = (folder, "--cohort", "New", "--csv", table)
    code, out, err = run(capsys, "import_slides", *args)
    assert code == 1
    assert "3 new images in 2 new slides" in out
    assert "1 new references" in out
    assert "ALL/gone.png  E_FILE_MISSING" in err
    assert "AML/15_2.png  E_NOT_LISTED" in err
    slide = Slide.objects.get(code="P-4-A")
    assert [i.original_name.name for i in slide.images.all()] == ["ALL/4_10.png", "ALL/4_2.png"]
    assert (str(slide.device), slide.capture_minutes, str(slide.captured_on)) == ("DP73", 12.5, "2024-03-01")
    reference = ReferenceDiagnosis.objects.get()
    assert (reference.patient.code, reference.diagnosis, reference.source) == ("P-4", "ALL", table_source(CSV.encode()))
    _, out, _ = run(capsys, "import_slides", *args)
    assert "0 new images in 0 new slides, 3 already there" in out
    assert "0 new references" in out
    other = services.patient_create(actor=None, cohort=Cohort.objects.get(), code="P-5")
    services.slide_move(actor=None, slide=slide, patient=other, reason="Another patient's")
    _, out, _ = run(capsys, "import_slides", *args)
    assert ("0 new references" in out, other.references.exists()) == (True, False), "the row is not about this patient"


def test_a_csv_changes_what_is_known_of_a_slide_on_record(folder: Path, tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "meta.csv"
    for camera in ("DP73", "DP74"):
        table.write_text(f"file,patient,slide,camera\nALL/4_2.png,P-4,P-4-A,{camera}\n")
        run(capsys, "import_slides", folder, "--cohort", "New", "--csv", table)
    assert str(Slide.objects.get().device) == "DP74"
    assert AuditEvent.objects.filter(action="slide.change").count() == 1


def test_a_broken_csv_changes_nothing(folder: Path, tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "meta.csv"
    table.write_text("file,patient,reference\nALL/4_2.png,P-4,Aml\n")
    status, _, err = run(capsys, "import_slides", folder, "--cohort", "New", "--csv", table)
    assert status == 2
    assert "Did you mean AML?" in err
    assert not Cohort.objects.exists()


def test_codes_of_another_cohort_are_refused_file_by_file(folder: Path, capsys: Any) -> None:
    run(capsys, "import_slides", folder, "--cohort", "One", "--patient-pattern", r"^(\d+)_")
    status, out, err = run(capsys, "import_slides", folder, "--cohort", "Two", "--patient-pattern", r"^(\d+)_")
    assert status == 1
    assert "0 new images" in out
    assert "ALL/4_2.png  E_TAKEN" in err


def test_references_go_in_all_or_none_and_once(tmp_path: Path, capsys: Any, patient: Patient) -> None:
    table = tmp_path / "truth.csv"
    table.write_text("patient,diagnosis,decided_on\nP-001,AML,2024-01-05\n")
    assert run(capsys, "import_references", table, "--dry-run")[1].endswith("1 new references, 0 unchanged.\n")
    assert not ReferenceDiagnosis.objects.exists()
    assert run(capsys, "import_references", table)[1] == "1 new references, 0 unchanged.\n"
    assert run(capsys, "import_references", table)[1] == "0 new references, 1 unchanged.\n"
    table.write_text("patient,diagnosis\nP-001,CML\nP-404,AML\n")
    status, _, err = run(capsys, "import_references", table)
    assert (status, "P-404 (line 3)" in err) == (2, True)
    assert ReferenceDiagnosis.objects.count() == 1
    assert run(capsys, "import_references", tmp_path / "none.csv")[0] == 2


def test_media_are_verified_and_swept(slide: Slide, add: Any, capsys: Any, data_dir: Path) -> None:
    image = add(slide, 1)
    assert run(capsys, "verify_media") == (0, "1 images, all there and unchanged.\n", "")
    orphan = blobs().put(b"orphan")
    (data_dir / "uploads").mkdir()
    stray = data_dir / "uploads" / "77.zip"
    stray.write_bytes(b"zip")
    assert run(capsys, "sweep_media")[1] == "0 stored files, 0 archives and 0 cached files removed.\n"
    for path in (blobs().path(orphan), stray, blobs().path(image.content_sha256)):
        os.utime(path, (1, 1))
    assert run(capsys, "sweep_media")[1] == "1 stored file, 1 archive and 0 cached files removed.\n"
    blobs().purge(image.content_sha256)
    status, _, err = run(capsys, "verify_media", "--quick")
    assert (status, "slide P-001-S1 field 1: missing" in err) == (1, True)


REAL = {
    # folder: (arguments, images, patients)
    "leukemiaattri_h100": (["--patient-pattern", r"^(\d+)_"], 24, 14),
    "normal_wbc_chula": ([], 24, 1),
    "aml_lmu_tiff": ([], 15, 15),
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_fields_go_in(name: str, shared_data: Path, capsys: Any) -> None:
    args, n_images, n_patients = REAL[name]
    status, _, err = run(capsys, "import_slides", shared_data / "data" / name, "--cohort", "Real", *args)
    assert (status, err) == (0, "")
    assert (HpfImage.objects.count(), Patient.objects.count()) == (n_images, n_patients)


def test_the_identical_pair_among_real_fields_is_found(shared_data: Path, capsys: Any) -> None:
    root = shared_data / "data" / "chula_rbc12_fields"
    status, out, _ = run(capsys, "import_slides", root, "--cohort", "Real")
    assert status == 0
    assert "23 new images in 1 new slides, 0 already there, 1 duplicates, 0 refused" in out


def test_a_withdrawn_patient_takes_no_import(folder: Path, capsys: Any, coordinator: Any) -> None:
    args = (folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    run(capsys, "import_slides", *args)
    services.patient_withdraw(actor=coordinator, patient=Patient.objects.get(code="4"), reason="Consent withdrawn")
    status, _, err = run(capsys, "import_slides", *args)
    assert (status, err.count("E_WITHDRAWN")) == (1, 2)


def patient_of(code: str) -> Patient:
    return Patient.objects.get(slides__code=code)


def recode_patient(by: Any) -> None:
    services.patient_recode(actor=by, patient=patient_of("4-S1"), code="P-4", reason="A typing error")


def move_slide(by: Any) -> None:
    other = services.patient_create(actor=by, cohort=Cohort.objects.get(), code="P-9")
    services.slide_move(actor=by, slide=Slide.objects.get(code="4-S1"), patient=other, reason="Another patient's")


def move_image(by: Any) -> None:
    slide = Slide.objects.get(code="4-S1")
    services.images_move(
        actor=by, images=[slide.images.get(position=2)], slide=Slide.objects.get(code="15-S1"), reason="Wrong name"
    )


@pytest.mark.parametrize("correct", [recode_patient, move_slide, move_image])
def test_a_second_import_leaves_corrections_alone(folder: Path, capsys: Any, admin_user: Any, correct: Any) -> None:
    args = (folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    run(capsys, "import_slides", *args)
    correct(admin_user)
    before = sorted(HpfImage.objects.values_list("pk", "slide_id"))
    patients = set(Patient.objects.values_list("code", flat=True))
    for dry in (["--dry-run"], []):
        code, out, _ = run(capsys, "import_slides", *args, *dry)
        assert (code, "0 new images in 0 new slides, 4 already there" in out) == (0, True), out
        assert ("elsewhere  ALL/4_10.png  field 2 of slide 15-S1, patient 15" in out) == (correct is move_image)
    (folder / "ALL" / "4_11.png").write_bytes(picture(9))
    run(capsys, "import_slides", *args)
    assert sorted(HpfImage.objects.values_list("pk", "slide_id"))[:-1] == before
    assert HpfImage.objects.latest("pk").slide.code == "4-S1", "a new file goes with the others of its folder"
    assert set(Patient.objects.values_list("code", flat=True)) == patients


def test_a_cohort_with_another_name_has_its_unnamed_patients(folder: Path, capsys: Any, admin_user: Any) -> None:
    run(capsys, "import_slides", folder, "--cohort", "New")
    gone, stays = Patient.objects.order_by("slides__images__original_name__name").distinct()[:4:3]
    services.patient_withdraw(actor=admin_user, patient=gone, reason="Consent withdrawn")
    cohort = services.cohort_change(actor=admin_user, cohort=Cohort.objects.get(), name="Newer")
    for name in ("Newer", "New"):
        (folder / "ALL" / f"later in {name}.png").write_bytes(picture(20 + len(name)))
        code, out, err = run(capsys, "import_slides", folder, "--cohort", name)
        assert (code, "0 new images in 0 new slides" in out) == (1, True)
        assert err.count("E_WITHDRAWN") == 3 + 1 + (name == "New")
        assert ("AML/15_2.png  E_TAKEN  It is in slide" in err) == (name == "New")
    assert set(Patient.objects.all()) == {gone, stays}
    assert blobs().exists(HpfImage.objects.get(slide__patient=stays).content_sha256)
    assert len(list(blobs().names())) == 1
    assert cohort.patients.count() == 2


def test_a_removed_field_stays_out(folder: Path, capsys: Any, admin_user: Any) -> None:
    args = (folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    run(capsys, "import_slides", *args)
    image = HpfImage.objects.get(original_name__name="ALL/4_2.png")
    services.image_remove(actor=admin_user, image=image, reason="A name in the picture")
    for dry in (["--dry-run"], []):
        code, out, err = run(capsys, "import_slides", *args, *dry)
        assert (code, "0 new images in 0 new slides, 3 already there" in out) == (1, True)
        assert "ALL/4_2.png  E_REMOVED  It was removed on " in err
    services.image_add(actor=admin_user, slide=image.slide, data=picture(1), name="4_2.png")
    assert run(capsys, "import_slides", *args)[0] == 0, "whoever uploads it wants it"


def test_a_file_that_two_smears_have_does_not_make_them_one(folder: Path, capsys: Any) -> None:
    for path, seed in {"ALL 2/4_7.png": 2, "ALL 2/4_8.png": 11, "ALL 2/4_9.png": 12}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(picture(seed))
    args = (folder, "--cohort", "New", "--patient-pattern", r"^(\d+)_")
    for new in ("7 new images in 4 new slides", "0 new images in 0 new slides, 7 already there"):
        code, out, _ = run(capsys, "import_slides", *args)
        assert (code, new in out) == (0, True), out
    assert sorted(i.original_name.name for i in Slide.objects.get(code="4-S2").images.all()) in (
        ["ALL 2/4_7.png", "ALL 2/4_8.png", "ALL 2/4_9.png"], ["ALL/4_10.png", "ALL/4_2.png"],
    )  # fmt: skip

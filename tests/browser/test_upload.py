"""Uploading in a real browser: a folder with a bad file, resume after a closed tab, a zip."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases import services
from cases.models import Cohort, HpfImage, Slide, UploadBatch, UploadItem
from tests.browser.test_pages import axe_problems
from tests.cases.shell.pictures import picture
from tests.support.zips import UnmarkedName

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cohort(transactional_db: None) -> Cohort:
    return services.cohort_create(actor=None, name="Browser cohort", purpose="external")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images in two folders, the eleventh of the first one bad, and a document."""
    root = tmp_path / "drop"
    for name in ("17_a", "18_b"):
        (root / name).mkdir(parents=True)
    for number in range(1, 11):
        (root / "17_a" / f"{number}.png").write_bytes(picture(number))
    (root / "17_a" / "11.png").write_bytes(picture(11)[:900])
    (root / "18_b" / "1.jpg").write_bytes(picture(20, fmt="JPEG"))
    (root / "README.md").write_text("about")
    return root


def choose(page: Any, path: Path, kind: str = "Folder of images") -> None:
    page.get_by_label(kind).set_input_files(path)


def test_a_folder_goes_to_its_slides_and_the_bad_file_is_explained(
    browser_as: Callable[..., Any], cohort: Cohort, folder: Path
) -> None:
    page = browser_as("technician")
    page.goto(f"/upload/?cohort={cohort.pk}")
    choose(page, folder)
    page.get_by_text("12 files").wait_for()
    assert "README.md" in page.locator("[data-part=left-out]").inner_text()
    page.get_by_label("Pattern for the patient's code").fill(r"drop/(?P<patient>\d+)_")
    rows = page.locator("[data-part=rows] tr")
    assert rows.count() == 2
    assert page.get_by_label("Patient code for drop/17_a").input_value() == "17"
    page.get_by_label("Before each code").fill("LA-")
    page.get_by_label("Slide code for drop/18_b").fill("=1+1")
    assert page.get_by_role("button", name="Start the upload").is_disabled()
    page.get_by_label("Slide code for drop/18_b").fill("18 left hand")
    assert axe_problems(page) == []
    page.get_by_role("button", name="Start the upload").dblclick()
    page.get_by_text("11 stored, 1 refused.").wait_for()
    row = page.locator("[data-part=error-rows] tr")
    assert row.count() == 1
    assert row.inner_text().startswith("drop/17_a/11.png\tE_TRUNCATED")
    assert UploadItem.objects.values("batch").distinct().count() == 1, "a double click is one upload"
    assert axe_problems(page) == []
    slides = sorted(Slide.objects.values_list("patient__code", "code"))
    assert slides == [("LA-17", "LA-17-S1"), ("LA-18", "18 left hand")]
    assert not UploadItem.objects.filter(sha256="").exists(), "hashed in the browser before it was sent"
    names = Slide.objects.get(code="LA-17-S1").images.values_list("original_name__name", flat=True)
    assert [Path(name).stem for name in names] == [str(n) for n in range(1, 11)], "capture order: 2 before 10"
    page.get_by_role("link", name="Slide LA-17-S1", exact=True).click()
    page.get_by_role("heading", name="Slide LA-17-S1").wait_for()
    assert page.locator(".thumbs li").count() == 10
    assert axe_problems(page) == []


def test_a_code_of_another_cohort_leaves_the_plan_open(
    browser_as: Callable[..., Any], cohort: Cohort, folder: Path
) -> None:
    other = services.cohort_create(actor=None, name="Other cohort", purpose="development")
    services.slide_ensure(actor=None, cohort=other, patient_code="17_a", slide_code="17_a-S1")
    page = browser_as("technician")
    page.goto(f"/upload/?cohort={cohort.pk}")
    choose(page, folder)
    page.get_by_role("button", name="Start the upload").click()
    page.get_by_text("belongs to patient 17_a of cohort Other cohort").wait_for()
    page.get_by_label("Before each code").fill("B-")
    page.get_by_role("button", name="Start the upload").click()
    page.get_by_text("11 stored, 1 refused.").wait_for()


def test_an_upload_is_resumed_after_a_closed_tab(browser_as: Callable[..., Any], cohort: Cohort, folder: Path) -> None:
    (folder / "17_a" / "11.png").unlink()
    page = browser_as("technician")
    sent: list[str] = []

    def three_then_gone(route: Any) -> None:
        if route.request.method == "PUT":
            sent.append(route.request.url)
            if len(sent) > 3:
                return route.abort()  # the line is dead; the tab is closed while it tries again
        return route.continue_()

    def once_cut(route: Any) -> None:
        told.append(route.request.url)
        if len(told) == 2:
            return route.abort()  # an announcement is tried again as a file is
        return route.continue_()

    told: list[str] = []
    page.route("**/api/v1/uploads/*/items/*/", three_then_gone)
    page.route("**/api/v1/uploads/*/items/", once_cut)
    page.goto(f"/upload/?cohort={cohort.pk}")
    choose(page, folder)
    page.get_by_role("button", name="Start the upload").click()
    page.get_by_text("3 of 11 files").wait_for()
    context = page.context
    page.close()
    page = context.new_page()
    before = HpfImage.objects.count()
    assert before == 3
    puts: list[str] = []
    page.on("request", lambda r: puts.append(r.url) if r.method == "PUT" else None)
    page.goto("/upload/")
    page.get_by_text(f"{before} of 11 files are in").wait_for()
    page.get_by_role("button", name="Resume").click()
    (folder / "17_a" / "12.png").write_bytes(picture(12))  # never announced: it goes with its folder, if one says so
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    choose(page, folder)
    page.get_by_text("12 stored.").wait_for()
    assert len(puts) == 12 - before, "only what was missing is sent"
    assert [words.partition("?")[0] for words in asked] == [
        "1 file was not part of this upload before. Add to slide 17_a-S1"
    ]
    assert UploadBatch.objects.get().closed_at is not None
    assert Slide.objects.get(code="17_a-S1").images.count() == 11


def test_what_fails_on_the_way_is_retried_by_hand(browser_as: Callable[..., Any], cohort: Cohort, folder: Path) -> None:
    (folder / "17_a" / "11.png").unlink()
    page = browser_as("technician")
    page.clock.install()
    page.route("**/api/v1/uploads/*/items/*/", lambda route: route.abort())
    page.goto(f"/upload/?cohort={cohort.pk}")
    choose(page, folder)
    page.get_by_role("button", name="Start the upload").click()
    failed = page.locator("[data-part=error-rows] tr")
    for _ in range(60):
        page.clock.run_for(2000)
        if failed.count() == 11:
            break
    assert failed.count() == 11
    assert "E_NETWORK" in page.locator("[data-part=error-rows]").inner_text()
    page.unroute("**/api/v1/uploads/*/items/*/")
    page.get_by_role("button", name="Retry failed").click()
    for _ in range(30):
        page.clock.run_for(1000)
        if page.get_by_text("11 stored.").is_visible():
            break
    page.get_by_text("11 stored.").wait_for()
    assert failed.count() == 0


def test_a_zip_is_unpacked_by_the_worker(
    browser_as: Callable[..., Any], cohort: Cohort, folder: Path, tmp_path: Path, job_worker: None
) -> None:
    archive = tmp_path / "smears.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.*")):
            file.write(path, path.relative_to(folder))
        file.writestr("__MACOSX/17_a/._1.png", b"x")
        for n, (name, encoding) in enumerate([("Präparat ß.png", "cp437"), ("größe.png", "utf-8")]):
            file.writestr(UnmarkedName(f"17_a/{name}", encoding), picture(50 + n))
    page = browser_as("technician")
    page.goto(f"/upload/?cohort={cohort.pk}")
    choose(page, archive, "Images or a zip")
    page.get_by_text("14 files").wait_for()
    page.get_by_role("button", name="Start the upload").click()
    page.get_by_text("13 stored, 1 refused.").wait_for(timeout=60_000)
    assert "E_TRUNCATED" in page.locator("[data-part=error-rows]").inner_text()
    assert Slide.objects.get(code="17_a-S1").images.count() == 12


def test_a_dropped_folder_is_read_to_its_last_file(
    browser_as: Callable[..., Any], cohort: Cohort, tmp_path: Path
) -> None:
    """Browsers hand out at most 100 entries of a folder at a time."""
    root = tmp_path / "many" / "S 1"
    root.mkdir(parents=True)
    for number in range(130):
        (root / f"{number}.png").write_bytes(b"not read here")
    page = browser_as("technician")
    page.goto(f"/upload/?cohort={cohort.pk}")
    box = page.locator("[data-part=drop]").bounding_box()
    driver = page.context.new_cdp_session(page)
    what = {"items": [], "files": [str(tmp_path / "many")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        where = {"x": box["x"] + 40, "y": box["y"] + 40}
        driver.send("Input.dispatchDragEvent", {"type": kind, "data": what, **where})
    page.get_by_text("130 files").wait_for()
    assert page.get_by_label("Patient code for many/S 1").input_value() == "S 1"


def test_pages_of_slides_are_accessible(browser_as: Callable[..., Any], cohort: Cohort) -> None:
    slide = services.slide_ensure(actor=None, cohort=cohort, patient_code="P", slide_code="P-S1", stain="Giemsa")
    other = services.slide_ensure(actor=None, cohort=cohort, patient_code="Q", slide_code="Q-S1")
    for target in (slide, other):
        services.image_add(actor=None, slide=target, data=picture(1), name="a.png")
    page = browser_as("admin")
    c, p, s = cohort.pk, slide.patient_id, slide.pk
    for address in (
        "/cohorts/", "/cohorts/new/", f"/cohorts/{c}/", f"/cohorts/{c}/patients/", f"/cohorts/{c}/duplicates/",
        f"/patients/{p}/", f"/patients/{p}/withdraw/", f"/patients/{p}/references/", f"/patients/{p}/recode/",
        "/references/", f"/slides/{s}/", f"/slides/{s}/change/", f"/slides/{s}/move/", f"/upload/?slide={s}",
    ):  # fmt: skip
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert axe_problems(page) == [], address

"""A sorting task with small pictures, and what a board in a browser is asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from cases.models import Cohort, HpfImage, Patient, Slide, SortingTask
from cases.services.images import image_add
from cases.services.sorting_tasks import People, task_create
from cases.services.taxonomies import taxonomy_ensure


def field_jpeg(number: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """A field that differs from every other one."""
    image = Image.new("RGB", size, (226, 222, 214))
    draw = ImageDraw.Draw(image)
    x, y = 20 + 37 * number % 230, 20 + 53 * number % 150
    draw.ellipse([x, y, x + 50, y + 50], fill=(92, 60, 140 + number % 100))
    draw.text((8, 8), str(number), fill=(30, 30, 30))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def cohort_with_fields(n_fields: int, *, n_patients: int = 3, size: tuple[int, int] = (320, 240)) -> Cohort:
    cohort = Cohort.objects.create(name="Training", purpose="development", synthetic=True)
    slides = []
    for number in range(n_patients):
        patient = Patient.objects.create(code=f"T-{number}", cohort=cohort)
        slides.append(Slide.objects.create(code=f"T-{number}-AML", patient=patient))
    for number in range(n_fields):
        image_add(
            actor=None, slide=slides[number % n_patients], data=field_jpeg(number, size), name=f"AML_{number}.jpg"
        )
    return cohort


def rows_only(cohort: Cohort, n_images: int, blobs: Sequence[HpfImage]) -> None:
    """Many more rows that share the pixels of a few images: slides of at most 100."""
    rows, slide = [], Slide()
    for number in range(n_images):
        if number % 100 == 0:
            patient = Patient.objects.create(code=f"R-{number}", cohort=cohort)
        if number % len(blobs) == 0:
            slide = Slide.objects.create(code=f"R-{number}", patient=patient)
        twin = blobs[number % len(blobs)]
        copied = ("content_sha256", "received_sha256", "format", "width_px", "height_px", "size_bytes")
        same = {name: getattr(twin, name) for name in copied}
        rows.append(HpfImage(slide=slide, position=number, **same))
    HpfImage.objects.bulk_create(rows, batch_size=1000)


def sorting_task(cohort: Cohort, sorters: Sequence[Any], adjudicators: Sequence[Any] = (), **more: Any) -> SortingTask:
    return task_create(
        actor=None, name="First sorting", cohorts=[cohort], people=People(sorters, [], adjudicators),
        taxonomy=taxonomy_ensure(), **{"seed": 11, **more},
    )  # fmt: skip


def open_board(page: Page, task: SortingTask) -> None:
    page.goto(f"/sorting/{task.public_id}/board/", wait_until="domcontentloaded", timeout=90_000)
    expect(page.locator("[data-board][data-ready]")).to_be_attached(timeout=60_000)


def badge(page: Page) -> Any:
    return page.locator("[data-badge]")


def expect_all_saved(page: Page) -> None:
    expect(badge(page)).to_have_attribute("data-pending", "0", timeout=60_000)


def expect_shown(page: Page) -> None:
    """The image in focus of the single view is on the screen; before that nothing can be decided."""
    board = "document.querySelector('[data-board]').board"
    page.wait_for_function(f"() => {board}.single.shown === {board}.model.focus && {board}.single.shown >= 0")


def until(page: Page, true: Callable[[], bool], patience_ms: int = 20_000) -> None:
    """Wait until the database says what the page was told to do."""
    for _ in range(patience_ms // 50):
        if true():
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page's deed did not reach the database")


def labels(task: Any) -> list[str]:
    """The counting label of each item in the queue's order; "" for undecided."""
    items = task.seats.first().items.select_related("current").order_by("position")
    return [(i.current.label or i.current.verdict) if i.current else "" for i in items]

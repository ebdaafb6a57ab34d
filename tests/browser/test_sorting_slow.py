"""The board under load: 400 key presses with the network cut 50 times, and a queue of 7,255 images.

``python -m pytest -s -m slow tests/browser/test_sorting_slow.py`` prints the figures of docs/sorting.md.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cases.models import SortingDecision, SortingItem
from leukoweb.core.audit import chain_verify
from leukoweb.core.models import AuditEvent
from tests.browser.sorting_support import (
    cohort_with_fields,
    expect_all_saved,
    open_board,
    rows_only,
    sorting_task,
    until,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
OpenPage = Callable[..., Page]
N_IMAGES, N_CUTS = 200, 50
KEYS = {"AML": "1", "ALL": "2", "APML": "3", "CML": "4", "CLL": "5", "REACTIVE": "6", "NO_LEUKEMIA": "7"}
LISTEN = """window.painted = [];
document.addEventListener("sorting:painted", (event) => window.painted.push(event.detail.ms));"""

SEES = """() => {
  const { single, model } = document.querySelector("[data-board]").board;
  if (single.shown === model.focus) return "shown";
  return document.querySelector("[data-single-message]").textContent.includes("could not") && "failed";
}"""

BADGE = """() => {
  const badge = document.querySelector("[data-badge]");
  return [badge.dataset.pending, badge.textContent];
}"""


class Sorter:
    """A pathologist at a keyboard, who knows what they pressed on which image."""

    def __init__(self, page: Page, task: Any) -> None:
        self.page = page
        self.seat = task.seats.get(user=page.user)
        items = self.seat.items.select_related("image").order_by("position")
        self.queue = [str(item.image.public_id) for item in items]
        self.pressed: dict[str, str] = {}
        open_board(page, task)
        page.evaluate(LISTEN)
        page.keyboard.press("g")
        expect(page.locator("[data-single]")).to_be_visible()
        self.await_painted(1)
        page.evaluate("window.painted = []")

    @property
    def done(self) -> bool:
        return len(self.pressed) == len(self.queue)

    def sees(self) -> bool:
        """Whether the image in focus comes on the screen; without a line only those that were fetched ahead do."""
        return self.page.wait_for_function(SEES, timeout=60_000).json_value() == "shown"

    def press(self, label: str) -> None:
        assert self.sees(), "a key for an image that is not on the screen decides nothing"
        self.pressed[self.queue[len(self.pressed)]] = label
        self.page.keyboard.press(KEYS[label])

    def missing(self) -> int:
        return len(self.pressed) - self.seat.decisions.count()

    def badge(self) -> tuple[int, str]:
        pending, words = self.page.evaluate(BADGE)
        return int(pending), words

    def await_painted(self, count: int) -> None:
        self.page.wait_for_function("n => window.painted.length >= n", arg=count, timeout=60_000)


def wrong(pending: int, words: str, missing: int) -> bool:
    """Whether a badge does not say the number of decisions that the server misses."""
    told = int((re.search(r"(\d+) not yet on the server", words) or [0, 0])[1])
    return pending != missing or told != missing or words.startswith("All saved") != (missing == 0)


def test_two_pathologists_400_decisions_50_cuts(browser_as: OpenPage, data_dir: Any) -> None:
    dice = random.Random(20_240_826)
    pages = [browser_as("pathologist") for _ in range(2)]
    cohort = cohort_with_fields(N_IMAGES, n_patients=10, size=(1280, 960))
    task = sorting_task(cohort, [page.user for page in pages])
    sorters = [Sorter(page, task) for page in pages]

    # First without a cut: how long from key to the next image on the screen, one sorter after the other.
    times = []
    for sorter in sorters:
        for number in range(40):
            sorter.press(dice.choice(list(KEYS)))
            sorter.await_painted(number + 1)
        times += sorter.page.evaluate("window.painted")
        expect_all_saved(sorter.page)
        sorter.page.evaluate("window.painted = []")

    # At a human pace: a second of looking, the median of a skewed distribution.
    looks = [min(4.0, dice.lognormvariate(0, 0.4)) for _ in range(30)]
    start = time.monotonic()
    for look in looks:
        time.sleep(look)
        sorters[0].press(dice.choice(list(KEYS)))
    expect_all_saved(sorters[0].page)
    pace = 60 * len(looks) / (time.monotonic() - start)
    sorters[0].page.evaluate("window.painted = []")

    samples = lies = cuts = 0
    while not all(sorter.done for sorter in sorters):
        sorter = dice.choice([one for one in sorters if not one.done])
        left = len(sorter.queue) - len(sorter.pressed)
        cut = cuts < N_CUTS
        until(sorter.page, sorter.sees)
        if cut:
            cuts += 1
            sorter.page.context.set_offline(True)
        for _ in range(min(left, dice.randint(1, 5))):
            if not sorter.sees():
                break  # nobody decides what they cannot see
            sorter.press(dice.choice(list(KEYS)))
            sorter.page.wait_for_timeout(dice.randint(0, 60))
        if cut:
            expect(sorter.page.locator("[data-badge]")).to_contain_text("Offline", timeout=60_000)
            lies += wrong(*sorter.badge(), sorter.missing())
            sorter.page.context.set_offline(False)
        expect_all_saved(sorter.page)
        lies += wrong(*sorter.badge(), sorter.missing())
        samples += 2 if cut else 1
    cut_times = [ms for sorter in sorters for ms in sorter.page.evaluate("window.painted")]

    lost = overwritten = 0
    for sorter in sorters:
        rows = list(SortingDecision.objects.filter(seat=sorter.seat).select_related("image"))
        found = {str(row.image.public_id): row.label for row in rows}
        lost += sum(image not in found for image in sorter.queue)
        overwritten += sum(found.get(image) not in (None, label) for image, label in sorter.pressed.items())
        assert len(rows) == N_IMAGES
        current = SortingItem.objects.filter(seat=sorter.seat).values_list("image__public_id", "current__label")
        assert {str(image): label for image, label in current} == sorter.pressed
    audited = sum(event.data["n"] for event in AuditEvent.objects.filter(action="sorting.decide"))
    print(
        f"\n{SortingDecision.objects.count()} decisions, {lost} lost, {overwritten} overwritten, {cuts} cuts, badge "
        f"{samples - lies} of {samples} right, {audited} in the audit chain\n"
        f"key to next image painted: median {statistics.median(times):.0f} ms, "
        f"95 % below {statistics.quantiles(times, n=20)[18]:.0f} ms ({len(times)} presses); "
        f"while the network is cut: median {statistics.median(cut_times):.0f} ms ({len(cut_times)} presses)\n"
        f"human pace (median look 1.0 s): {pace:.0f} images per minute"
    )
    assert (lost, overwritten, lies, cuts, audited) == (0, 0, 0, N_CUTS, 2 * N_IMAGES)
    assert chain_verify().intact


FRAMES = """async () => {
  const gallery = document.querySelector("[data-gallery]");
  const frames = [];
  let last = performance.now();
  const end = last + 5000;
  while (last < end) {
    gallery.scrollTop += 60;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
  }
  return { frames: frames.slice(1), tiles: gallery.querySelectorAll(".tile").length, top: gallery.scrollTop };
}"""
STEP = """async (change) => {
  const start = performance.now();
  const select = document.querySelector(`[data-filter-${change[0]}]`);
  select.value = change[1];
  select.dispatchEvent(new Event("change"));
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  return performance.now() - start;
}"""


def test_a_queue_of_7255_images(browser_as: OpenPage, data_dir: Any) -> None:
    page = browser_as("pathologist", viewport={"width": 1440, "height": 900})
    cohort = cohort_with_fields(40, size=(1280, 960))
    from cases.models import HpfImage

    rows_only(cohort, 7_255 - 40, list(HpfImage.objects.all()))
    task = sorting_task(cohort, [page.user])
    start = time.monotonic()
    open_board(page, task)
    expect(page.locator(".tile").first).to_be_visible()
    opened = time.monotonic() - start
    expect(page.locator("[data-shown]")).to_have_text("7255 images")
    size = len(page.request.get(f"/api/v1/sorting/{task.public_id}/queue/").body())
    page.keyboard.press("Control+a")
    start = time.monotonic()
    page.keyboard.press("7")
    deciding = time.monotonic() - start
    expect_all_saved(page)
    saved = time.monotonic() - start
    steps = {}
    for name, value in (("what", "undecided"), ("what", "all"), ("slide", "2"), ("slide", "0"), ("order", "class"),
                        ("order", "slide"), ("order", "queue")):  # fmt: skip
        steps[f"{name}={value}"] = page.evaluate(STEP, [name, value])
    page.keyboard.press("Home")
    scrolled = page.evaluate(FRAMES)
    frames = scrolled["frames"]
    print(
        f"\n7,255 images: open {opened:.2f} s, queue {size / 1e6:.2f} MB; all decided at once: shown in "
        f"{deciding:.2f} s, on the server in {saved:.1f} s\nfilters and orders: "
        + ", ".join(f"{name} {ms:.0f} ms" for name, ms in steps.items())
        + f"\nscrolling 5 s, {scrolled['top']:.0f} px: {len(frames)} frames, "
        f"median {statistics.median(frames):.1f} ms, "
        f"95 % below {statistics.quantiles(frames, n=20)[18]:.1f} ms, longest {max(frames):.0f} ms, "
        f"{scrolled['tiles']} tiles in the page"
    )
    assert SortingDecision.objects.count() == 7_255
    assert scrolled["tiles"] < 120

"""The field viewer in a real browser: order, keys, zoom, display adjustment, scale bar, seen marks."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.browser.test_pages import assert_accessible_in_every_theme, assert_fits_a_phone, axe_problems

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

N_FIELDS = 5
SIZE = (800, 600)
OpenPage = Callable[..., Page]


def field_png(number: int) -> bytes:
    """A field that differs from every other one: a disc whose place tells the number."""
    image = Image.new("RGB", SIZE, (226, 222, 214))
    ImageDraw.Draw(image).ellipse([100 * number, 200, 100 * number + 90, 290], fill=(92, 60, 140))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def slide(db: None, data_dir: Any) -> Any:
    from cases.models import Cohort, Patient, Slide
    from cases.services.images import image_add

    cohort = Cohort.objects.create(name="Viewer", purpose="development", synthetic=True)
    patient = Patient.objects.create(code="V-1", cohort=cohort)
    slide = Slide.objects.create(code="V-1-A", patient=patient, pixel_size_um=0.1)
    for number in range(N_FIELDS):
        image_add(actor=None, slide=slide, data=field_png(number), name=f"{number}.png")
    return slide


def open_viewer(page: Page, slide: Any, position: int = 1) -> None:
    page.goto(f"/images/{slide.images.get(position=position).public_id}/view/")
    expect(page.locator("[data-viewer-position]")).to_have_text(f"Field {position} of {N_FIELDS}")
    expect(page.locator("[data-viewer-zoom]")).to_have_text(re.compile(r"\d+ %"))


def zoom_percent(page: Page) -> int:
    return int(page.locator("[data-viewer-zoom]").inner_text().split()[0])


def test_the_viewer_is_accessible_and_fits_a_phone(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    assert_accessible_in_every_theme(page)
    assert_fits_a_phone(page)


def test_keys_go_through_the_fields_in_capture_order(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide, position=2)
    position = page.locator("[data-viewer-position]")
    for key, shown in [
        ("f", 3),
        ("ArrowRight", 4),
        ("d", 3),
        ("ArrowLeft", 2),
        ("Shift+End", 5),
        ("f", 5),
        ("Shift+Home", 1),
    ]:
        page.keyboard.press(key)
        expect(position).to_have_text(f"Field {shown} of {N_FIELDS}")
    expect(page.locator(".strip-item[aria-current=true]")).to_have_accessible_name("Field 1, seen")


def test_the_field_in_the_address_survives_a_reload(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    page.get_by_role("button", name="Field 4").click()
    expect(page.locator("[data-viewer-position]")).to_have_text(f"Field 4 of {N_FIELDS}")
    page.reload()
    expect(page.locator("[data-viewer-position]")).to_have_text(f"Field 4 of {N_FIELDS}")
    expect(page.locator("[data-viewer-seen]")).to_have_text("2 seen")


def test_pixels_of_the_chosen_field_are_on_the_stage(browser_as: OpenPage, slide: Any) -> None:
    """At actual size in the middle of field 4 (disc at x 300 to 390) the colour is the disc's."""
    page = browser_as("pathologist")
    open_viewer(page, slide)
    page.get_by_role("button", name="Field 4").click()
    expect(page.get_by_role("button", name="Field 4, seen")).to_be_visible()
    page.keyboard.press("1")
    expect(page.locator("[data-viewer-zoom]")).to_have_text("100 %")
    stage = page.locator("[data-viewer-stage]")
    box = stage.bounding_box()
    assert box is not None
    shot = Image.open(io.BytesIO(stage.screenshot())).convert("RGB")
    x = round(box["width"] / 2 - SIZE[0] / 2 + 345)
    y = round(box["height"] / 2 - SIZE[1] / 2 + 245)
    assert shot.getpixel((x, y)) == (92, 60, 140)


def test_the_view_is_kept_between_fields_on_request(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    whole = zoom_percent(page)
    for kept in (False, True):
        page.keyboard.press("Home")
        page.keyboard.press("1")
        page.keyboard.press("+")
        expect(page.locator("[data-viewer-zoom]")).to_have_text("150 %")
        page.keyboard.press("f")
        expect(page.locator(".strip-item[aria-current=true]")).to_have_accessible_name(re.compile("seen"))
        expect(page.locator("[data-viewer-zoom]")).to_have_text("150 %" if kept else f"{whole} %")
        page.keyboard.press("z")
        expect(page.get_by_role("button", name="Keep zoom")).to_have_attribute("aria-pressed", str(not kept).lower())


def test_the_wheel_zooms_at_the_pointer_and_a_double_click_by_two(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    page.keyboard.press("1")
    expect(page.locator("[data-viewer-zoom]")).to_have_text("100 %")
    page.locator("[data-viewer-stage]").dblclick()
    expect(page.locator("[data-viewer-zoom]")).to_have_text("200 %")
    page.mouse.wheel(0, -100)
    expect(page.locator("[data-viewer-zoom]")).to_have_text("250 %")


def test_adjusting_changes_the_display_only_and_says_so(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    badge = page.locator("[data-adjust-badge]")
    expect(badge).to_be_hidden()
    for key in ("]", "]", "{"):
        page.keyboard.press(key)
    expect(badge).to_contain_text("Brightness 120 %, contrast 90 %. Display only.")
    canvas = page.locator("[data-viewer-stage] .openseadragon-canvas > canvas").first
    assert canvas.evaluate("canvas => canvas.style.filter") == "brightness(1.2) contrast(0.9)"
    page.keyboard.press("\\")
    expect(badge).to_be_hidden()
    assert canvas.evaluate("canvas => canvas.style.filter") == ""


def test_the_scale_bar_is_as_long_as_it_says(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    page.keyboard.press("1")
    expect(page.locator("[data-viewer-zoom]")).to_have_text("100 %")
    expect(page.locator("[data-scale-text]")).to_have_text("10 µm")  # 0.1 µm per pixel
    width = page.locator("[data-scale-line]").evaluate("line => parseFloat(line.style.width)")
    assert width == pytest.approx(100, abs=1)  # the zoom may still glide by a fraction of a percent

    slide.pixel_size_um = None
    slide.save()
    open_viewer(page, slide)
    expect(page.locator("[data-scale-text]")).to_have_text("uncalibrated")
    expect(page.locator("[data-scale-line]")).to_be_hidden()


def test_scale_lengths_are_round(browser_as: OpenPage) -> None:
    longest = [0.0007, 0.99, 1, 1.9, 2, 4.99, 12.5, 260, 0]
    page = browser_as("technician")
    page.goto("/")
    rounded = "limits => import('/static/leukoweb/js/viewer_scale.js').then(scale => limits.map(scale.niceLength))"
    assert page.evaluate(rounded, longest) == [0.0005, 0.5, 1, 1, 2, 2, 10, 200, 0]


def test_the_sheet_lists_the_keys_and_keys_rest_while_it_is_open(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    open_viewer(page, slide)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Next field")
    assert axe_problems(page) == []
    page.keyboard.press("f")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("[data-viewer-position]")).to_have_text(f"Field 1 of {N_FIELDS}")


def test_a_field_that_cannot_be_loaded_is_named_and_the_next_one_shows(browser_as: OpenPage, slide: Any) -> None:
    page = browser_as("pathologist")
    missing = slide.images.get(position=2)
    page.route(f"**/images/{missing.public_id}/", lambda route: route.fulfill(status=404))
    open_viewer(page, slide)
    page.keyboard.press("f")
    expect(page.locator("[data-viewer-message]")).to_contain_text("Field 2 could not be loaded")
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Field 3, seen")).to_be_visible()
    expect(page.locator("[data-viewer-message]")).to_be_hidden()


def test_keys_belong_to_a_field_while_one_types(browser_as: OpenPage) -> None:
    page = browser_as("admin")
    page.goto("/users/")
    page.evaluate(
        """import('/static/leukoweb/js/keymap.js').then(({Keymap}) => {
            window.ran = [];
            window.keymap = new Keymap([{action: "next", keys: ["f"], label: "", group: ""},
                                        {action: "back", keys: ["d"], label: "", group: ""}]);
            keymap.on("next", () => ran.push("next")).on("back", () => ran.push("back")).attach();
        })"""
    )
    page.get_by_label("Username").press("f")
    assert page.evaluate("ran") == []
    page.get_by_label("Username").blur()
    page.keyboard.press("f")
    page.keyboard.press("Control+d")
    assert page.evaluate("ran") == ["next"]
    page.evaluate("keymap.rebind('next', ['j'])")
    page.keyboard.press("f")
    page.keyboard.press("j")
    assert page.evaluate("ran") == ["next", "next"]
    clash = "(() => { try { keymap.rebind('next', ['d']); } catch (error) { return error.message; } })()"
    assert page.evaluate(clash) == "Key d is bound to next and to back."
    page.keyboard.press("j")
    assert page.evaluate("ran") == ["next", "next", "next"]

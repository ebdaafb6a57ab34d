"""From a key press to the next field painted, in Chromium, over a server of its own.

    python -m benchmarks.viewer_latency [--presses 200] [--fields 40]

Draws a phantom slide (1600 x 1200), starts the web server as the launcher does and presses "f". Two paces: a reader's
(a pause after each field, so that the next ones are decoded ahead) and as fast as fields appear. The clock starts at
the time stamp of the key event and stops one animation frame after OpenSeadragon drew the new field's pixels.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results import Result, Table, add_options, report
from benchmarks.serving import browser_page, environment, gunicorn, setup, sign_in

PACES = (("a reader's, 0.3 s a field", 300), ("as fast as fields appear", 0))
MEASURE = """() => {
  const viewer = OpenSeadragon.getViewer(document.querySelector('[data-viewer-stage]'));
  window.times = [];
  let pressed = null, before = null;
  document.addEventListener('keydown', event => {
    pressed = event.timeStamp; before = viewer.world.getItemAt(0).source.url;
  }, true);
  viewer.addHandler('tile-drawn', ({tiledImage}) => {
    if (pressed === null || tiledImage.source.url === before) return;
    const start = pressed; pressed = null;
    requestAnimationFrame(() => requestAnimationFrame(now => window.times.push(now - start)));
  });
}"""


def prepare(fields: int) -> str:
    """A slide in an empty installation, and a reader. Returns the address of its first field."""
    from django.core.management import call_command

    from cases import services
    from cases.phantoms import draw_patient, encode_jpeg
    from leukoweb.core.models import User

    call_command("migrate", verbosity=0)
    User.objects.create_user(username="reader", password="not used", role="pathologist")
    cohort = services.cohort_create(actor=None, name="Latency", purpose="external", synthetic=True)
    slide = services.slide_ensure(actor=None, cohort=cohort, patient_code="L", slide_code="L-S1", pixel_size_um=0.07)
    for number, field in enumerate(draw_patient("AML", seed=3, style="dp73", n_fields=fields, width_px=1600), start=1):
        services.image_add(actor=None, slide=slide, data=encode_jpeg(field), name=f"{number}.jpg")
    first = slide.images.order_by("position").values_list("public_id", flat=True)[0]
    return f"/images/{first}/view/"


def measure(page: Any, address: str, presses: int, pause_ms: int) -> list[float]:
    """One visit of the slide from its first field; at most as many presses as it has further fields."""
    page.goto(address)
    page.locator("[data-viewer-zoom]").filter(has_text="%").wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate(MEASURE)
    for done in range(presses):
        page.keyboard.press("f")
        page.wait_for_function("count => times.length > count", arg=done)
        page.wait_for_timeout(pause_ms)
    return [float(value) for value in page.evaluate("times")]


def rounds(page: Any, address: str, presses: int, fields: int, pause_ms: int) -> list[float]:
    """As many visits of the slide as it takes, each from its first field."""
    times: list[float] = []
    while len(times) < presses:
        times += measure(page, address, min(fields - 1, presses - len(times)), pause_ms)
    return times


def row(pace: str, times: list[float]) -> list[Any]:
    ordered = sorted(times)
    return [pace, len(times), statistics.median(times), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--fields", type=int, default=40)
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leukoweb-bench-") as name:
        env = environment(Path(name))
        env.pop("DATABASE_URL", None)
        setup(env)
        address = prepare(options.fields)
        with gunicorn(env) as port, browser_page(port, sign_in("reader")) as page:
            rows = [row(pace, rounds(page, address, options.presses, options.fields, ms)) for pace, ms in PACES]
    table = Table("", ["pace", "key presses", "ms, median", "ms, 95 %", "ms, most"], rows)
    report(Result("viewer", "python -m benchmarks.viewer_latency", [table]), options.results)


if __name__ == "__main__":
    main()

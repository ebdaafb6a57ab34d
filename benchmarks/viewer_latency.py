"""From a key press to the next field painted, in Chromium, over a server of its own.

    python -m benchmarks.viewer_latency --presses 200 --fields 40

Draws a phantom slide (1600 x 1200), starts the web server as the launcher does and presses "f". Two paces: a reader's
(a pause after each field, so that the next ones are decoded ahead) and as fast as fields appear. The clock starts at
the time stamp of the key event and stops one animation frame after OpenSeadragon drew the new field's pixels.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
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


def prepare(data: Path, fields: int) -> tuple[str, str]:
    """A slide in an empty installation. Returns (cookie as name=value, id of its first field)."""
    os.environ.update(DATA_DIR=str(data), DJANGO_SETTINGS_MODULE="leukoweb.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command

    from cases import services
    from cases.phantoms import draw_patient, encode_jpeg
    from leukoweb.core.models import User

    call_command("migrate", verbosity=0)
    user = User.objects.create_user(username="reader", password="not used", role="pathologist")
    cohort = services.cohort_create(actor=None, name="Latency", purpose="external", synthetic=True)
    slide = services.slide_ensure(actor=None, cohort=cohort, patient_code="L", slide_code="L-S1", pixel_size_um=0.07)
    for number, field in enumerate(draw_patient("AML", seed=3, style="dp73", n_fields=fields, width_px=1600), start=1):
        services.image_add(actor=None, slide=slide, data=encode_jpeg(field), name=f"{number}.jpg")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    first = slide.images.order_by("position").values_list("public_id", flat=True)[0]
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}", str(first)


def serve(port: int) -> subprocess.Popen[bytes]:
    from leukoweb.management.commands.up import web_command

    web = subprocess.Popen(web_command("127.0.0.1", port), cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=5):
                return web
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the web server does not answer")


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


def words(name: str, times: list[float]) -> str:
    ordered = sorted(times)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    median = statistics.median(times)
    return f"{name}: {len(times)} presses, median {median:.0f} ms, p95 {p95:.0f} ms, most {ordered[-1]:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--fields", type=int, default=40)
    parser.add_argument("--port", type=int, default=8369)
    options = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise SystemExit("No Chromium on this machine; set CHROMIUM to its path.")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        cookie, first = prepare(Path(folder), options.fields)
        web = serve(options.port)
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                base = f"http://localhost:{options.port}"
                context = browser.new_context(base_url=base, viewport={"width": 1440, "height": 900})
                name, value = cookie.split("=")
                context.add_cookies([{"name": name, "value": value, "url": base}])
                page = context.new_page()
                for label, pause_ms in (("a reader's pace (0.3 s a field)", 300), ("as fast as fields appear", 0)):
                    times = rounds(page, f"/images/{first}/view/", options.presses, options.fields, pause_ms)
                    sys.stdout.write(words(label, times) + "\n")
                    sys.stdout.flush()
                browser.close()
        finally:
            os.killpg(web.pid, signal.SIGTERM)
            web.wait()


if __name__ == "__main__":
    main()

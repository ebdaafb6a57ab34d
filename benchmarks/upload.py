"""From files to stored and checked images: Chromium, its requests alone, command line, against cp and sha256sum.

    python -m benchmarks.upload [--files 300] [--many 7255]

Real size: drawn fields of 1600 x 1200. ``--many`` tiny fields (64 x 64) go in by the command line, to see that memory
does not grow with their number; 7,255 is the number of the paper's images.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.results import ROOT, Result, Table, add_options, report
from benchmarks.serving import Client, browser_page, chromium, environment, gunicorn, setup, sign_in

AT_ONCE = 4  # as the upload page sends


def draw(folder: Path, files: int) -> int:
    """Slides of 50 different fields; a drawn field is brightened a little per file, so that no two are equal."""
    from cases.phantoms import draw_patient

    drawn = [np.asarray(f.image) for f in draw_patient("AML", seed=3, style="dp73", n_fields=4, width_px=1600)]
    total = 0
    for number in range(files):
        pixels = np.clip(drawn[number % len(drawn)].astype(np.int16) + number % 7, 0, 255).astype(np.uint8)
        pixels[0, : 1 + number % 1500] = number % 251
        path = folder / f"S{number // 50:03d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, "JPEG", quality=92)
        total += path.stat().st_size
    return total


def tiny(folder: Path, files: int) -> int:
    rng, total = np.random.default_rng(files), 0
    for number in range(files):
        path = folder / f"S{number // 50:03d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG", quality=60)
        path.write_bytes(buffer.getvalue())
        total += buffer.tell()
    return total


def copied(source: Path, target: Path) -> None:
    """What every way does at least: each file copied, flushed to the disk, and hashed."""
    for path in sorted(source.rglob("*.jpg")):
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def cp(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", source, target], check=True)
    listing = subprocess.run(["find", target, "-name", "*.jpg", "-print0"], check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["xargs", "-0", "sha256sum"], input=listing, check=True, stdout=subprocess.DEVNULL)


def import_slides(source: Path, name: str, env: dict[str, str]) -> float:
    """The command line. Returns its peak memory in MB."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "import_slides", str(source), "--cohort", name],
        cwd=ROOT,
        env=env,
        stdout=subprocess.DEVNULL,
    )
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit("the import failed")
    return usage.ru_maxrss / 1000


class Api:
    """The upload page's requests, from Python."""

    def __init__(self, port: int, cookie: str) -> None:
        self.port, token = port, "a" * 32
        self.cookie = f"{cookie}; csrftoken={token}"
        self.extra = {"X_CSRFToken": token}
        self.client = Client(port, self.cookie)

    def json(self, method: str, path: str, body: Any) -> Any:
        status, content, _ = self.client.ask(
            method, path, json.dumps(body), Content_Type="application/json", **self.extra
        )
        if status >= 300:
            raise SystemExit(f"{path} answered {status}: {content[:300]!r}")
        return json.loads(content)

    def upload(self, source: Path, cohort: int) -> None:
        folders = sorted(p for p in source.iterdir())
        slides = [{"patient": f"{source.name}-{p.name}", "slide": f"{source.name}-{p.name}-S1"} for p in folders]
        batch = self.json("POST", "/api/v1/uploads/", {"cohort": cohort, "slides": slides})["id"]
        work: list[tuple[int, Path]] = []
        files = sorted(source.rglob("*.jpg"))
        for at in range(0, len(files), 100):
            page = files[at : at + 100]
            body = [
                {
                    "path": str(p.relative_to(source)),
                    "size": p.stat().st_size,
                    "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
                    "slide": f"{source.name}-{p.parent.name}-S1",
                }
                for p in page
            ]
            items = self.json("POST", f"/api/v1/uploads/{batch}/items/", {"files": body})["items"]
            work += [(item["id"], path) for item, path in zip(items, page, strict=True)]
        turn, lock, failed = itertools.count(), threading.Lock(), []

        def send() -> None:
            client = Client(self.port, self.cookie)
            while True:
                with lock:
                    at = next(turn)
                if at >= len(work):
                    return
                item, path = work[at]
                status, content, _ = client.ask(
                    "PUT",
                    f"/api/v1/uploads/{batch}/items/{item}/",
                    path.read_bytes(),
                    Content_Type="application/octet-stream",
                    **self.extra,
                )
                if status >= 300:
                    failed.append(content[:200])

        threads = [threading.Thread(target=send) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise SystemExit(f"{len(failed)} files were not taken in: {failed[0]!r}")


def upload_page(port: int, cookie: str, source: Path, cohort: int, n: int) -> float:
    """The folder chosen in Chromium, which reads, hashes and sends it. Seconds from the choice until all are stored."""
    with browser_page(port, cookie) as page:
        page.goto(f"/upload/?cohort={cohort}")
        begun = time.perf_counter()
        page.get_by_label("Folder of images").set_input_files(source, timeout=60_000)
        page.get_by_text(f"{n} files").wait_for(timeout=300_000)
        page.get_by_role("button", name="Start the upload").click()
        page.get_by_text(f"{n} stored.").wait_for(timeout=3_600_000)
        return time.perf_counter() - begun


def timed(deed: Callable[[], Any]) -> tuple[float, Any]:
    os.sync()
    start = time.perf_counter()
    result = deed()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--many", type=int, default=7255)
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leukoweb-bench-") as name:
        folder = Path(name)
        env = environment(folder / "data")
        env.pop("DATABASE_URL", None)
        (folder / "data").mkdir()
        setup(env)
        from django.core.management import call_command

        from cases import services
        from cases.models import Cohort, HpfImage
        from leukoweb.core.models import User

        call_command("migrate", verbosity=0)
        source = folder / "real"
        size = draw(source, options.files)
        ways: dict[str, float] = {}
        ways["cp -r, then sha256sum"], _ = timed(lambda: cp(source, folder / "cp"))
        ways["copy, flush to disk and hash, file by file"], _ = timed(lambda: copied(source, folder / "copied"))
        shutil.rmtree(folder / "cp")
        shutil.rmtree(folder / "copied")
        ways["manage.py import_slides"], peak = timed(lambda: import_slides(source, "By command", env))
        User.objects.create_user(username="technician", password="not used", role="technician")
        cohort = services.cohort_create(actor=None, name="By API", purpose="external")
        blobs = folder / "data" / "blobs"
        shutil.rmtree(blobs)  # the same pixels are written again
        with gunicorn(env) as port:
            api = Api(port, sign_in("technician"))
            ways[f"upload page's requests, {AT_ONCE} at once"], _ = timed(lambda: api.upload(source, cohort.pk))
            if chromium():
                shutil.rmtree(blobs)
                chosen = folder / "chosen"
                for slide in sorted(source.iterdir()):
                    shutil.copytree(slide, chosen / f"page-{slide.name}")
                by_page = services.cohort_create(actor=None, name="By page", purpose="external")
                ways["upload page in Chromium, from the choice of the folder"] = upload_page(
                    port, sign_in("technician"), chosen, by_page.pk, options.files
                )
        for cohort in Cohort.objects.all():
            stored = HpfImage.objects.filter(slide__patient__cohort=cohort).count()
            assert stored == options.files, f"{cohort}: {stored} of {options.files} files are stored"
        rows: list[list[Any]] = []
        base = ways["copy, flush to disk and hash, file by file"]
        for way, seconds in ways.items():
            rows.append([way, options.files / seconds, size / seconds / 1e6, f"{100 * base / seconds:.0f} %"])
        title = f"{options.files} fields of 1600 x 1200, {size / options.files / 1000:.0f} kB each"
        tables = [
            Table(
                title,
                ["way", "images a second", "MB a second", "of copy and hash"],
                rows,
                f"The command line took {peak:.0f} MB of memory at most.",
            )
        ]
        if options.many:
            tables.append(many(folder, env, options.many, HpfImage))
        report(Result("upload", "python -m benchmarks.upload", tables), options.results)


def many(folder: Path, env: dict[str, str], n: int, images: Any) -> Table:
    """A tenth of the files, then all of them: time and memory of the command line."""
    rows = []
    for part in (n // 10, n):
        source = folder / f"tiny{part}"
        tiny(source, part)
        before = images.objects.count()
        seconds, peak = timed(lambda source=source, part=part: import_slides(source, f"Tiny {part}", env))  # type: ignore[misc]
        stored = images.objects.count() - before
        assert stored == part, f"{stored} of {part} files are stored"
        rows.append([part, seconds, part / seconds, peak])
    return Table(
        "Many tiny fields (64 x 64) by the command line", ["files", "s", "files a second", "peak memory MB"], rows
    )


if __name__ == "__main__":
    main()

"""Images through the application, through nginx by X-Accel, and from nginx alone; bytes of a page's first view.

    python -m benchmarks.delivery [--seconds 4] [--rounds 3] [--fields 24]

All ways send the same stored JPEG fields (drawn, 1600 x 1200) over loopback to the same number of kept connections, in
turns. The application runs as in production (gunicorn, 2 x 8 threads), nginx with the part of deploy/nginx.conf that
matters: an internal location that knows neither date nor ETag.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.results import Result, Table, add_options, report
from benchmarks.serving import Client, environment, free_port, gunicorn, production, setup, sign_in

NGINX = """worker_processes auto; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; server_tokens off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream web {{ server 127.0.0.1:{web}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000;
    location /plain/ {{ alias {blobs}/; default_type image/jpeg; }}
    location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https; }}
    location /_blobs/ {{ internal; alias {blobs}/; etag off; add_header Last-Modified "" always;
                        if_modified_since off; max_ranges 0; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, web: int, blobs: Path) -> Iterator[int]:
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, web=web, port=port, blobs=blobs), encoding="utf-8")
    process = subprocess.Popen([shutil.which("nginx") or "nginx", "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                if Client(port).get("/healthz")[0] == 200:
                    break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def prepare(data: Path, fields: int) -> tuple[list[Any], dict[str, str]]:
    """A slide of drawn fields and the cookies of those who ask."""
    from django.core.management import call_command

    from cases import services
    from cases.phantoms import draw_patient, encode_jpeg
    from leukoweb.core.models import User

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    for role in ("technician", "coordinator"):
        User.objects.create_user(username=role, password="not used", role=role)
    cohort = services.cohort_create(actor=None, name="Delivery", purpose="external", synthetic=True)
    slide = services.slide_ensure(actor=None, cohort=cohort, patient_code="D", slide_code="D-S1")
    for number, field in enumerate(draw_patient("AML", seed=3, style="dp73", n_fields=fields, width_px=1600), start=1):
        services.image_add(actor=None, slide=slide, data=encode_jpeg(field), name=f"{number}.jpg")
    return list(slide.images.order_by("position")), {r: sign_in(r) for r in ("technician", "coordinator")}


def throughput(port: int, paths: list[str], cookie: str, seconds: float, connections: int) -> tuple[float, float]:
    """(answers per second, MB per second) over several kept connections."""
    counts = [[0, 0] for _ in range(connections)]
    end = time.monotonic() + seconds

    def work(mine: list[int], offset: int) -> None:
        client, at = Client(port, cookie), offset
        while time.monotonic() < end:
            status, body, _ = client.get(paths[at % len(paths)])
            if status != 200:
                raise SystemExit(f"{paths[at % len(paths)]} answered {status}")
            mine[0], mine[1], at = mine[0] + 1, mine[1] + len(body), at + 1

    start = time.monotonic()
    threads = [threading.Thread(target=work, args=(counts[i], 7 * i)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    return sum(c[0] for c in counts) / took, sum(c[1] for c in counts) / took / 1e6


def delivery(ways: dict[str, tuple[int, list[str], str]], options: argparse.Namespace) -> Table:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (port, paths, cookie) in ways.items():
            found[name].append(throughput(port, paths, cookie, options.seconds, options.connections))
    base = statistics.median(r for r, _ in found["nginx, plain files"])
    rows = []
    for name, rounds in found.items():
        rate = statistics.median(r for r, _ in rounds)
        rows.append([name, rate, statistics.median(mb for _, mb in rounds), f"{100 * rate / base:.0f} %"])
    return Table(
        f"Images over {options.connections} connections",
        ["way", "a second", "MB a second", "of plain files"],
        rows,
        "The client, in Python, shares the cores; it is the same for all ways.",
    )


def first_view(port: int, cookie: str, pages: dict[str, str]) -> Table:
    """Bytes over the line of a page with its styles and scripts: first visit, and again."""
    rows = []
    for title, path in pages.items():
        client = Client(port, cookie)
        status, body, headers = client.get(path, Accept_Encoding="gzip")
        if status != 200:
            raise SystemExit(f"{path} answered {status}")
        page = len(body)
        text = (gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body).decode()
        assets = sorted(set(re.findall(r'(?:href|src)="(/static/[^"]+)"', text)))
        seen, wire, plain, kept = set(assets), 0, 0, 0
        queue = list(assets)
        while queue:
            asset = queue.pop()
            _, content, told = client.get(asset, Accept_Encoding="gzip")
            wire += len(content)
            kept += "immutable" in told.get("Cache-Control", "")
            raw = gzip.decompress(content) if told.get("Content-Encoding") == "gzip" else content
            plain += len(raw)
            if asset.endswith(".js"):
                for name in re.findall(rb'from\s*"(\./[^"]+)"', raw):
                    child = asset.rsplit("/", 1)[0] + name.decode()[1:]
                    if child not in seen:
                        seen.add(child)
                        queue.append(child)
        rows.append(
            [
                title,
                len(text.encode()) // 1000,
                page // 1000,
                len(seen),
                plain // 1000,
                wire // 1000,
                f"{kept} of {len(seen)}",
            ]
        )
    return Table(
        "First view of a page, kB",
        ["page", "HTML", "HTML sent", "static files", "their size", "sent", "kept for ever"],
        rows,
        "A second view sends the HTML again, which is never stored, and of the static files those not kept.",
    )


def thumbnails(images: list[Any]) -> Table:
    """Made when first asked for, then read from the cache."""
    from cases.services.content import thumbnail_of

    took: dict[str, list[float]] = {"made (first asked for)": [], "from the cache": []}
    for name, times in took.items():
        for image in images:
            start = time.perf_counter()
            thumbnail_of(image.content_sha256)
            times.append(1000 * (time.perf_counter() - start))
        del name
    rows = [[name, statistics.median(times), max(times)] for name, times in took.items()]
    return Table("Thumbnails", ["", "ms, median", "ms, most"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fields", type=int, default=24)
    parser.add_argument("--connections", type=int, default=4)
    add_options(parser)
    options = parser.parse_args()
    if not shutil.which("nginx"):
        raise SystemExit("This machine has no nginx (Debian and Ubuntu: apt-get install nginx-light).")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leukoweb-bench-")))
        folder.chmod(0o755)
        base = environment(
            folder, **production(DATABASE_URL=f"sqlite:///{folder}/db.sqlite3", STATIC_ROOT=str(folder / "static"))
        )
        setup(base)
        from django.conf import settings
        from django.core.management import call_command

        images, cookies = prepare(folder, options.fields)
        thumbs = thumbnails(images)
        call_command("collectstatic", interactive=False, verbosity=0)
        for path in Path(settings.BLOB_ROOT).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        web = stack.enter_context(gunicorn(base))
        behind = stack.enter_context(gunicorn(base | {"ACCEL_LOCATION": "/_blobs/"}))
        proxy = stack.enter_context(nginx(folder, behind, Path(settings.BLOB_ROOT)))
        files = [f"/plain/{i.content_sha256[:2]}/{i.content_sha256[2:4]}/{i.content_sha256}" for i in images]
        fields = [f"/images/{i.public_id}/" for i in images]
        small = [f"/images/{i.public_id}/thumb/" for i in images]
        who = cookies["technician"]
        ways = {
            "nginx, plain files": (proxy, files, ""),
            "nginx after asking the application (X-Accel)": (proxy, fields, who),
            "the application alone": (web, fields, who),
            "thumbnails, the application alone": (web, small, who),
        }
        pages = {
            "start page": "/",
            "slide with its images": f"/slides/{images[0].slide_id}/",
            "viewer of a field": f"/images/{images[0].public_id}/view/",
            "upload page": "/upload/",
        }
        tables = [delivery(ways, options), thumbs, first_view(web, who, pages)]
        report(Result("delivery", "python -m benchmarks.delivery", tables), options.results)


if __name__ == "__main__":
    main()

"""Production mode as deployed: PostgreSQL, gunicorn and the shipped nginx.conf, as processes on loopback."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from tests.cases.shell.pictures import picture
from tests.support import postgres

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.slow
NO_ID = "00000000-0000-4000-8000-000000000000"
HOST = "smears.example.org"  # as in earnest: the web answers to no other name

MAKE = """
import django; django.setup()
from pathlib import Path
from django.contrib.auth import get_user_model
from django.test import Client
from cases import services
user = get_user_model().objects.create_user("tech", password="correct horse", role="technician")
cohort = services.cohort_create(actor=user, name="C", purpose="external")
patient = services.patient_create(actor=user, cohort=cohort, code="P")
slide = services.slide_create(actor=user, patient=patient, code="S")
image = services.image_add(actor=user, slide=slide, data=Path({picture!r}).read_bytes(), name="AML_DOE.png").image
client = Client(); client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
import json
cookie = client.cookies["__Host-sessionid"].value
from tests.cases.shell.pictures import picture
from tests.reader_study.factories import make_study
from reader_study.models import ReadingSession
reader = get_user_model().objects.create_user("reader", password="correct horse", role="pathologist")
made = make_study(users=[reader], n_cases=3, n_fields=2, materialise=False)
own = made.study.cohort.patients.first().slides.get()
services.image_add(actor=user, slide=own, data=picture(77, fmt="JPEG"), name="CML_ROE.jpg")
from tests.reader_study.factories import manifest_of
from reader_study.services.orders import session_materialise
for case in made.cases:
    case.manifest = manifest_of(case.patient)
    case.save()
session = session_materialise(session=made.sessions[0], protocol=made.protocol)
ReadingSession.objects.filter(pk=session.pk).update(state="open")
desk = Client(); desk.force_login(reader, backend="django.contrib.auth.backends.ModelBackend")
tokens = [image.token for case in session.cases.all() for image in case.images.all()]
images = [f"/read/{{session.token}}/image/{{token}}/" for token in tokens]
print(json.dumps({{"id": str(image.public_id), "sha": image.content_sha256, "cookie": cookie,
                  "reader": desk.cookies["__Host-sessionid"].value, "read": images}}))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nginx_conf(folder: Path, data: Path, ports: dict[str, int]) -> Path:
    """The shipped file with this test's ports and paths; each replacement must find its place."""
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for old, new in {
        "/tmp/": f"{folder}/tmp/",  # first: the other paths hold it too
        "server web:8000": f"server 127.0.0.1:{ports['web']}",
        "listen 8080": f"listen 127.0.0.1:{ports['plain']}",
        "listen 8443": f"listen 127.0.0.1:{ports['tls']}",
        "/run/secrets/tls_certificate": f"{folder}/tls_certificate",
        "/run/secrets/tls_key": f"{folder}/tls_key",
        "alias /data/blobs/": f"alias {data}/blobs/",
        "worker_processes auto;": "worker_processes 1; daemon off; user root;" if os.getuid() == 0 else "daemon off;",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "nginx.conf"
    path.write_text(text)
    (folder / "tmp").mkdir()
    return path


class Site:
    def __init__(self, ports: dict[str, int], made: dict[str, str], env: dict[str, str]) -> None:
        self.ports, self.made, self.env = ports, made, env

    def get(self, path: str, *, cookie: str = "", headers: dict[str, str] | None = None) -> Any:
        trusting = ssl._create_unverified_context()
        connection = HTTPSConnection("127.0.0.1", self.ports["tls"], context=trusting, timeout=20)
        cookies = {"Cookie": f"__Host-sessionid={cookie}"} if cookie else {}
        connection.request("GET", path, headers={"Host": HOST, **cookies, **(headers or {})})
        response = connection.getresponse()
        response.content = response.read()  # type: ignore[attr-defined]
        return response


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bin_dir, nginx = postgres.programs(), shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if bin_dir is None or nginx is None:
        pytest.skip("needs PostgreSQL and nginx (Debian: apt-get install postgresql nginx-light)")
    folder = tmp_path_factory.mktemp("deploy")
    data = folder / "data"
    ports = {name: free_port() for name in ("web", "plain", "tls")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", folder / "tls_key", "-out", folder / "tls_certificate"], check=True, capture_output=True,
    )  # fmt: skip
    (folder / "field.png").write_bytes(picture(5))
    with postgres.server(bin_dir) as url:
        (folder / "key").write_text("0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRST")
        (folder / "url").write_text(url)
        env = {
            **os.environ,
            "LEUKOWEB_MODE": "production",
            "SECRET_KEY_FILE": str(folder / "key"),
            "ALLOWED_HOSTS": HOST,
            "DATABASE_URL_FILE": str(folder / "url"),
            "DATA_DIR": str(data),
            "ACCEL_LOCATION": "/_blobs/",
            "STATIC_ROOT": str(folder / "static"),
            "DJANGO_SETTINGS_MODULE": "leukoweb.settings",
            "PYTHONPATH": str(ROOT),
        }

        def python(*words: str) -> str:
            done = subprocess.run(
                [sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        python("manage.py", "migrate", "--noinput", "-v0")
        python("manage.py", "collectstatic", "--noinput", "-v0")
        made = json.loads(python("-c", MAKE.format(picture=str(folder / "field.png"))).strip().splitlines()[-1])
        commands = [
            [sys.executable, "-m", "gunicorn", "leukoweb.wsgi", "--bind", f"127.0.0.1:{ports['web']}", "--workers", "3",
             "--preload", "--threads", "2", "--worker-class", "gthread", "--no-control-socket"],
            [nginx, "-c", str(nginx_conf(folder, data, ports)), "-p", str(folder), "-e", str(folder / "nginx.log")],
        ]  # fmt: skip
        children = [subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL) for command in commands]
        try:
            ready = Site(ports, made, env)
            wait_until_up(ready)
            yield ready
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(20)


def wait_until_up(site: Site) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if site.get("/healthz").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("the site did not come up")


@pytest.mark.parametrize(
    ("hosts", "code"),
    [(HOST, 0), (f" .{HOST} , other.example.org", 0), ("another.example.org", 1), ("", 1)],
)
def test_the_images_own_health_check(site: Site, hosts: str, code: int) -> None:
    """The Dockerfile's HEALTHCHECK, word by word but for the port, against a web that answers to one name alone."""
    (text,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    words = [word.replace(":8000/", f":{site.ports['web']}/") for word in json.loads(text)]
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False,
        env=site.env | {"ALLOWED_HOSTS": hosts, "http_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("400" in done.stderr) == bool(code)


def test_an_image_comes_from_nginx_and_tells_nothing(site: Site) -> None:
    response = site.get(f"/images/{site.made['id']}/", cookie=site.made["cookie"])
    assert response.status == 200
    assert response.content[:8] == b"\x89PNG\r\n\x1a\n"
    names = {name.lower() for name, _ in response.getheaders()}
    assert names.isdisjoint({"etag", "last-modified", "content-disposition", "x-accel-redirect", "accept-ranges"})
    assert response.getheader("Cache-Control") == "private, max-age=31536000, immutable"
    assert "AML" not in str(response.getheaders())
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert "sandbox" in response.getheader("Content-Security-Policy")
    assert response.getheader("Strict-Transport-Security") == "max-age=31536000; includeSubDomains; preload"


def test_a_blinded_readers_images_differ_in_nothing_but_their_pixels(site: Site) -> None:
    """Seven fields of three cases, JPEG and PNG, sent by nginx: the same headers but for the type and the length."""
    telling = {"etag", "last-modified", "content-disposition", "x-accel-redirect", "accept-ranges", "x-request-id",
               "expires", "age", "server-timing"}  # fmt: skip
    seen, bodies = set(), set()
    for path in site.made["read"]:
        response = site.get(path, cookie=site.made["reader"])
        assert response.status == 200, path
        names = {name.lower() for name, _ in response.getheaders()}
        assert names.isdisjoint(telling), names & telling
        assert response.getheader("Cache-Control") == "no-store, private"
        kind = "image/jpeg" if response.content[:3] == b"\xff\xd8\xff" else "image/png"
        assert response.getheader("Content-Type") == kind
        assert int(response.getheader("Content-Length")) == len(response.content)
        own = {"Content-Type", "Content-Length", "Date"}
        seen.add(tuple(sorted((k, v) for k, v in response.getheaders() if k not in own)))
        bodies.add(response.content)
        for asked in ({"Range": "bytes=0-9"}, {"If-Modified-Since": "Sat, 01 Jan 2050 00:00:00 GMT"}):
            again = site.get(path, cookie=site.made["reader"], headers=asked)
            assert (again.status, again.content) == (200, response.content), asked
    assert len(seen) == 1, seen
    assert len(bodies) == len(site.made["read"]) == 7
    never = [site.get(path.replace("/image/", new), cookie=site.made["reader"]) for new in ("/image/x", "/image/y")]
    assert {answer.status for answer in never} == {404}
    assert never[0].content == never[1].content


@pytest.mark.parametrize(
    "path", ["/_blobs/{a}/{b}/{sha}", "/_blobs/", "/_blobs/../", "/%5fblobs/{a}/{b}/{sha}", "//_blobs/{a}/{b}/{sha}",
             "/media/{a}/{b}/{sha}", "/_blobs%2f{a}%2f{b}%2f{sha}", "/static/../_blobs/{a}/{b}/{sha}"],
)  # fmt: skip
def test_stored_files_have_no_address_of_their_own(site: Site, path: str) -> None:
    sha = site.made["sha"]
    response = site.get(path.format(a=sha[:2], b=sha[2:4], sha=sha), cookie=site.made["cookie"])
    assert response.status in (400, 404)
    assert b"PNG" not in response.content[:8]


def test_pages_are_compressed_but_not_those_of_blinded_readers(site: Site) -> None:
    asked = {"Accept-Encoding": "gzip"}
    page = site.get("/accounts/login/", headers=asked)
    assert page.getheader("Content-Encoding") == "gzip"
    assert b"csrfmiddlewaretoken" in gzip.decompress(page.content)
    assert "Accept-Encoding" in (page.getheader("Vary") or "")
    for path in ("/read/", "/read/none/state/"):
        assert site.get(path, cookie=site.made["cookie"], headers=asked).getheader("Content-Encoding") is None, path


def test_visitors_get_no_pixels(site: Site) -> None:
    assert site.get(f"/images/{site.made['id']}/").status == 302


def test_everything_is_on_tls(site: Site) -> None:
    with pytest.raises(urllib.error.HTTPError) as answer:
        request = urllib.request.Request(f"http://127.0.0.1:{site.ports['plain']}/", headers={"Host": HOST})
        urllib.request.build_opener(NoRedirects).open(request, timeout=10)
    assert answer.value.code == 301
    assert answer.value.headers["Location"].startswith(f"https://{HOST}")
    page = site.get("/accounts/login/")
    assert page.getheader("Strict-Transport-Security")
    assert "script-src 'self'" in page.getheader("Content-Security-Policy")
    cookie = page.getheader("Set-Cookie") or ""
    assert re.search(r"__Host-csrftoken=.*Path=/; SameSite=Lax; Secure", cookie)


FILES = (f"/api/v1/uploads/{NO_ID}/items/1/", "/api/v1/datasets/import/", "/datasets/import/", "/models/import/",
         f"/studies/{NO_ID}/readings/import/", f"/studies/{NO_ID}/imported-ai/")  # fmt: skip


def begin(site: Site, path: str, length: int, token: str) -> HTTPSConnection:
    """The head of a form of that length and its first bytes."""
    trusting = ssl._create_unverified_context()
    connection = HTTPSConnection("127.0.0.1", site.ports["tls"], context=trusting, timeout=20)
    connection.putrequest("PUT" if "/items/" in path else "POST", path, skip_host=True)
    headers = {
        "Host": HOST, "Content-Length": str(length), "Cookie": f"__Host-csrftoken={token}",
        "Content-Type": "multipart/form-data; boundary=x", "Referer": f"https://{HOST}/",
    }  # fmt: skip
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(b"--x\r\n")
    return connection


def test_slow_senders_hold_no_thread_of_the_application(site: Site) -> None:
    """Twelve visitors for six threads, each with a page's own token, send the beginning of a form and no more."""
    token = re.search(r"__Host-csrftoken=(\w+)", site.get("/accounts/login/").getheader("Set-Cookie") or "")
    assert token is not None
    for path in ("/accounts/login/", "/datasets/import/"):
        held = [begin(site, path, 100_000, token[1]) for _ in range(12)]
        for _ in range(3):
            assert site.get("/healthz").status == 200, path
        for connection in held:
            connection.close()


def test_only_what_takes_files_takes_much(site: Site) -> None:
    """Asked by the announced length alone: nothing large is sent."""
    for path in FILES:
        assert begin(site, path, 50_000_000, "x").getresponse().status in (302, 401, 403), path
    for path in ("/accounts/login/", "/read/x/answer/", "/api/v1/uploads/", f"/studies/{NO_ID}/draft/upload/"):
        assert begin(site, path, 11_000_000, "x").getresponse().status == 413, path


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def test_the_password_limit_holds_over_three_web_processes_and_forged_addresses(site: Site) -> None:
    """Five wrong tries in all, however many processes answer and whatever X-Forwarded-For the client writes.

    Also under other ports of the name: forms are taken there, and counted together.
    """
    told = []
    for number in range(9):
        page = site.get("/accounts/login/")
        token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page.content)
        assert token is not None
        connection = HTTPSConnection(
            "127.0.0.1", site.ports["tls"], context=ssl._create_unverified_context(), timeout=20
        )
        cookie = (page.getheader("Set-Cookie") or "").split(";")[0]
        body = f"csrfmiddlewaretoken={token[1].decode()}&login=tech&password=wrong{number}"
        connection.request("POST", "/accounts/login/", body=body, headers={
            "Host": f"{HOST}:{8440 + number}", "Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"https://{HOST}:{8440 + number}", "X-Forwarded-For": f"10.0.0.{number}",
        })  # fmt: skip
        answer = connection.getresponse()
        told.append(b"Too many failed" in answer.read())
    assert told == [False] * 5 + [True] * 4

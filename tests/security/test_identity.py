"""Planted names, numbers and dates: in what a file carries and in what it is called. They end where docs/security.md
says that they may (the two restricted tables of original names), and nowhere else."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from PIL import Image, PngImagePlugin, TiffImagePlugin

from cases.models import HpfImage, Slide, UploadItem
from leukoweb.core.models import Job
from leukoweb.core.storage import blobs
from tests.cases.image_files import exif, field, insert_chunks, insert_segments, saved, segment
from tests.security.test_routes import ROWS

pytestmark = pytest.mark.django_db(transaction=True)

NAME, NUMBER, DATE = "CANARYDOE", "CANARY900017", "CANARY19700102"
SECRET = f"{NAME}^JANE {NUMBER} {DATE}"
PLANTED = SECRET.encode()
# What may hold an original file name: people with names.view alone get there (docs/roles.md), never a blind request.
MAY_HOLD = {("cases_imageoriginalname", "name"), ("cases_uploaditem", "path"), ("cases_uploaditem", "message")}


def tags() -> Image.Exif:
    found = exif()
    for tag in (0x010E, 0x013B, 0x0132, 0x8298, 0x9C9B, 0x9C9D, 0xA430, 0xA431):
        found[tag] = SECRET
    return found


def iptc() -> bytes:
    record = b"\x1c\x02\x78" + len(PLANTED).to_bytes(2, "big") + PLANTED
    resource = b"8BIM\x04\x04\x00\x00" + len(record).to_bytes(4, "big") + record + b"\x00" * (len(record) % 2)
    return segment(0xED, b"Photoshop 3.0\x00" + resource)


def carriers() -> dict[str, tuple[str, bytes]]:
    """``{carrier: (extension, bytes)}``, each a good image that holds the secret in one place."""
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + PLANTED + b"</x:xmpmeta>"
    adobe = b"Adobe\x00\x64\x00\x00\x00\x00\x01" + PLANTED
    plain = [saved(field(seed=n), "JPEG") for n in range(10, 30)]
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", SECRET)
    packed = PngImagePlugin.PngInfo()
    packed.add_text("Patient", SECRET, zip=True)
    itxt = PngImagePlugin.PngInfo()
    itxt.add_itxt("Patient", SECRET)
    tiff = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (270, 305, 315, 316, 33432, 269):
        tiff[tag] = SECRET
    tiff[271] = NUMBER  # short enough for the line that Pillow writes about each tag while it debugs
    return {
        "EXIF": ("jpg", saved(field(seed=1), "JPEG", exif=tags())),
        "EXIF of a turned image": ("jpg", saved(field(seed=2), "JPEG", exif=_turned())),
        "XMP": ("jpg", insert_segments(plain[0], segment(0xE1, xmp))),
        "IPTC": ("jpg", insert_segments(plain[1], iptc())),
        "JPEG comment": ("jpg", saved(field(seed=3), "JPEG", comment=PLANTED)),
        "unknown JPEG segments": ("jpg", insert_segments(plain[2], *(segment(m, PLANTED) for m in range(0xE3, 0xED)))),
        "Adobe segment": ("jpg", insert_segments(plain[3], segment(0xEE, adobe))),
        "JFIF extension": ("jpg", insert_segments(plain[5], segment(0xE0, b"JFXX\x00\x13" + PLANTED))),
        "ICC chunk that is none": ("jpg", insert_segments(plain[6], segment(0xE2, b"MPF\x00" + PLANTED))),
        "behind the JPEG's end": ("jpg", plain[4] + PLANTED),
        "PNG tEXt": ("png", saved(field(seed=4), "PNG", pnginfo=text)),
        "PNG zTXt": ("png", saved(field(seed=5), "PNG", pnginfo=packed)),
        "PNG iTXt": ("png", saved(field(seed=6), "PNG", pnginfo=itxt)),
        "PNG eXIf": ("png", saved(field(seed=7), "PNG", exif=tags())),
        "unknown PNG chunk": ("png", insert_chunks(saved(field(seed=8), "PNG"), _chunk(b"caNr"))),
        "behind the PNG's end": ("png", saved(field(seed=9), "PNG") + PLANTED),
        "TIFF tags": ("tif", saved(field(seed=40), "TIFF", tiffinfo=tiff)),
        "behind the BMP's pixels": ("bmp", saved(field(seed=41), "BMP") + PLANTED),
    }  # fmt: skip


def _encrypted(archive: bytes) -> bytes:
    """Says in the central directory that the first member is."""
    data = bytearray(archive)
    data[archive.index(b"PK\x01\x02") + 8] |= 0x01
    return bytes(data)


def _turned() -> Image.Exif:
    found = tags()
    found[0x0112] = 6
    return found


def _chunk(kind: bytes) -> bytes:
    from tests.cases.image_files import chunk

    return chunk(kind, PLANTED)


CARRIERS = carriers()


def name_of(number: int, ending: str, way: str) -> str:
    return f"{NAME}_{NUMBER}/{DATE}/{way}_{NAME}_{NUMBER}_{number}.{ending}"


def holds(data: bytes) -> bool:
    lowered = data.lower()
    return any(word.lower().encode(code) in lowered for word in (NAME, NUMBER, DATE) for code in ("utf-8", "utf-16-le"))


def test_the_plants_are_really_there() -> None:
    for carrier, (ending, data) in CARRIERS.items():
        if carrier == "PNG zTXt":
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                assert holds(str(image.info).encode()), carrier
        else:
            assert holds(data), carrier
        assert ending in ("jpg", "png", "tif", "bmp")


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that any logger says, at the lowest level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


class Clinic:
    """Sends the same plants by each way, into a slide for each."""

    def __init__(self, client: Client, run_jobs: Callable[[], int], folder: Path) -> None:
        from cases import services

        self.client, self.run_jobs, self.folder = client, run_jobs, folder
        self.actor = client.user  # type: ignore[attr-defined]
        self.cohort = services.cohort_create(actor=self.actor, name="C", purpose="external")
        self.slides: dict[str, Slide] = {}
        for way in ("put", "zip"):
            patient = services.patient_create(actor=self.actor, cohort=self.cohort, code=f"P-{way}")
            self.slides[way] = services.slide_create(actor=self.actor, patient=patient, code=f"S-{way}")

    def manifest(self, way: str, files: list[dict[str, Any]]) -> Any:
        body = {"slide": self.slides[way].pk, "files": files}
        answer = self.client.post("/api/v1/uploads/", json.dumps(body), content_type="application/json")
        assert answer.status_code == 201, answer.content
        return answer.json()

    def send(self, batch: Any, item: Any, data: bytes) -> int:
        address = f"/api/v1/uploads/{batch['id']}/items/{item['id']}/"
        return self.client.put(address, data, content_type="application/octet-stream").status_code

    def by_put(self) -> None:
        named = [(name_of(n, ending, "put"), data) for n, (ending, data) in enumerate(CARRIERS.values())]
        named.append((name_of(99, "jpg", "put"), b"not an image " + PLANTED))  # the refusal names the file
        batch = self.manifest("put", [
            {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in named
        ])  # fmt: skip
        told = [self.send(batch, item, data) for item, (_, data) in zip(batch["items"], named, strict=True)]
        assert told[:-1] == [200] * len(CARRIERS)
        assert told[-1] == 400

    def by_zip(self) -> None:
        buffer = io.BytesIO()
        paths = [name_of(n, ending, "zip") for n, (ending, _) in enumerate(CARRIERS.values())]
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.comment = PLANTED
            for path, (_, data) in zip(paths, CARRIERS.values(), strict=True):
                info = zipfile.ZipInfo(path)
                info.comment = PLANTED
                info.extra = b"\xfe\xca" + len(PLANTED).to_bytes(2, "little") + PLANTED
                archive.writestr(info, data)
        data, name = buffer.getvalue(), f"{NAME}_{NUMBER}.zip"
        files = [{"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "archive": True}]
        files += [
            {"path": f"{name}/{path}", "size": len(image), "member_of": name}
            for path, (_, image) in zip(paths, CARRIERS.values(), strict=True)
        ]
        batch = self.manifest("zip", files)
        archive_item = next(item for item in batch["items"] if item["archive"])
        assert self.send(batch, archive_item, data) == 202
        assert self.run_jobs() >= 1

    def by_refused_zips(self) -> None:
        """Archives that are refused as a whole, each by a message that names the files at fault."""
        self.refused = []
        bad = {
            "encrypted": ([name_of(0, "jpg", "bad")], lambda data: _encrypted(data)),
            "nested": ([name_of(1, "zip", "bad")], bytes),
            "case": ([name_of(2, "jpg", "bad"), name_of(2, "JPG", "bad")], bytes),
            "unannounced": ([name_of(3, "zip", "bad")], bytes),
        }
        for what, (paths, spoil) in bad.items():
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                for path in paths:
                    archive.writestr(path, b"x")
            data, name = spoil(buffer.getvalue()), f"{what}_{NAME}_{NUMBER}.zip"
            files = [{"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "archive": True}]
            if what != "unannounced":
                files += [{"path": f"{name}/{path}", "size": 1, "member_of": name} for path in paths]
            batch = self.manifest("zip", files)
            assert self.send(batch, batch["items"][0], data) == 202
            self.refused.append(batch["items"][0]["id"])
        assert self.run_jobs() == len(bad)

    def by_import(self) -> None:
        root, rows = self.folder / "import", ["file,patient,slide,reference"]
        for number, (ending, data) in enumerate(CARRIERS.values()):
            path = root / name_of(number, ending, "import")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            rows.append(f"{path.relative_to(root)},P-import,S-import,AML")
        table = self.folder / f"{NAME}_{NUMBER}.csv"
        table.write_text("\n".join(rows) + "\n")
        try:
            call_command("import_slides", str(root), cohort="C", csv=table, stdout=io.StringIO(), stderr=io.StringIO())
        except CommandError as error:  # pragma: no cover
            raise AssertionError(str(error)) from error
        self.slides["import"] = Slide.objects.get(code="S-import")


@pytest.fixture
def clinic(
    as_role: Callable[[str], Client], run_jobs: Callable[[], int], tmp_path: Path, logged: io.StringIO
) -> Clinic:
    made = Clinic(as_role("technician"), run_jobs, tmp_path)
    made.by_put()
    made.by_zip()
    made.by_refused_zips()
    made.by_import()
    return made


def cells() -> Iterator[tuple[str, str, str]]:
    """(table, column, text) of every column that can hold text, in every table of the database."""
    for model in apps.get_models(include_auto_created=True):
        table = model._meta.db_table
        columns = [str(f.column) for f in model._meta.local_concrete_fields]
        quoted = ", ".join(connection.ops.quote_name(name) for name in columns)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {quoted} FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    if isinstance(value, bytes | memoryview):
                        yield table, column, bytes(value).decode("latin-1")
                    elif value is not None:
                        yield table, column, str(value)


def pages(client: Client) -> Iterator[tuple[str, Any]]:
    """Every page that this client can read by following links, beginning at the start page."""
    waiting, seen = ["/"], set()
    while waiting:
        address = waiting.pop()
        if address in seen or len(seen) > 400:
            continue
        seen.add(address)
        response = client.get(address)
        if response.status_code != 200:
            continue
        body = b"".join(response.streaming_content) if response.streaming else response.content
        yield address, (response, body)
        if "html" in response.get("Content-Type", ""):
            found = re.findall(r'(?:href|src|data-url)="(/[^"#]*)', body.decode())
            waiting += [a for a in found if not a.startswith(("/static/", "/accounts/logout"))]


def test_nothing_of_an_identity_is_left_where_it_may_not_be(
    clinic: Clinic, logged: io.StringIO, tmp_path: Path, as_role: Callable[[str], Client], settings: Any,
    run_jobs: Callable[[], int],
) -> None:  # fmt: skip
    # what was refused is said in full to whoever sent it, where a withdrawal finds it, and told on nameless
    told = list(UploadItem.objects.filter(pk__in=clinic.refused).order_by("pk").values_list("code", "message"))
    assert [code for code, _ in told] == ["E_ZIP_ENCRYPTED", "E_ZIP_NESTED", "E_ZIP_CASE", "E_ZIP_NESTED"]
    assert [holds(message.encode()) for _, message in told] == [True, True, True, False]
    members = UploadItem.objects.filter(archive__in=clinic.refused)
    assert members.count() == 4
    assert not any(holds(member.message.encode()) or not member.message for member in members)
    errors = [job.error for job in Job.objects.filter(status=Job.Status.FAILED).order_by("created_at")]
    assert errors[0] == "Members of the archive are encrypted: 1."
    # the pixels: all arrived, by every way, and none carries a plant
    assert HpfImage.objects.count() == 3 * len(CARRIERS)
    assert len(set(blobs().names())) == len(CARRIERS), "the three ways clean to the same bytes"
    for folder in (settings.BLOB_ROOT, settings.CACHE_ROOT, tmp_path / "uploads"):
        for path in Path(folder).rglob("*"):
            assert not path.is_file() or not holds(path.read_bytes()), path
            assert not holds(str(path.relative_to(folder)).encode()), path
    # every table
    leaks = {(table, column) for table, column, text in cells() if holds(text.encode("utf-8", "surrogatepass"))}
    assert leaks <= MAY_HOLD, leaks - MAY_HOLD
    assert ("cases_imageoriginalname", "name") in leaks, "original names are kept where they may be"
    # the log
    assert "api/v1/uploads/" in logged.getvalue(), "something was logged at all"
    assert [line for line in logged.getvalue().splitlines() if holds(line.encode())] == []
    # pages, pictures, JSON and their headers and addresses, for each role
    for role in ("pathologist", "coordinator", "admin", "technician"):
        client = as_role(role)
        for address, (response, body) in pages(client):
            assert not holds(address.encode()), address
            assert not holds(str(response.headers).encode()), address
            if role in ("pathologist", "coordinator"):
                assert not holds(body), (role, address)


def test_backup_and_its_manifest_name_no_file(clinic: Clinic, tmp_path: Path) -> None:
    from leukoweb.backup.service import backup_take

    report = backup_take(tmp_path / "backups")
    assert not holds((report.folder / "manifest.json").read_bytes())
    for path in (tmp_path / "backups" / "blobs").rglob("*"):
        assert not path.is_file() or not holds(path.read_bytes()), path


def test_a_withdrawal_reaches_what_a_refused_zip_left(clinic: Clinic, admin_user: Any) -> None:
    from cases.services.withdrawals import patient_withdraw

    patient_withdraw(actor=admin_user, patient=clinic.slides["zip"].patient, reason="Withdrew consent")
    left = UploadItem.objects.filter(slide__code="S-zip") | UploadItem.objects.filter(pk__in=clinic.refused)
    assert left.exists()
    assert not any(holds(f"{item.path} {item.message} {item.hint}".encode()) for item in left)


def named_after_a_person(image: HpfImage) -> None:
    from cases.models import ImageOriginalName

    ImageOriginalName.objects.update_or_create(image=image, defaults={"name": name_of(image.pk, "jpg", "export")})


def test_datasets_name_no_file(admin_user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from cases.services.dataset_exports import LAYOUTS, dataset_export
    from cases.services.datasets import dataset_freeze
    from leukoweb.core.storage import BlobStore
    from tests.cases.datasets.rows import SMALL, choices_of, cohort_make, labelled

    cohort, labels = cohort_make("Training", SMALL)
    for image in HpfImage.objects.all():
        named_after_a_person(image)
    version = dataset_freeze(actor=admin_user, name="Set", choices=choices_of([cohort], [labelled(cohort, labels)]))
    read = BlobStore.read
    monkeypatch.setattr(BlobStore, "lost", lambda self, contents: [])
    monkeypatch.setattr(BlobStore, "read", lambda self, sha: read(self, sha) if self.exists(sha) else b"pixels")
    for layout in LAYOUTS:
        data = b"".join(dataset_export(actor=admin_user, version=version, layout=layout))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert len(archive.namelist()) > 10
            for name in archive.namelist():
                assert not holds(name.encode()), name
                assert not holds(archive.read(name)), name


def test_what_a_study_bundle_is_made_of_names_no_file(make_user: Callable[..., Any]) -> None:
    from reader_study.selectors.analysis_inputs import study_inputs
    from tests.reader_study.factories import make_study

    made = make_study(users=[make_user("pathologist")], coordinator=make_user("coordinator"), n_cases=2)
    for image in HpfImage.objects.all():
        named_after_a_person(image)
    document = study_inputs(made.study, interim=True, reason="A test")
    assert document["cases"]
    assert not holds(json.dumps(document, default=str).encode())


def test_every_address_is_made_of_ids_and_tokens() -> None:
    """No converter of an address takes a file name, except the fixed names of an analysis' files."""
    free = {row.address for row in ROWS.values() if re.search(r"<str:(?!session|case|image|secret)", row.address)}
    assert {a for a in free if "<str:name>" in a} == {"analyses/<uuid:analysis>/files/<str:name>"}

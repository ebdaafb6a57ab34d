"""The bucket keeps the promises of the folder. A real S3 protocol over loopback: moto's server in a thread."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from leukoweb.core.buckets import BucketStore, bucket_store
from leukoweb.core.exceptions import NotFound, StorageDown
from leukoweb.core.storage import BlobStore, blobs
from tests.cases.shell.pictures import picture

moto_server = pytest.importorskip("moto.server", reason="moto's server is not installed (extra dev)")
BUCKET = "leukoweb-test"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str, settings: Any, tmp_path: Path) -> BucketStore:
    """The installation's own store; the bucket is empty."""
    settings.S3 = {
        "bucket": BUCKET, "endpoint": endpoint, "region": "us-east-1", "access_key": "key", "secret_key": "secret",
    }  # fmt: skip
    found = bucket_store(tmp_path / "blobs")
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=20)
    found.client.create_bucket(Bucket=BUCKET)
    return found


def test_put_read_and_list(store: BucketStore) -> None:
    name = store.put(b"pixels")
    assert name == hashlib.sha256(b"pixels").hexdigest()
    assert (store.read(name), store.size(name), store.exists(name)) == (b"pixels", 6, True)
    assert store.intact(name)
    assert store.put(b"pixels") == name
    assert list(store.names()) == [name]
    assert not store.root.exists(), "nothing is kept on the local disk"


def test_more_objects_than_one_page_are_listed(store: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = sorted(store.put(bytes([n])) for n in range(7))
    listing = store.client.list_objects_v2
    monkeypatch.setattr(store.client, "list_objects_v2", lambda **asked: listing(**asked, MaxKeys=3))
    assert sorted(store.names()) == wanted


def test_what_is_not_there_is_said(store: BucketStore) -> None:
    absent = "0" * 64
    assert (store.exists(absent), store.size(absent), store.intact(absent)) == (False, None, False)
    with pytest.raises(NotFound):
        store.read(absent)
    store.purge(absent)


def test_other_bytes_under_a_name_are_refused_or_found(store: BucketStore) -> None:
    name = store.put(b"pixels")
    store.client.put_object(Bucket=BUCKET, Key=store.key(name), Body=b"pixelz")
    assert store.exists(name)
    assert not store.intact(name)


def test_sweep_takes_old_orphans_only(store: BucketStore) -> None:
    kept, orphan = store.put(b"kept"), store.put(b"orphan")
    assert store.sweep([kept]) == 0, "young"
    assert store.sweep([kept], older_than_s=-5) == 1
    assert list(store.names()) == [kept]
    assert not store.exists(orphan)


def test_strange_objects_in_the_bucket_are_left_alone(store: BucketStore) -> None:
    store.client.put_object(Bucket=BUCKET, Key="blobs/readme.txt", Body=b"x")
    assert list(store.names()) == []
    assert store.sweep([], older_than_s=-5) == 0


def test_a_dead_store_is_said(settings: Any, tmp_path: Path) -> None:
    from leukoweb.core.buckets import _client

    client = _client("http://127.0.0.1:9", "us-east-1", "key", "secret")
    client.meta.config.retries = {"total_max_attempts": 1}
    with pytest.raises(StorageDown, match="does not answer"):
        BucketStore(tmp_path, client, BUCKET).put(b"x")


def test_files_travel_between_folder_and_bucket(store: BucketStore, tmp_path: Path) -> None:
    folder = BlobStore(tmp_path / "pool")
    name = folder.put(b"weights")
    store.copy_in(name, folder)
    back = BlobStore(tmp_path / "other")
    back.copy_in(name, store)
    assert back.read(name) == b"weights"
    assert back.path(name).stat().st_mode & 0o777 == 0o640, "the proxy's group reads it"


@pytest.mark.django_db
def test_upload_read_verify_and_backup(
    store: BucketStore, endpoint: str, as_role: Callable[[str], Client], settings: Any, tmp_path: Path
) -> None:
    """A field goes through the API into the bucket, through the application to the browser, and into a backup."""
    from cases import services
    from cases.models import HpfImage
    from leukoweb.backup.media import files_copy, files_damaged

    settings.ACCEL_LOCATION = "/_blobs/"  # there is no local file that the proxy could send
    client = as_role("technician")
    actor = client.user  # type: ignore[attr-defined]
    cohort = services.cohort_create(actor=actor, name="C", purpose="external")
    patient = services.patient_create(actor=actor, cohort=cohort, code="P")
    slide = services.slide_create(actor=actor, patient=patient, code="S")
    data = picture(1)
    files = [{"path": "field.png", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
    made = client.post("/api/v1/uploads/", {"slide": slide.pk, "files": files}, "application/json").json()
    address = f"/api/v1/uploads/{made['id']}/items/{made['items'][0]['id']}/"
    assert client.put(address, data, "application/octet-stream").status_code in (200, 201)
    image = HpfImage.objects.get()
    assert list(blobs().names()) == [image.content_sha256]
    response = client.get(f"/images/{image.public_id}/")
    assert b"".join(response.streaming_content) == store.read(image.content_sha256)
    assert "X-Accel-Redirect" not in response
    assert {"ETag", "Last-Modified", "Content-Disposition", "Location"}.isdisjoint(response.headers)
    assert endpoint not in str(response.headers)
    assert client.get(f"/images/{image.public_id}/thumb/").status_code == 200
    call_command("verify_media")
    pool = BlobStore(tmp_path / "backups" / "blobs")
    assert files_copy([image.content_sha256], blobs(), pool) == (1, [])
    assert files_damaged([image.content_sha256], pool) == []
    store.client.put_object(Bucket=BUCKET, Key=store.key(image.content_sha256), Body=b"rotten")
    with pytest.raises(CommandError, match="1 images"):
        call_command("verify_media")


def test_nobody_reads_the_bucket_without_the_key(store: BucketStore, endpoint: str) -> None:
    """We give no access rule to an object and sign no address; moto checks neither, so the requests are looked at."""
    sent: list[Any] = []
    store.client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request))
    store.read(store.put(b"pixels"))
    assert {request.method for request in sent} == {"PUT", "GET"}
    for request in sent:
        assert "acl" not in request.url.lower()
        assert not any(name.lower() == "x-amz-acl" for name in request.headers)
        assert request.headers["Authorization"]
        assert "X-Amz-Signature" not in request.url


def test_production_names_the_missing_key(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    env = {**os.environ, "S3_BUCKET": "b", "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "leukoweb.settings"}
    env.pop("S3_ACCESS_KEY", None)
    words = [sys.executable, "-c", "import django; django.setup()"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "S3_ACCESS_KEY is not set" in done.stderr.strip().splitlines()[-1]

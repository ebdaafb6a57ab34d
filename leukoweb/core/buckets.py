"""Blobs in an S3-compatible bucket. The same promises as the folder: complete or not there, named by its hash.

Every byte passes through this application: no address of the bucket is ever given to a browser, no object has an
access rule of its own, and nothing is signed for somebody else to fetch. Nothing is kept on the local disk, so a
withdrawn patient's pixels are gone when they are gone from the bucket (and its backups).
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from leukoweb.core.exceptions import NotFound, StorageDown
from leukoweb.core.storage import BlobStore

MISSING = ("404", "NoSuchKey", "NotFound")


class BucketStore(BlobStore):
    """``root`` only gives keys their form (``aa/bb/<sha256>``); there is no folder.

    A put is one request with the hash of its content, which the store compares before the object appears.
    """

    def __init__(self, root: Path, client: Any, bucket: str, prefix: str = "blobs/") -> None:
        super().__init__(root)
        self.client, self.bucket, self.prefix = client, bucket, prefix

    def key(self, sha256: str) -> str:
        return self.prefix + self.path(sha256).relative_to(self.root).as_posix()

    def exists(self, sha256: str) -> bool:
        return self.size(sha256) is not None

    def lost(self, contents: Iterable[str]) -> list[str]:
        return []

    def size(self, sha256: str) -> int | None:
        try:
            return int(self._ask("head_object", Key=self.key(sha256))["ContentLength"])
        except NotFound:
            return None

    def open(self, sha256: str) -> tuple[IO[bytes], int]:
        answer = self._ask("get_object", Key=self.key(sha256))
        return answer["Body"], int(answer["ContentLength"])

    def internal_address(self, sha256: str) -> str:
        return ""

    def put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        self._put(sha256, data)  # also where it is there already: young again, so the sweep leaves it alone
        return sha256

    def copy_in(self, sha256: str, source: BlobStore) -> None:
        self._put(sha256, source.read(sha256))

    def _put(self, sha256: str, data: bytes) -> None:
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        self._ask("put_object", Key=self.key(sha256), Body=data, ChecksumSHA256=digest)

    def purge(self, sha256: str) -> None:
        self._ask("delete_object", Key=self.key(sha256))

    def names(self) -> Iterator[str]:
        for name, _ in self._objects():
            yield name

    def sweep(self, keep: Iterable[str], *, older_than_s: float = 24 * 3600) -> int:
        wanted, limit, removed = set(keep), time.time() - older_than_s, 0
        for name, modified in self._objects():
            if name not in wanted and modified < limit:
                self.purge(name)
                removed += 1
        return removed

    def _objects(self) -> Iterator[tuple[str, float]]:
        """(name, time of writing) of everything below the prefix that has the form of a blob."""
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=self.prefix, **more)
            for one in page.get("Contents", []):
                name = one["Key"].rpartition("/")[2]
                if len(name) == 64 and one["Key"] == self.key(name):
                    yield name, one["LastModified"].timestamp()
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _ask(self, operation: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self.client, operation)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in MISSING:
                raise NotFound(
                    "The stored file is missing.", hint="Tell your admin: `manage.py verify_media`."
                ) from error
            raise _down(f"refused ({code})") from error
        except BotoCoreError as error:
            raise _down("does not answer") from error


def _down(what: str) -> StorageDown:
    return StorageDown(f"The object store {what}.", hint="Nothing was changed. Try again, or tell your admin.")


@lru_cache(maxsize=1)
def _client(endpoint: str, region: str, access_key: str, secret_key: str) -> Any:
    """One client a process; clients of boto3 may be used by several threads."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ImproperlyConfigured("S3_BUCKET is set, but boto3 is missing: install leukoweb[s3].") from error
    config = Config(
        connect_timeout=5, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"}, proxies={},
        signature_version="s3v4", s3={"addressing_style": "path"},
    )  # fmt: skip
    return boto3.client(
        "s3", endpoint_url=endpoint or None, region_name=region, aws_access_key_id=access_key,
        aws_secret_access_key=secret_key, config=config,
    )  # fmt: skip


def bucket_store(root: Path) -> BucketStore:
    s3 = settings.S3
    return BucketStore(root, _client(s3["endpoint"], s3["region"], s3["access_key"], s3["secret_key"]), s3["bucket"])

"""The person behind a request, what its address names, and the bytes of a stored file as a response."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Iterable
from wsgiref.util import FileWrapper

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import url_has_allowed_host_and_scheme

from leukoweb.core.exceptions import NotAllowed, NotFound
from leukoweb.core.models import User
from leukoweb.core.storage import blobs

CHUNK_BYTES = 1 << 18


def person(request: HttpRequest) -> User:
    """Who asks. Only for views behind ``@requires``: a visitor cannot get there."""
    if not isinstance(request.user, User):
        raise NotAllowed("Sign in first.", code="E_LOGIN")
    return request.user


def whole_number(text: str | None) -> int | None:
    """The number that an address or a hidden field holds; None where it is none that the database could hold.

    ``int`` alone raises at a letter, at a superscript two (which ``isdigit`` lets through) and at 5,000 digits.
    """
    return int(text) if text and len(text) <= 9 and text.isascii() and text.isdecimal() else None


def query_kept(request: HttpRequest, names: Collection[str]) -> str:
    """The filters of this address, for the links to its other pages: those of ``names`` that are set."""
    kept = request.GET.copy()
    for name in [name for name in kept if name not in names or not kept[name]]:
        del kept[name]
    return kept.urlencode()


def next_of(request: HttpRequest) -> str:
    """The page of ours that ``?next=`` names as the one to go to afterwards; empty where it names none."""
    named = request.GET.get("next", "")
    return named if named.startswith("/") and url_has_allowed_host_and_scheme(named, allowed_hosts=None) else ""


def uuids(values: Iterable[str]) -> set[uuid.UUID]:
    """The ids among ``values``; what is none is left out."""
    found = set()
    for value in values:
        with contextlib.suppress(ValueError):
            found.add(uuid.UUID(value))
    return found


def blob_response(sha256: str, *, content_type: str) -> HttpResponseBase:
    """A stored file, sent by the proxy where one is set up (ACCEL_LOCATION), else by this process.

    Neither the name nor the date of the file is told: no Content-Disposition, no Last-Modified, no ETag, no ranges.

    Raises
    ------
    NotFound
        The file is missing.
    """
    store = blobs()
    address = store.internal_address(sha256)
    if settings.ACCEL_LOCATION and address:
        if not store.exists(sha256):
            raise NotFound("The stored file is missing.", hint="Tell your admin: `manage.py verify_media`.")
        response = HttpResponse(content_type=content_type)
        response["X-Accel-Redirect"] = f"{settings.ACCEL_LOCATION}{address}"
        return response
    stream, size = store.open(sha256)
    streamed = StreamingHttpResponse(FileWrapper(stream, CHUNK_BYTES), content_type=content_type)  # closes the stream
    streamed["Content-Length"] = str(size)
    return streamed


def zip_response(chunks: Iterable[bytes], name: str) -> StreamingHttpResponse:
    """A zip archive as a download that no cache keeps, nor the proxy, whose room is small, for a slow client."""
    response = StreamingHttpResponse(chunks, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    response["X-Accel-Buffering"] = "no"
    return response

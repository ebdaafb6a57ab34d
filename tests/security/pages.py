"""Walks the program as a visitor with a browser would: links, forms, and what stands in the markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import Resolver404, resolve

MARK = "zq"  # src of the planted picture: no page of ours has one of this name
PAYLOADS = (
    f"\"'><img src={MARK} onerror=hit()>",
    f"</script></title></textarea><script>hit()</script><svg onload=hit()><img src={MARK}>",
    f"javascript:hit()//{{{{7*7}}}}<img src={MARK}>",
)
TEXT_TYPES = ("text", "search", "email", "url", "password", "")
SKIP = ("/static/", "/accounts/logout", "/accounts/3rdparty", "javascript:", "data:", "blob:", "mailto:")


@dataclass
class Form:
    """A form as it stands in a page: where it goes, and its fields with the values that it shows."""

    action: str
    method: str
    fields: list[tuple[str, str, str]] = field(default_factory=list)  # (name, kind, value)


class Markup(HTMLParser):
    """Links and forms of a page, and whether a planted element became one of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.injected: list[str] = []
        self._form: Form | None = None
        self._select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, found: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in found}
        if attributes.get("src") == MARK or any(name.startswith("on") for name in attributes):
            self.injected.append(self.get_starttag_text() or tag)
        if tag == "script" and "src" not in attributes and attributes.get("type") != "application/json":
            self.injected.append(self.get_starttag_text() or tag)
        for name in ("href", "src", "action", "formaction", "data-url", "hx-get"):
            if attributes.get(name, "").strip().lower().startswith(("javascript:", "data:text")):
                self.injected.append(f"{name}={attributes[name]}")
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag in ("img", "iframe", "object"):
            self.links.append(attributes.get("src", ""))
        elif tag == "form":
            self._form = Form(attributes.get("action", ""), attributes.get("method", "get").lower())
            self.forms.append(self._form)
        elif self._form is not None and attributes.get("name"):
            self._field(tag, attributes)
        if tag == "option" and self._form is not None and self._select and "selected" in attributes:
            self._form.fields.append((self._select, "choice", attributes.get("value", "")))

    def _field(self, tag: str, attributes: dict[str, str]) -> None:
        assert self._form is not None
        name, kind, value = attributes["name"], attributes.get("type", "").lower(), attributes.get("value", "")
        if tag == "textarea":
            self._form.fields.append((name, "text", ""))
        elif tag == "select":
            self._select = name
        elif tag == "input" and kind == "file":
            self._form.fields.append((name, "file", ""))
        elif tag == "input" and kind in TEXT_TYPES:
            self._form.fields.append((name, "text", value))
        elif tag == "input" and kind in ("checkbox", "radio"):
            if "checked" in attributes or kind == "checkbox":
                self._form.fields.append((name, "choice", value or "on"))
        elif tag in ("input", "button"):
            self._form.fields.append((name, "choice", value))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""


def route_of(address: str) -> str:
    try:
        return str(resolve(urlsplit(address).path).route)
    except Resolver404:
        return ""


def crawl(client: Client, *, each_route: int = 3) -> Iterator[tuple[str, Any, Markup]]:
    """(address, response, markup) of the pages that links lead to, at most ``each_route`` of each route."""
    waiting, seen, count = ["/"], set(), {}  # type: ignore[var-annotated]
    while waiting:
        address = waiting.pop(0)
        route = route_of(address)
        if address in seen or (not route and address != "/") or count.get(route, 0) >= each_route:
            continue
        seen.add(address)
        count[route] = count.get(route, 0) + 1
        response = client.get(address)
        if response.status_code in (301, 302):
            waiting.append(response["Location"])
            continue
        if "html" not in response.get("Content-Type", ""):
            continue
        markup = Markup(response.content.decode())
        yield address, response, markup
        for link in markup.links:
            target = urlsplit(urljoin(address, link))
            if link.startswith(SKIP) or target.netloc or target.path.startswith(SKIP):
                continue
            waiting.append(target.path + (f"?{target.query}" if target.query else ""))


def filled(form: Form, payload: str) -> dict[str, Any]:
    """What a hostile visitor sends: every text field and file holds the payload, the rest stays as it is."""
    data: dict[str, Any] = {}
    for name, kind, value in form.fields:
        if kind == "text":
            data[name] = payload
        elif kind == "file":
            text = f"file,patient,{payload}\n{payload},{payload},{payload}\n"
            data[name] = SimpleUploadedFile(re.sub(r"[/\\]", "", payload) + ".csv", text.encode())
        else:
            data.setdefault(name, value)
    return data

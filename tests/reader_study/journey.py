"""A reader's whole way through a session as requests, each recorded to the byte."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from reader_study.models import ReadingSession
from tests.reader_study.factories import CLASSES, PASSWORD


@dataclass(frozen=True)
class Recorded:
    """Everything that a browser gets to know of one request, and how often the database was asked for it."""

    method: str
    path: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    queries: int


def agreement(session: ReadingSession) -> dict[str, Any]:
    """What the page before the board sends when a reader begins."""
    return {"agreed": "on", "time_zone": "Europe/Berlin", "version": session.rules["version"]}


class Journey:
    """One person's browser. Everything that it asks is recorded."""

    def __init__(self, username: str, session: ReadingSession, **options: Any) -> None:
        self.client = Client(raise_request_exception=False, **options)
        self.username = username
        self.base = f"/read/{session.token}/"
        self.agrees = agreement(session)
        self.records: list[Recorded] = []
        self.keys = (uuid.UUID(int=n) for n in range(1, 1_000_000))

    def ask(self, method: str, path: str, data: Any = None, *, is_json: bool = False) -> Any:
        options: dict[str, Any] = {"headers": {"Accept": "application/json"}} if is_json else {}
        if is_json and method == "POST":
            options |= {"data": json.dumps(data or {}), "content_type": "application/json"}
        elif data is not None:
            options["data"] = data
        with CaptureQueriesContext(connection) as queries:
            response = getattr(self.client, method.lower())(path, **options)
            body = b"".join(response.streaming_content) if response.streaming else response.content
        headers = tuple(sorted((k, v) for k, v in response.items()))
        cookies = tuple(("Set-Cookie", morsel.OutputString()) for _, morsel in sorted(response.cookies.items()))
        self.records.append(Recorded(method, path, response.status_code, headers + cookies, body, len(queries)))
        response.recorded = body
        return response

    def get_json(self, path: str) -> Any:
        return json.loads(self.ask("GET", self.base + path, is_json=True).recorded)

    def post_json(self, path: str, data: Any = None) -> Any:
        response = self.ask("POST", self.base + path, data, is_json=True)
        return response.status_code, json.loads(response.recorded)

    def login(self) -> None:
        self.ask("GET", "/accounts/login/")
        self.ask("POST", "/accounts/login/", {"login": self.username, "password": PASSWORD})

    def consent(self) -> None:
        self.ask("GET", self.base)
        self.ask("POST", self.base, self.agrees)

    def read_case(self, token: str, diagnosis: str, **parts: Any) -> dict[str, Any]:
        """Show a case, look at every field, answer."""
        _, case = self.post_json(f"case/{token}/show/")
        seen = {}
        for field in case.get("fields", []):
            self.ask("GET", f"{self.base}image/{field['image']}/")
            self.ask("GET", f"{self.base}image/{field['image']}/small/")
            seen[field["image"]] = {"ms": 1500, "coverage": "ffffffffffffffff"}
        self.post_json(f"case/{token}/seen/", {"active_ms": 2500, "fields": seen})
        answer = {"diagnosis": diagnosis, "confidence": 4, **parts}
        _, saved = self.answer(token, answer, case.get("version", 0))
        return {"case": case, "version": saved.get("version")}

    def answer(self, token: str, answer: dict[str, Any], version: int) -> tuple[int, Any]:
        body = {"key": str(next(self.keys)), "version": version, "answer": answer}
        return self.post_json(f"case/{token}/answer/", body)

    def read_all(self, choose: Callable[[int], str] = lambda n: CLASSES[n % 5]) -> None:
        for line in self.get_json("state/")["cases"]:
            self.read_case(line["case"], choose(line["n"]))

    def seal(self) -> Any:
        self.ask("GET", self.base + "seal/")
        return self.ask("POST", self.base + "seal/", {"signed_name": "R. Reader", "password": PASSWORD, "agree": "on"})


def begun(made: Any, number: int = 1) -> Journey:
    """The browser of the first reader, whose user name is "reader", once the session has begun."""
    journey = Journey("reader", made.session(0, number))
    journey.login()
    journey.consent()
    assert journey.records[-1].status == 302, journey.records[-1].body
    return journey


@contextmanager
def signed_in(username: str, session: ReadingSession) -> Iterator[Journey]:
    journey = Journey(username, session)
    journey.login()
    yield journey

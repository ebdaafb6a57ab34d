"""Readers at the desk of a blinded session, over HTTP: each answers one case again and again, as the browser does."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.chaos.history import FAIL, INFO, INVOKE, OK, History, Verdict
from tests.support.chaos.stack import Stack, wait_until
from tests.support.chaos.web import ask, cookie_headers

PREPARE = """
import json
from django.test import Client
from leukoweb.core.models import User
from reader_study.models import ReadingSession
from tests.reader_study.factories import make_study
user = User.objects.create_user("reader", password="correct horse", role="pathologist")
made = make_study(users=[user], n_cases={cases}, n_fields=1)
ReadingSession.objects.update(state="open")
client = Client()
client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
client.get("/read/" + made.session().token + "/board/", headers={{"Host": "localhost"}})
print(json.dumps({{
    "session": made.session().token, "cases": list(made.session().cases.values_list("token", flat=True)),
    "cookies": {{name: morsel.value for name, morsel in client.cookies.items()}},
}}))
"""


class Desk:
    """An open session of one reader with ``cases`` cases, and what is stored of it."""

    def __init__(self, stack: Stack, *, cases: int = 8) -> None:
        if not stack.migrated:
            stack.manage("migrate", "--verbosity", "0")
        made = json.loads(stack.python(PREPARE.format(cases=cases)).strip().splitlines()[-1])
        self.stack, self.session, self.cases = stack, made["session"], made["cases"]
        self.headers = cookie_headers(made["cookies"]) | {"Content-Type": "application/json"}
        self.history = History()

    def path(self, case: str) -> str:
        return f"/read/{self.session}/case/{case}/answer/"

    def events(self) -> list[tuple[str, int, dict[str, Any]]]:
        """(case, version, answer) of every stored deed, in the order of the database."""
        rows = self.stack.rows(
            "SELECT c.token, e.version, e.new FROM reader_study_draftevent e "
            "JOIN reader_study_sessioncase c ON c.id = e.case_id ORDER BY e.id"
        )
        return [(token, version, new if isinstance(new, dict) else json.loads(new)) for token, version, new in rows]

    def verdict(self) -> Verdict:
        """Compare the history with the events; the last answer of each case is also what its draft holds."""
        events = self.events()
        for case in self.cases:
            versions = [version for token, version, _ in events if token == case]
            assert versions == list(range(1, len(versions) + 1)), "a version is missing or came twice"
        drafts = self.stack.rows(
            "SELECT c.token, d.answer FROM reader_study_draftreading d "
            "JOIN reader_study_sessioncase c ON c.id = d.case_id"
        )
        newest = {token: new for token, _, new in events}
        for token, answer in drafts:
            held = answer if isinstance(answer, dict) else json.loads(answer)
            assert token not in newest or held == newest[token], "the draft is not its last event"
        return self.history.check_set(new["comment"] for _, _, new in events)


class Reader(threading.Thread):
    """Sends answer after answer, each under its key until the server says that it has it."""

    def __init__(self, desk: Desk, port: int, case: str, *, timeout: float = 60) -> None:
        super().__init__(daemon=True)
        self.desk, self.port, self.case, self.timeout = desk, port, case, timeout
        self.ended = threading.Event()

    def run(self) -> None:
        version = n = 0
        while not self.ended.is_set():
            n += 1
            comment = f"{self.case} answer {n}"
            answer = {"diagnosis": ("ALL", "AML", "CLL")[n % 3], "confidence": 1 + n % 5, "comment": comment}
            found = self._until_acknowledged(comment, {"key": str(uuid.uuid4()), "version": version, "answer": answer})
            if found is None:
                return
            version = found

    def _until_acknowledged(self, comment: str, body: dict[str, Any]) -> int | None:
        history = self.desk.history
        while not self.ended.is_set():
            history.note(INVOKE, comment)
            try:
                status, answer = ask(
                    self.port, "POST", self.desk.path(self.case), json.dumps(body), headers=self.desk.headers,
                    timeout=self.timeout,
                )  # fmt: skip
                reply = json.loads(answer)
            except (ConnectionError, ValueError):
                history.note(INFO, comment)
                time.sleep(0.05)
                continue
            if status == 200:
                history.note(OK, comment, version=reply["version"])
                return int(reply["version"])
            if status >= 500 or status == 429:  # what the browser calls passing: it is sent again
                history.note(INFO, comment, status=status, said=reply["error"])
                time.sleep(0.2)
                continue
            history.note(FAIL, comment, status=status, said=reply)
            return None
        return None


@contextmanager
def answering(desk: Desk, port: int, *, timeout: float = 60) -> Iterator[History]:
    """One reader for each case until the block ends; then they come to an end on their own."""
    readers = [Reader(desk, port, case, timeout=timeout) for case in desk.cases]
    for reader in readers:
        reader.start()
    try:
        yield desk.history
    finally:
        for reader in readers:
            reader.ended.set()
        for reader in readers:
            reader.join(timeout + 30)
            assert not reader.is_alive(), "a reader did not come to an end"


def wait_for_more(history: History, more: int, *, seconds: float = 300) -> None:
    """Until ``more`` further answers were acknowledged."""
    wanted = history.count(OK) + more
    wait_until(
        lambda: history.count(OK) >= wanted or bool(history.troubles), seconds=seconds,
        what=f"{more} further answers", every_s=0.02,
    )  # fmt: skip
    assert not history.troubles, history.troubles[:3]

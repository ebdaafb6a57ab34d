"""A technician with a slide, who sends files as the browser does: announce, then one PUT each."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.support.chaos.stack import Stack
from tests.support.chaos.web import ask

TOKEN = "x" * 32
PREPARE = """
from cases import services
from leukoweb.core.models import User
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
made = []
for name, role in (("sender", "technician"), ("keeper", "admin")):
    user = User.objects.create_user(username=name, password="correct horse", role=role)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    made.append(session.session_key)
user = User.objects.get(username="sender")
cohort = services.cohort_create(actor=user, name="Faults", purpose="external")
slide = services.slide_ensure(actor=user, cohort=cohort, patient_code="K", slide_code="K-S1")
print(settings.SESSION_COOKIE_NAME, *made, slide.pk)
"""


class Uploader:
    def __init__(self, stack: Stack) -> None:
        if not stack.migrated:
            stack.manage("migrate", "--verbosity", "0")
        self.stack = stack
        name, key, admin, slide = stack.python(PREPARE).split()
        self.cookie, self.admin_cookie, self.slide = f"{name}={key}", f"{name}={admin}", int(slide)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
        headers = {"X-CSRFToken": TOKEN, "Cookie": f"csrftoken={TOKEN}; {self.cookie}"}
        return ask(self.stack.port, method, path, body, headers=headers | ({"Content-Type": kind} if kind else {}))

    def announce(self, files: dict[str, bytes]) -> tuple[int, Any]:
        rows = [{"path": n, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in files.items()]
        body = json.dumps({"slide": self.slide, "files": rows}).encode()
        status, answer = self.ask("POST", "/api/v1/uploads/", body, "application/json")
        return status, json.loads(answer)

    def address(self, batch: dict[str, Any], item: dict[str, Any]) -> str:
        return f"/api/v1/uploads/{batch['id']}/items/{item['id']}/"

    def put(self, address: str, data: bytes) -> tuple[int, bytes]:
        return self.ask("PUT", address, data, "application/octet-stream")

    def health(self) -> str:
        """The health page as an admin sees it."""
        status, page = ask(self.stack.port, "GET", "/health/", headers={"Cookie": self.admin_cookie})
        assert status == 200, page[:300]
        return page.decode()

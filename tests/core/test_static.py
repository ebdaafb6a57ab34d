"""Static files of production: every module that a module imports is named by its hash."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import override_settings

OTHERS = ["admin", "rest_framework", "drf_spectacular_sidecar", "django_htmx", "vendor", "account", "mfa"]
IMPORT = re.compile(r'(?:\bfrom|\bimport)\s*\(?\s*"(\./[^"]+)"')


def test_imported_modules_are_kept_for_good_too(tmp_path: Path, settings: Any) -> None:
    backend = {"BACKEND": "leukoweb.core.static.HashedStaticFiles"}
    with override_settings(STATIC_ROOT=str(tmp_path), STORAGES={**settings.STORAGES, "staticfiles": backend}):
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=OTHERS)
        assert type(staticfiles_storage._wrapped).__name__ == "HashedStaticFiles"
    names = set(json.loads((tmp_path / "staticfiles.json").read_text())["paths"].values())
    modules = [name for name in names if name.startswith("leukoweb/js/")]
    imported = [found for name in modules for found in IMPORT.findall((tmp_path / name).read_text())]
    assert len(modules) > 40
    assert len(imported) > 40
    assert {f"leukoweb/js/{name[2:]}" for name in imported} <= names

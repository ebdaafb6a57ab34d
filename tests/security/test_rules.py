"""The local rules of `make security` bite: each finds a planted fault, and none of them finds one in the program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / ".semgrep" / "rules.yml"

# rule -> (file, what is planted there)
PLANTED = {
    "no-mark-safe": ("cases/views/x.py", "from django.utils.safestring import mark_safe\nmark_safe(name)\n"),
    "no-safe-in-templates": ("templates/x.html", "<p>{{ slide.code|safe }}</p>\n"),
    "no-inline-script-or-style": ("templates/y.html", '<p style="color: red">x</p><a href="javascript:x()">y</a>\n'),
    "no-csrf-exempt": ("cases/views/y.py", "@csrf_exempt\ndef view(request):\n    pass\n"),
    "no-pickle": ("inference/x.py", "import torch\ntorch.load(path, weights_only=False)\ntorch.load(path)\n"),
    "no-outgoing-requests": ("cases/services/x.py", "import urllib.request\nimport requests\n"),
    "blind-modules-name-no-secret-table": (
        "reader_study/views/desk.py", "rows = ReferenceDiagnosis.objects.all()\nown = SessionCase.objects.all()\n"
    ),
    "no-field-of-everything": ("cases/z.py", 'class Meta:\n    fields = "__all__"\n'),
    "no-filter-by-request": ("cases/views/z.py", "rows = Image.objects.filter(**request.GET.dict())\n"),
    "no-stored-name-in-a-download": ("cases/views/w.py", "FileResponse(open(path))\n"),
    "no-extraction-to-paths-of-an-archive": ("cases/services/y.py", "archive.extractall(folder)\n"),
    "no-truncated-images": ("cases/imaging.py", "from PIL import ImageFile\nImageFile.LOAD_TRUNCATED_IMAGES = True\n"),
    "no-ids-that-tell-the-time": ("cases/models/x.py", "import uuid\nkey = uuid.uuid1()\n"),
    "no-random-in-tokens": ("reader_study/services/x.py", "import random\ntoken = random.choice(letters)\n"),
    "no-shell": ("cases/services/z.py", 'import subprocess\nsubprocess.run(line, shell=True)\n'),
}  # fmt: skip


def test_every_rule_has_a_planted_fault() -> None:
    rules = {rule["id"] for rule in yaml.safe_load(RULES.read_text(encoding="utf-8"))["rules"]}
    assert rules == set(PLANTED)


@pytest.mark.slow
def test_each_rule_finds_its_planted_fault(tmp_path: Path) -> None:
    semgrep = os.environ.get("SEMGREP") or shutil.which("semgrep")
    if not semgrep:
        pytest.skip("no semgrep here (make security brings one)")
    for name, text in PLANTED.values():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.read_text() + text if path.exists() else text)
    done = subprocess.run(
        [Path(semgrep).resolve(), "scan", "--config", str(RULES), "--metrics", "off", "--disable-version-check",
         "--json", "--quiet", "--no-git-ignore", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {(one["check_id"].rpartition(".")[2], one["path"]) for one in json.loads(done.stdout)["results"]}
    assert found >= {(rule, name) for rule, (name, _) in PLANTED.items()}, done.stderr[-2000:]
    lines = [one["start"]["line"] for one in json.loads(done.stdout)["results"] if "desk.py" in one["path"]]
    assert lines == [1], "the reader's own desk may be asked"


def test_templates_never_switch_the_escaping_off() -> None:
    """The most important rule also without semgrep."""
    import re

    for path in (ROOT / "templates").rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\{[{%][^}]*\|\s*safe(seq)?\b|autoescape\s+off", text), path


def test_no_exception_from_the_token_against_forgery_in_the_code() -> None:
    for folder in ("leukoweb", "cases", "inference", "reader_study"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "csrf_exempt" not in text, path
            assert "mark_safe" not in text, path

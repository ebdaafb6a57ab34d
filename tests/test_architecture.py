"""The house rules that a machine can hold."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("leukoweb", "cases", "inference", "reader_study")
HEAVY = ("torch", "torchvision", "openvino", "pytorch_grad_cam", "onnx", "cv2", "pydicom")


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (p for p in (ROOT / package).rglob("*.py") if "migrations" not in p.parts)


def test_the_web_process_loads_no_model_library() -> None:
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'leukoweb.settings'\n"
        "import django; django.setup()\n"
        "from django.urls import get_resolver; get_resolver().url_patterns\n"
        "import leukoweb.api_urls\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PLANTED = {
    "Floors: data travels one way, so imports do too": ("cases/naming.py", "import inference.models"),
    "Inside cases": ("cases/selectors/records.py", "import cases.services"),
    "Inside inference": ("inference/selectors/__init__.py", "import inference.views"),
    "Inside reader_study": ("reader_study/models/studies.py", "import reader_study.management"),
    "Pure cores know no framework": ("inference/pipeline/hierarchy.py", "import django.conf"),
    "The statistics need numpy and scipy alone": ("leukoweb/statistics/results.py", "import PIL.Image"),
    "The web never loads a model": ("inference/selectors/__init__.py", "import torch"),
    "The rules are pure data and arithmetic": ("inference/pipeline/hierarchy.py", "import openvino"),
}


def _lint(folder: Path) -> str:
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_import_contracts_hold_and_each_catches_a_planted_violation(tmp_path: Path) -> None:
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__", "static", "starter")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    clean = _lint(tmp_path)
    for name in PLANTED:
        assert f"{name} KEPT" in clean, clean
    for file, line in PLANTED.values():
        path = tmp_path / file
        assert path.exists(), f"{file}: the plant has no bed"
        path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    broken = _lint(tmp_path)
    for name in PLANTED:
        assert f"{name} BROKEN" in broken, broken


FORBIDDEN_CALLS = {
    # attribute or name: (what to use instead, files that may)
    "apply_async": ("core.jobs.bell.ring", {"leukoweb/core/jobs/bell.py"}),
    "delay": ("core.jobs.bell.ring", set[str]()),
    "delay_on_commit": ("core.jobs.bell.ring", set[str]()),
    "send_task": ("core.jobs.bell.ring", set[str]()),
    "mark_safe": ("templates, which escape", set[str]()),
    "csrf_exempt": ("a CSRF token", set[str]()),
    "extractall": ("cases.archives", set[str]()),
    "uuid1": ("uuid4", set[str]()),
}


def _called(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        function = node.func
        return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if isinstance(node, ast.Name):
        return node.id if node.id in ("csrf_exempt", "mark_safe") else ""
    return ""


def test_forbidden_calls() -> None:
    found = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            instead, allowed = FORBIDDEN_CALLS.get(_called(node), ("", {name}))
            if name not in allowed:
                found.append(f"{name}:{getattr(node, 'lineno', '?')}: use {instead}")
    assert not found, "\n".join(found)


def _qualified(node: ast.expr) -> str:
    return f"{_qualified(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def test_no_pickle_is_run() -> None:
    """torch.load only in its restricted form (torchvision's own weight files), numpy.load without pickle."""
    loaders = {"pickle.load", "pickle.loads", "joblib.load", "numpy.load", "np.load", "torch.load"}
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _qualified(node.func) in loaders:
                said = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                if said.get("weights_only") is not True and said.get("allow_pickle") is not False:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_templates_trust_nothing() -> None:
    found = []
    for path in (ROOT / "templates").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if re.search(r"\|\s*safe\b|autoescape off|\sstyle=|\son[a-z]+=|<style", text):
            found.append(path.relative_to(ROOT).as_posix())
        if re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", text):
            found.append(f"{path.relative_to(ROOT)}: inline script")
    assert not found, found


def test_files_stay_small() -> None:
    kept = ("vendor", "migrations", "golden")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    long = []
    for name in tracked:
        if name.endswith((".py", ".js", ".css", ".html")) and not any(k in name.split("/") for k in kept):
            path = ROOT / name
            lines = len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
            if lines > 400:
                long.append(f"{name}: {lines} lines")
    assert not long, long


def test_every_setting_is_documented() -> None:
    text = (ROOT / "leukoweb" / "settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'(?:env\.\w+|_required|_secret)\(\s*"([A-Z_]+)"', text))
    table = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert names
    assert [n for n in sorted(names) if f"`{n}`" not in table] == []


def test_the_role_table_in_the_docs_is_the_code() -> None:
    from leukoweb.core.models import Role
    from leukoweb.core.permissions import ACTIONS

    text = (ROOT / "docs" / "roles.md").read_text(encoding="utf-8")
    for action, (_, roles) in ACTIONS.items():
        row = next((line for line in text.splitlines() if line.startswith(f"| `{action}`")), "")
        cells = [cell.strip() for cell in row.strip("|").split("|")][2:]
        assert cells == ["yes" if role in roles else "-" for role in Role.values], f"docs/roles.md, {action}: {row}"


def test_the_design_guide_names_every_stylesheet() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    styles = sorted((ROOT / "leukoweb" / "static" / "leukoweb" / "css").glob("*.css"))
    assert styles
    assert [path.name for path in styles if f"`css/{path.name}`" not in text] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_no_guide_has_two_sections_of_one_name(path: Path) -> None:
    heads = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(heads) == sorted(set(heads))


@pytest.mark.parametrize("name", ["docker-compose.yml"])
def test_compose_file_names_what_exists(name: str) -> None:
    compose = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    targets = set(re.findall(r"^FROM .* AS (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    for service, spec in compose["services"].items():
        build = spec.get("build")
        if build:
            assert build["target"] in targets, service
        for needed in spec.get("depends_on", {}):
            assert needed in compose["services"], (service, needed)


def test_what_tests_wait_for_is_a_function() -> None:
    """An expression is evaluated as a string each time, which our pages forbid: it works only if it is true at once."""
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        for call in re.finditer(r"""wait_for_function\(\s*f?("{1,3})(.{0,40})""", path.read_text(encoding="utf-8")):
            if "=>" not in call[2]:
                found.append(f"{path.relative_to(ROOT)}: {call[2]}")
    assert not found, found

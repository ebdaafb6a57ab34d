"""Write the software bill of materials: ``python deploy/sbom.py`` (CycloneDX 1.6, JSON).

It is made from what the repository pins (constraints.txt, the files under static/leukoweb/vendor), not from what
happens to be installed, so it is the same on every machine and can be compared byte by byte. It holds no time and no
random number: its serial number comes from its content. Licences are not in it: they stand in each package.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "leukoweb" / "static" / "leukoweb" / "vendor"
TARGET = ROOT / "docs" / "security" / "sbom.json"


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """``{normal name: version}`` of a constraints file. ValueError for a line that pins nothing."""
    found = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)(\s*;.*)?", line)
        if match is None:
            raise ValueError(f"not an exact pin: {line!r}")
        found[normal(match[1])] = match[2]
    return found


def direct(project: dict[str, Any]) -> dict[str, str]:
    """Direct dependencies and where they are asked for: ``{normal name: "required" | "extra NAME"}``."""
    asked: dict[str, str] = {}
    groups = [("required", project["dependencies"])]
    groups += [(f"extra {name}", wanted) for name, wanted in sorted(project["optional-dependencies"].items())]
    for where, wanted in groups:
        for requirement in wanted:
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            if match is not None:
                asked.setdefault(normal(match[0]), where)
    return asked


def vendored() -> list[dict[str, Any]]:
    """Scripts and styles that the repository carries, each file with its hash."""
    table = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|", (VENDOR / "VENDOR.md").read_text(encoding="utf-8"), re.M))
    files = sorted(path for path in VENDOR.rglob("*") if path.is_file() and path.suffix in (".js", ".css"))
    made = []
    for name, version in sorted(table.items()):
        own = [path for path in files if path.relative_to(VENDOR).parts[0] == name]
        parts = [
            {"type": "file", "name": path.relative_to(ROOT).as_posix(),
             "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]}
            for path in own
        ]  # fmt: skip
        purl = f"pkg:npm/{name}@{version}"
        made.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
                     "scope": "required", "components": parts})  # fmt: skip
    return made


def document() -> dict[str, Any]:
    """The whole bill."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = direct(project)
    components = []
    for name, version in sorted(pins((ROOT / "constraints.txt").read_text(encoding="utf-8")).items()):
        where, purl = asked.get(name, "indirect"), f"pkg:pypi/{name}@{version}"
        components.append({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "scope": "required" if where == "required" else "optional",
            "properties": [{"name": "leukoweb:asked-for", "value": where}],
        })  # fmt: skip
    components += vendored()
    this = f"pkg:pypi/{project['name']}@{project['version']}"
    body = {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": this, "purl": this, "name": project["name"],
            "version": project["version"],
            "licenses": [{"license": {"id": project["license"]}}],
        }},
        "components": components,
        "dependencies": [{"ref": this, "dependsOn": sorted(
            c["bom-ref"] for c in components if c["scope"] == "required"
        )}],
    }  # fmt: skip
    content = json.dumps(body, sort_keys=True)
    return {"serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, content).urn, **body}


def text() -> str:
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--check", action="store_true", help="only say whether the file is up to date")
    options = parser.parse_args()
    if options.check:
        same = options.out.is_file() and options.out.read_text(encoding="utf-8") == text()
        sys.stdout.write("up to date\n" if same else "out of date: run `make sbom`\n")
        return 0 if same else 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{options.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

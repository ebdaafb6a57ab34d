"""docker-compose.yml, deploy/compose.s3.yml and the Dockerfile against the code and the guide; no engine is needed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
import uuid
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import reverse
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from leukoweb.core.jobs.registry import QUEUES

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
BUCKET = yaml.safe_load((ROOT / "deploy" / "compose.s3.yml").read_text(encoding="utf-8"))["services"]
APP = sorted(name for name, spec in SERVICES.items() if "build" in spec)
NOT_PASSED = {
    "STATIC_ROOT": "the styles are inside the image, where it collected them",
    "DEBUG": "production mode ignores it",
}


def stage(name: str) -> str:
    """The part of the Dockerfile that makes one image."""
    return re.split(r"^FROM ", DOCKERFILE.split(f" AS {name}\n")[1], flags=re.MULTILINE)[0]


def queues(service: str) -> set[str]:
    words = SERVICES[service]["command"]
    return set(words[words.index("-Q") + 1].split(","))


def always(profile: str) -> list[str]:
    """The services that `docker compose up` starts with this profile (empty: with none)."""
    return [name for name, spec in SERVICES.items() if profile in spec.get("profiles", [profile])]


def test_every_setting_of_the_guide_reaches_the_containers() -> None:
    """By the first file alone, but for the bucket's; what cannot stand in `.env` is said where that is promised."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)}
    bucket = set(re.findall(r"`(S3_[A-Z_]+)`", text))
    named |= bucket
    assert len(named) > 25
    for service in APP:
        first, second = set(SERVICES[service]["environment"]), set(BUCKET[service]["environment"])
        assert {n for n in named if n not in first and f"{n}_FILE" not in first} == set(NOT_PASSED) | bucket, service
        assert second == {n if f"{n}_FILE" not in second else f"{n}_FILE" for n in bucket}
        known = named | {f"{n}_FILE" for n in named}
        assert (first | second) - known == set(), f"{service} is passed what no guide explains"
    promised = "With Compose each of them can stand in `.env`, but for "
    sentence = re.sub(r"\s+", " ", text).split(promised)[1].split(". ")[0]
    files = {n for n in first | second if n.endswith("_FILE")}
    own = {n for n, value in SERVICES["web"]["environment"].items() if value is not None} - {"ALLOWED_HOSTS"} - files
    keys = {n.removesuffix("_FILE") for n in files}
    assert set(re.findall(r"`([A-Z0-9_]+)`", sentence)) == set(NOT_PASSED) | own | keys


def test_the_bucket_is_there_for_whatever_is_run_alone() -> None:
    """A restore starts the database only, and what `run` depends on; a bucket of another name is made as well."""
    assert all("objects" in BUCKET[service]["depends_on"] for service in APP)
    objects = BUCKET["objects"]
    assert objects["environment"]["S3_BUCKET"] == BUCKET["web"]["environment"]["S3_BUCKET"]
    assert objects["command"][0].startswith('mkdir -p "/objects/$$S3_BUCKET" && ')


def make_secrets(folder: Path, openssl: str = "") -> subprocess.CompletedProcess[str]:
    """deploy/make_secrets.sh in a folder of its own, where `openssl` is this script, or not there."""
    (folder / "deploy").mkdir(exist_ok=True)
    (folder / "deploy" / "make_secrets.sh").write_text((ROOT / "deploy" / "make_secrets.sh").read_text())
    path = folder / "bin"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for name in ["cat", "chmod", "dirname", "mkdir", "mv", "rm"]:
        (path / name).symlink_to(shutil.which(name) or "")
    if openssl:
        (path / "openssl").write_text(f"#!/bin/sh\n{openssl}\n")
        (path / "openssl").chmod(0o755)
    words = ["/bin/sh", "deploy/make_secrets.sh", "smears.example.org"]
    return subprocess.run(words, cwd=folder, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_secrets_are_made_whole_or_not_at_all(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    done = make_secrets(tmp_path)
    assert done.returncode == 1
    assert "openssl is not installed" in done.stderr
    assert not secrets.exists()

    done = make_secrets(tmp_path, openssl="exit 3")
    assert (done.returncode, done.stdout) == (3, "")
    done = make_secrets(tmp_path, openssl='[ "$1" = rand ] && echo abc && exit; echo no room >&2; exit 1')
    assert (done.returncode, done.stdout) == (1, "")
    assert "no room" in done.stderr
    assert all(file.stat().st_size for file in secrets.iterdir()), "nothing empty is left"

    shutil.rmtree(secrets)
    secrets.mkdir()
    (secrets / "s3_access_key").write_text("")
    (secrets / "db_password").write_text("mine")
    real = shutil.which("openssl")
    quick = f'[ "$1" = rand ] && exec {real} "$@"; echo x >secrets/tls_key; echo x >secrets/tls_certificate'
    assert make_secrets(tmp_path, openssl=quick).returncode == 0
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert set(made) == set(COMPOSE["secrets"]) | {"s3_access_key", "s3_secret_key"}
    assert all(made.values())
    assert made["database_url"] == "postgres://leukoweb:mine@db:5432/leukoweb"
    assert len(made["secret_key"]) >= 50
    assert make_secrets(tmp_path, openssl=quick).returncode == 0
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made, "nothing is written over"


def test_no_answer_fills_the_proxys_memory() -> None:
    """Its /tmp is memory; an answer that nginx kept there for a slow client would end when it is full."""
    (room,) = [int(size) for size in re.findall(r"/tmp:size=(\d+)m", str(SERVICES["proxy"]["tmpfs"]))]
    conf = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    (kept,) = re.findall(r"^ +proxy_max_temp_file_size (\d+);", conf, re.MULTILINE)
    assert (room, kept) == (128, "0")


def test_nothing_empty_is_passed_and_arriving_files_go_to_the_disk() -> None:
    for service in APP:
        environment = SERVICES[service]["environment"]
        assert [n for n, value in environment.items() if value is not None and ":-}" in value] == []
        assert environment["UPLOAD_TEMP_DIR"].startswith(environment["DATA_DIR"] + "/")
        assert "data:/data" in SERVICES[service]["volumes"]


def test_every_page_that_takes_files_may_take_them_through_nginx() -> None:
    """The study's own protocol (512 KiB) and a table of references (1 MB) are small enough for every address."""
    nginx = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    large = [re.compile(pattern) for pattern in re.findall(r"location ~ (\S+) \{", nginx)]
    study, batch = uuid.uuid4(), uuid.uuid4()
    names = {
        "dataset_import": (), "registry_import": (), "study_import": (study,), "analysis_evaluator_create": (study,),
        "api_dataset_import": (), "api_upload_item": (batch, 7),
    }  # fmt: skip
    for name, arguments in names.items():
        assert any(one.search(reverse(name, args=arguments)) for one in large), name
    forms = {p.stem for p in (ROOT / "templates").rglob("*.html") if 'enctype="multipart/form-data"' in p.read_text()}
    small = {"study_design": reverse("study_upload", args=(study,)), "reference_upload": reverse("reference_upload")}
    assert forms == {"dataset_import", "model_list", "study_import", "analysis_list", *small}
    assert not any(one.search(address) for one in large for address in small.values())
    assert "max-age" not in nginx, "SECURE_HSTS_SECONDS alone says how long"


def test_only_the_database_and_the_broker_and_whoever_needs_nothing_have_no_way_out() -> None:
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    closed = [n for n, spec in SERVICES.items() if spec["networks"] == ["inner"]]
    assert sorted(closed) == ["backup", "broker", "db", "keeper", "migrate", "worker-cpu"]
    assert all("out" in BUCKET[service]["networks"] for service in APP), "a bucket elsewhere is reached by all"
    assert [n for n, spec in SERVICES.items() if "ports" in spec] == ["proxy"]


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_predictions_wait_for_no_training(profile: str) -> None:
    workers = {name: queues(name) for name in always(profile) if name.startswith("worker-")}
    assert set().union(*workers.values()) == set(QUEUES)
    assert [name for name, taken in workers.items() if taken == {"infer"}], "one worker predicts and does nothing else"
    assert len([name for name, taken in workers.items() if "train" in taken]) == 1, "no CPU takes the GPU's trainings"


def test_the_worker_images_own_command_is_that_of_the_gpu_worker_and_of_the_guide() -> None:
    (command,) = re.findall(r"^CMD (\[.*\])$", stage("worker"), re.MULTILINE)
    assert json.loads(command) == SERVICES["worker-gpu"]["command"]
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "start the `worker` image (its own command is `celery ... -Q infer,train -c 1`)" in guide


def test_the_guide_starts_the_processes_of_the_images_without_containers_too() -> None:
    """A gunicorn of its own defaults has one worker, which answers one person at a time and is killed after 30 s."""
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (web,) = re.findall(r"^CMD (\[\"gunicorn.*\])$", DOCKERFILE, re.MULTILINE)
    assert f"    .venv/bin/{shlex.join(json.loads(web)).replace('0.0.0.0', '127.0.0.1')}\n" in guide
    for service in ("worker-ops", "worker-cpu", "worker-train"):
        words = shlex.join(SERVICES[service]["command"]).replace("celery -A", ".venv/bin/celery -A")
        assert f"    {words}\n" in guide
    asked = {extra for image in ("web", "worker") for extra in extras_of(image)}
    assert set(re.findall(r"install -c constraints.txt -e '\.\[([a-z0-9,]+)\]'", guide)[0].split(",")) == asked


def test_what_is_changed_on_a_running_site_arrives() -> None:
    """Nginx keeps web's first address, Compose no account of what secret files hold, and a second file is easily left
    out of a command."""
    assert SERVICES["proxy"]["depends_on"]["web"] == {"condition": "service_healthy", "restart": True}
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rotating = guide.split("## Rotate secrets\n")[1].split("\n## ")[0]
    assert "`docker compose up -d --force-recreate`" in rotating
    assert not re.search(r"compose up -d[`.\n]", rotating)
    line = "COMPOSE_FILE=docker-compose.yml:deploy/compose.s3.yml"
    assert line in guide
    assert line in (ROOT / ".env.example").read_text(encoding="utf-8")
    assert " -f " not in "".join(re.findall(r"docker compose .*", guide))


def test_commands_without_containers_have_the_servers_environment() -> None:
    """Cron's own has nothing of it: the command would run in laptop mode, on another database, and succeed."""
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "    LEUKOWEB_MODE=production\n" in guide
    crons = [line for line in guide.splitlines() if line.strip().startswith("0 2 * * *")]
    assert len(crons) == 2
    assert all("docker compose" in line or "(set -a && . /etc/leukoweb.env && exec " in line for line in crons)
    nginx = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for words in ("server web:8000", "/run/secrets/", "alias /data/blobs/"):
        assert words in nginx
        assert words in guide, "what has to be changed outside Compose"


def test_the_backup_can_be_taken_and_put_back() -> None:
    """Programs of the server's own version, a folder to write into, a database that migrate has not filled before."""
    server, client = re.search(r"postgres:(\d+)", SERVICES["db"]["image"]), re.search(
        r"postgresql-client-(\d+)", stage("web")
    )  # fmt: skip
    assert server is not None
    assert client is not None
    assert server[1] == client[1]
    backup = SERVICES["backup"]
    assert backup["build"]["target"] == "web"
    assert backup["command"][-1] == "/backups"
    assert any(volume.endswith(":/backups") for volume in backup["volumes"])
    assert list(backup["depends_on"]) == ["db"]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {"backups", "secrets", ".env", "data"} <= set(ignored)


def extras_of(image: str) -> set[str]:
    return set(re.findall(r"'\.\[([a-z0-9,]+)\]'", stage(image))[0].split(","))


def brought(requirements: list[str]) -> set[str]:
    """Everything that these requirements install, by the metadata of what is installed here."""
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        wanted, extra = waiting.pop()
        name = canonicalize_name(wanted.name)
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        try:
            inner = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            inner = []  # an extra that is not installed here
        found.add(name)
        for more in ("", *sorted(wanted.extras)):
            if f"{name}[{more}]" not in found:
                found.add(f"{name}[{more}]")
                waiting += [(each, more) for each in inner]
    return found


def test_the_web_image_gets_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = {
        image: brought(project["dependencies"] + [line for extra in extras_of(image) for line in optional[extra]])
        for image in ("web", "worker")
    }
    assert wanted["web"] >= {"django", "psycopg", "boto3", "pydicom", "rapidocr", "openvino"}
    assert wanted["web"].isdisjoint({"torch", "torchvision", "grad-cam", "onnx"})
    assert wanted["worker"] >= {"torch", "torchvision"}


def test_the_images_have_the_extras_that_their_processes_use() -> None:
    extras = {name: extras_of(name) for name in ("web", "worker")}
    assert extras == {"web": {"s3", "interop", "deid"}, "worker": {"ai", "s3"}}
    assert all(spec["image"] == f"leukoweb-{spec['build']['target']}" for spec in SERVICES.values() if "build" in spec)

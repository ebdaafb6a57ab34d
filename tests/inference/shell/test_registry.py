"""Model and pipeline versions: import, refusals, export and back, activation."""

from __future__ import annotations

import errno
import io
import json
import re
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from inference.models import ModelVersion, PipelineVersion
from inference.pipeline.errors import WeightsFormat, WeightsSha
from inference.pipeline.rules import RULE_SETS
from inference.services import archives, files, registry
from inference.services.archives import archive_import, model_export, pipeline_export
from inference.services.errors import ArchiveRefused, ModelFilesMissing, VersionTaken
from inference.services.registry import (
    model_import,
    pipeline_activate,
    pipeline_create,
    pipeline_import,
    starter_ensure,
)
from leukoweb.core.exceptions import DomainError, StorageFull
from leukoweb.core.models import AuditEvent
from leukoweb.core.storage import blobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def copy(pipeline_folder: Path, tmp_path: Path) -> Path:
    """A pipeline folder that a test may damage."""
    return Path(shutil.copytree(pipeline_folder, tmp_path / "copy"))


def one_model(folder: Path) -> Path:
    return folder / json.loads((folder / "pipeline.json").read_text())["slots"]["model_1"]


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_import_registers_models_with_their_files(pipeline: PipelineVersion) -> None:
    assert pipeline.is_active
    for model in pipeline.slots.values():
        assert blobs().exists(model.weights_sha256)
        assert blobs().exists(model.onnx_sha256)
        assert model.card["classes"] == model.classes
        assert model.synthetic == model.card["synthetic"]
    assert set(AuditEvent.objects.values_list("action", flat=True)) == {
        "model.import", "pipeline.create", "pipeline.activate"}  # fmt: skip


def test_importing_again_changes_nothing(pipeline: PipelineVersion, pipeline_folder: Path) -> None:
    events = AuditEvent.objects.count()
    assert pipeline_import(actor=None, folder=pipeline_folder) == pipeline
    assert AuditEvent.objects.count() == events


def test_two_clicks_at_once_make_one_pipeline(pipeline: PipelineVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second looked before the first was through: the unique names tell it, and it gets what the first made."""
    look, looks = registry._known_pipeline, iter([True])
    monkeypatch.setattr(registry, "_known_pipeline", lambda *what: None if next(looks, False) else look(*what))
    given = {"actor": None, "name": pipeline.name, "version": pipeline.version, "models": pipeline.slots}
    assert pipeline_create(**given, rule_set=RULE_SETS[pipeline.rule_set["name"]]) == pipeline
    looks = iter([True])
    with pytest.raises(VersionTaken):
        pipeline_create(**given, rule_set=RULE_SETS["paper-fig1"])


def test_a_version_never_changes(pipeline: PipelineVersion, copy: Path) -> None:
    rewrite(one_model(copy) / "card.json", licence="another")
    with pytest.raises(VersionTaken):
        model_import(actor=None, folder=one_model(copy))
    with pytest.raises(VersionTaken):
        pipeline_create(
            actor=None, name=pipeline.name, version=pipeline.version, rule_set=RULE_SETS["paper-fig1"],
            models=pipeline.slots,
        )  # fmt: skip


def test_damaged_and_pickled_weights_are_refused_and_leave_nothing(db: None, copy: Path) -> None:
    model = one_model(copy)
    weights = model / "weights.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original[:-4] + b"\x00\x00\x80\x3e")
    with pytest.raises(WeightsSha) as caught:
        pipeline_import(actor=None, folder=copy)
    assert caught.value.code == "E_WEIGHTS_SHA"
    weights.write_bytes(b"PK\x03\x04" + original)
    with pytest.raises(WeightsFormat):
        model_import(actor=None, folder=model)
    weights.rename(model / "weights.pt")
    with pytest.raises(WeightsFormat, match="pickle"):
        model_import(actor=None, folder=model)
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("a/b", "1"), ("a:b", "1"), ("x" * 81, "1"), ("ok", "\n")])
def test_names_that_no_file_or_command_could_carry_are_refused(pipeline: Any, name: str, version: str) -> None:
    with pytest.raises(DomainError) as caught:
        pipeline_create(actor=None, name=name, version=version, rule_set=RULE_SETS["paper-fig2"], models=pipeline.slots)
    assert caught.value.code == "E_NAME"


def test_a_pipeline_needs_a_model_for_each_slot_that_its_rules_read(pipeline: PipelineVersion) -> None:
    models = {slot: pipeline.slots[slot] for slot in ("model_1", "model_2")}
    with pytest.raises(DomainError) as caught:
        pipeline_create(actor=None, name="lacking", version="1", rule_set=RULE_SETS["paper-fig2"], models=models)
    assert caught.value.code == "E_SLOT_EMPTY"
    made = pipeline_create(actor=None, name="three", version="1", rule_set=RULE_SETS["paper-fig1"], models=models)
    assert set(made.slots) == {"model_1", "model_2"}
    with pytest.raises(DomainError) as caught:
        swapped = models | {"model_1": models["model_2"]}
        pipeline_create(actor=None, name="swapped", version="1", rule_set=RULE_SETS["paper-fig1"], models=swapped)
    assert caught.value.code == "E_WEIGHTS_CLASSES"


def test_a_pipeline_survives_export_and_import(pipeline: PipelineVersion, admin_user: Any) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    pipeline_export(actor=admin_user, pipeline=pipeline, out=first)
    pipeline_export(actor=admin_user, pipeline=pipeline, out=second)
    assert first.getvalue() == second.getvalue(), "the same version gives the same bytes"
    assert archive_import(actor=admin_user, file=first, light=True) == pipeline
    mute = pipeline_create(
        actor=None, name="mute", version="1", rule_set=RULE_SETS["paper-fig1"], models=pipeline.slots
    )
    pipeline_export(actor=admin_user, pipeline=mute, out=(third := io.BytesIO()))
    assert archive_import(actor=admin_user, file=third, light=True) == mute, "although it has no description"
    alone = io.BytesIO()
    model = pipeline.slots["model_2"]
    model_export(actor=admin_user, model=model, out=alone)
    assert archive_import(actor=admin_user, file=alone) == model
    assert AuditEvent.objects.filter(action__endswith=".export", actor=admin_user).count() == 4


def zipped(members: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "E_ARCHIVE"),
        ({"notes.txt": b"x"}, "E_ARCHIVE"),
        ({"../card.json": b"{}"}, "E_ARCHIVE"),
        ({"/card.json": b"{}"}, "E_ARCHIVE"),
        ({"a/b/c/card.json": b"{}"}, "E_ARCHIVE"),
        ({"model.pt": b"x"}, "E_WEIGHTS_FORMAT"),
        ({"card.json": b"not json"}, "E_WEIGHTS_FORMAT"),
        ({"card.json": b"[]"}, "E_WEIGHTS_FORMAT"),
        ({"card.json": b" " * (4 * 2**20 + 1)}, "E_TOO_LARGE"),
        ({f"{i}/card.json": b"{}" for i in range(65)}, "E_ARCHIVE"),
    ],
)
def test_zips_that_hold_anything_else_are_refused(db: None, members: dict[str, bytes], code: str) -> None:
    with pytest.raises(DomainError) as caught:
        archive_import(actor=None, file=zipped(members), light=True)
    assert caught.value.code == code
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": {"validation": {"macro": {"f1": float("nan")}}}}, "NaN is not a number in JSON"),
        ({"metrics": {"f1": "1e999"}}, "too large"),
        ({"licence": "a\x00b"}, "holds a NUL"),
        ({"training": {"start_datasets": None}}, r"start_datasets is None; it is a list"),
        ({"training": {"start_datasets": [7]}}, r"start_datasets is \[7\]"),
    ],
)
def test_cards_that_no_database_takes_are_refused_in_words(
    copy: Path, changes: dict[str, Any], words: str
) -> None:
    folder = one_model(copy)
    rewrite(folder / "card.json", **changes)
    card = (folder / "card.json").read_text().replace('"1e999"', "1e999")
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"card.json": card.encode()}
    with pytest.raises(WeightsFormat, match=words):
        archive_import(actor=None, file=zipped(files), light=True)
    assert not ModelVersion.objects.exists()


def test_what_is_not_a_zip_is_refused(db: None) -> None:
    with pytest.raises(ArchiveRefused):
        archive_import(actor=None, file=io.BytesIO(b"GIF89a" + b"x" * 100))


def test_a_zip_that_is_damaged_inside_is_refused_and_a_full_disk_is_not_its_fault(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", b"{}" * 500)
    sound = stream.getvalue()
    start = sound.index(b"card.json") + len("card.json")
    for damaged in (sound[:start] + b"\xff" * 8 + sound[start + 8 :], utf8_name(sound)):
        with pytest.raises(ArchiveRefused, match="not a readable zip"):
            archive_import(actor=None, file=io.BytesIO(damaged), light=True)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives, "_extract", full)
    with pytest.raises(StorageFull, match="disk is full"):
        archive_import(actor=None, file=io.BytesIO(sound), light=True)


def utf8_name(data: bytes) -> bytes:
    """The same zip with a name in its list that says it is UTF-8 and is not."""
    entry = data.index(b"PK\x01\x02")
    flags = (int.from_bytes(data[entry + 8 : entry + 10], "little") | 0x800).to_bytes(2, "little")
    return data[: entry + 8] + flags + data[entry + 10 : entry + 46] + b"\xff" + data[entry + 47 :]


def test_a_network_whose_check_needs_torch_is_left_to_the_server(copy: Path) -> None:
    card = json.loads((one_model(copy) / "card.json").read_text())
    file = zipped({"card.json": json.dumps(card | {"architecture": {"name": "resnet18"}}).encode()})
    with pytest.raises(ArchiveRefused) as caught:
        archive_import(actor=None, file=file, light=True)
    assert "import_pipeline" in caught.value.hint


def test_a_model_folder_is_rebuilt_from_the_store_when_lost_or_damaged(pipeline: PipelineVersion) -> None:
    model = pipeline.slots["model_1"]
    folder = files.model_folder(model)
    assert folder.card.weights_sha256 == model.weights_sha256
    folder.weights_path.write_bytes(b"damaged")
    assert files.model_folder(model).weights_path.read_bytes() == blobs().read(model.weights_sha256)
    shutil.rmtree(folder.path)
    assert files.model_folder(model).path == folder.path
    shutil.rmtree(folder.path)
    blobs().purge(model.onnx_sha256)
    with pytest.raises(ModelFilesMissing, match="missing"):
        files.model_folder(model)
    assert list(folder.path.parent.iterdir()) == [], "nothing half-made stays"


def test_importing_again_heals_lost_files(pipeline: PipelineVersion, pipeline_folder: Path) -> None:
    model = pipeline.slots["model_1"]
    blobs().purge(model.weights_sha256)
    pipeline_import(actor=None, folder=pipeline_folder)
    assert files.model_folder(model).card.name == model.name


def test_a_known_model_is_healed_though_its_card_would_be_refused_today(pipeline: Any, tmp_path: Path) -> None:
    known = pipeline.slots["model_1"]
    card = known.card | {"name": "old", "training": {"start_datasets": None}}
    same = ("slot", "classes", "recipe_sha256", "weights_sha256", "onnx_sha256")
    rest = {name: getattr(known, name) for name in same}
    old = ModelVersion.objects.create(name="old", version=known.version, card=card, **rest)
    folder = shutil.copytree(files.model_folder(known).path, tmp_path / "old")
    (folder / "card.json").write_text(json.dumps(card))
    blobs().purge(known.weights_sha256)
    assert model_import(actor=None, folder=folder) == old
    assert files.model_folder(old).card.name == "old"
    (folder / "card.json").write_text(json.dumps(card | {"name": "new"}))
    with pytest.raises(DomainError, match="start_datasets is None"):
        model_import(actor=None, folder=folder)


def test_activation_moves_the_one_pointer_and_is_on_record(pipeline: PipelineVersion, admin_user: Any) -> None:
    other = pipeline_create(
        actor=admin_user, name="other", version="1", rule_set=RULE_SETS["paper-fig1"], models=pipeline.slots
    )
    pipeline_activate(actor=admin_user, pipeline=other, reason="better")
    assert [p.pk for p in PipelineVersion.objects.filter(is_active=True)] == [other.pk]
    event = AuditEvent.objects.get(action="pipeline.activate", actor=admin_user)
    assert (event.reason, event.data["before"]) == ("better", str(pipeline))
    pipeline_activate(actor=admin_user, pipeline=other)
    assert AuditEvent.objects.filter(action="pipeline.activate", actor=admin_user).count() == 1, "nothing changed"


def test_a_page_that_is_out_of_date_activates_nothing(pipeline: PipelineVersion, as_role: Any) -> None:
    """Two admins look at a pipeline each while a third is active; the second to press is told (ADR 0803)."""
    made = [
        pipeline_create(actor=None, name=name, version="1", rule_set=RULE_SETS["paper-fig1"], models=pipeline.slots)
        for name in ("first", "second")
    ]
    client = as_role("admin")
    forms = []
    for row in made:
        page = client.get(reverse("pipeline_detail", args=[row.pk])).content.decode()
        (seen,) = re.findall(r'name="instead_of" value="(\d+)"', page)
        assert int(seen) == pipeline.pk
        forms.append((reverse("pipeline_activate", args=[row.pk]), {"instead_of": seen, "reason": "better"}))
    assert client.post(*forms[0]).status_code == 302
    late = client.post(*forms[1])
    assert late.status_code == 409
    assert "first 1 is active by now; somebody was faster." in late.content.decode()
    assert client.post(forms[1][0], {}).status_code == 409
    assert [p.name for p in PipelineVersion.objects.filter(is_active=True)] == ["first"]
    out = io.BytesIO()
    pipeline_export(actor=None, pipeline=made[1], out=out)
    out.seek(0)
    late = client.post(reverse("registry_import"), {"file": out, "activate": "on", "instead_of": seen})
    assert late.status_code == 409, "the form for an import that is activated at once says it too"


@pytest.mark.parametrize("name", ["pipeline_activate", "pipeline_promote"])
def test_what_an_activation_cannot_keep_is_refused_in_words(
    pipeline: PipelineVersion, as_role: Any, name: str
) -> None:
    other = pipeline_create(
        actor=None, name="other", version="1", rule_set=RULE_SETS["paper-fig1"], models=pipeline.slots
    )
    client, address = as_role("admin"), reverse(name, args=[other.pk])
    seen = {"instead_of": str(pipeline.pk)}
    for wrong, words in (
        (seen | {"reason": "x" * 501}, "Reason: Ensure this value has at most 500 characters"),
        ({"instead_of": "x", "reason": "better"}, "Instead of: Enter a whole number."),
    ):
        answer = client.post(address, wrong)
        assert answer.status_code == 400
        assert words in answer.content.decode()
        assert PipelineVersion.objects.get(is_active=True) == pipeline
    assert client.post(address, seen | {"reason": "x" * 500}).status_code == 302
    assert PipelineVersion.objects.get(is_active=True) == other


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_two_activations_at_once_leave_exactly_one(pipeline_folder: Path) -> None:
    from django.db import connection

    first = pipeline_import(actor=None, folder=pipeline_folder)
    others = [
        pipeline_create(actor=None, name=f"p{i}", version="1", rule_set=RULE_SETS["paper-fig2"], models=first.slots)
        for i in range(4)
    ]
    start, failures = threading.Barrier(4), []

    def activate(pipeline: PipelineVersion) -> None:
        try:
            start.wait()
            pipeline_activate(actor=None, pipeline=pipeline)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=activate, args=[pipeline]) for pipeline in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert PipelineVersion.objects.filter(is_active=True).count() == 1
    assert AuditEvent.objects.filter(action="pipeline.activate").count() == 4


def test_the_starter_is_registered_once_and_does_not_push_out_an_active_one(
    db: None, pipeline_folder: Path, settings: Any, tmp_path: Path
) -> None:
    settings.STARTER_PIPELINE = tmp_path / "nothing"
    assert starter_ensure() is None
    settings.STARTER_PIPELINE = pipeline_folder
    starter = starter_ensure()
    assert starter is not None
    assert starter.is_active
    assert starter_ensure() == starter
    assert PipelineVersion.objects.count() == 1
    other = pipeline_create(actor=None, name="own", version="1", rule_set=RULE_SETS["paper-fig2"], models=starter.slots)
    pipeline_activate(actor=None, pipeline=other)
    starter_ensure()
    other.refresh_from_db()
    assert other.is_active


def test_a_download_is_made_where_uploads_wait(
    pipeline: PipelineVersion, as_role: Any, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in /tmp, which may be memory: weights are large."""
    asked: list[Any] = []
    real = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **named: asked.append(named["dir"]) or real(**named))
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    answer = as_role("admin").get(reverse("pipeline_export", args=[pipeline.pk]))
    assert b"".join(answer.streaming_content)[:2] == b"PK"  # type: ignore[attr-defined]
    assert asked == [str(tmp_path)]

"""One active pipeline whatever races, the losers told; weights that were changed are refused by name."""

from __future__ import annotations

import errno
import io
import itertools
import random
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections

from inference.models import Evaluation, ModelVersion, PipelineVersion, Promotion, TrainingRun
from inference.pipeline.classes import SLOT_CLASSES
from inference.pipeline.rules import RULE_SETS, Threshold
from inference.services.promotion import pipeline_promote, pipeline_roll_back, rules_choose
from inference.services.registry import pipeline_create
from inference.services.training import training_create
from leukoweb.core.audit import chain_verify
from leukoweb.core.exceptions import Conflict
from leukoweb.core.models import AuditEvent
from leukoweb.core.storage import blobs
from tests.inference.training.conftest import config, freeze


def bare(name: str, **training: Any) -> PipelineVersion:
    """A pipeline version whose model has a card and no files: promotion looks at neither."""
    model = ModelVersion.objects.create(
        name=f"model of {name}", version="1", slot="single_model", classes=["ACUTE", "CHRONIC", "NO_LEUKEMIA"],
        card={"training": training}, recipe_sha256="0" * 64, weights_sha256="0" * 64, onnx_sha256="0" * 64,
    )  # fmt: skip
    rules = RULE_SETS["single-model-majority"].as_dict()
    return PipelineVersion.objects.create(name=name, version="1", rule_set=rules, single_model=model)


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_a_hundred_racing_promotions_leave_one_active_and_ninety_nine_told() -> None:
    first, *others = (bare(f"p{i}") for i in range(4))
    pipeline_promote(actor=None, pipeline=first, instead_of=None)
    ready = threading.Barrier(10)
    told: Counter[str] = Counter()

    def promote(number: int) -> str:
        try:
            if number < 10:
                ready.wait(30)
            pipeline_promote(actor=None, pipeline=others[number % 3], instead_of=first.pk, reason=f"number {number}")
            return "won"
        except Conflict as error:
            return "told" if "somebody was faster" in error.message else error.message
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        told.update(pool.map(promote, range(100)))
    assert told == {"won": 1, "told": 99}
    assert PipelineVersion.objects.filter(is_active=True).count() == 1
    assert Promotion.objects.count() == 2
    winner = Promotion.objects.order_by("-id").first()
    assert winner.pipeline.is_active
    assert AuditEvent.objects.filter(action="pipeline.activate").count() == 2
    assert chain_verify().intact


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_whoever_looked_at_the_newest_state_always_gets_through() -> None:
    """A hundred promotions by people who look again after each refusal: each is one link of an unbroken history."""
    pipelines = [bare(f"q{i}") for i in range(4)]
    pipeline_promote(actor=None, pipeline=pipelines[0], instead_of=None)

    def promote(number: int) -> None:
        chooser = random.Random(number)
        try:
            while True:
                active = PipelineVersion.objects.get(is_active=True)
                other = chooser.choice([p for p in pipelines if p != active])
                try:
                    pipeline_promote(actor=None, pipeline=other, instead_of=active.pk)
                    return
                except Conflict:
                    continue
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(promote, range(40)))
    history = list(Promotion.objects.order_by("id"))
    assert len(history) == 41
    for earlier, later in itertools.pairwise(history):
        assert later.before_id == earlier.pipeline_id
    assert PipelineVersion.objects.get(is_active=True).pk == history[-1].pipeline_id


@pytest.mark.both_databases
@pytest.mark.django_db
def test_back_to_what_was_active_before_and_only_from_the_newest() -> None:
    one, two = bare("one"), bare("two")
    pipeline_promote(actor=None, pipeline=one, instead_of=None)
    pipeline_promote(actor=None, pipeline=two, instead_of=one.pk, reason="better")
    newest = Promotion.objects.order_by("-id").first()
    assert pipeline_roll_back(actor=None, promotion=newest, reason="worse after all") == one
    assert Promotion.objects.order_by("-id").first().reason == "Rolled back. worse after all"
    with pytest.raises(Conflict, match="Only the newest"):
        pipeline_roll_back(actor=None, promotion=newest)
    call_command("promote", "two:1", "--instead-of", "one:1")
    with pytest.raises(CommandError, match="somebody was faster"):
        call_command("promote", "one:1", "--instead-of", "one:1")
    call_command("promote", "--back")
    assert PipelineVersion.objects.get(is_active=True) == one


@pytest.mark.django_db
def test_who_clicks_twice_has_done_it_once(admin_user: Any) -> None:
    one, two = bare("one"), bare("two")
    pipeline_promote(actor=admin_user, pipeline=one, instead_of=None)
    for _ in range(2):
        assert pipeline_promote(actor=admin_user, pipeline=two, instead_of=one.pk) == two
    promotion = Promotion.objects.order_by("-id").first()
    for _ in range(2):
        assert pipeline_roll_back(actor=admin_user, promotion=promotion) == one
    assert Promotion.objects.count() == 3
    with pytest.raises(Conflict, match="somebody was faster"):
        pipeline_promote(actor=None, pipeline=two, instead_of=two.pk)


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_a_gate_is_chosen_once_by_two_clicks_and_other_rules_have_another_version() -> None:
    """Two runs; in each somebody clicks twice at once."""
    dataset = freeze({"AML": 1, "NO_LEUKEMIA": 1}, n_images=1)
    rules = RULE_SETS["paper-fig1"]
    models = {}
    for slot in rules.slots:
        models[slot] = ModelVersion.objects.create(
            name=slot, version="1", slot=slot, classes=list(SLOT_CLASSES[slot][0]), card={}, recipe_sha256="0" * 64,
            weights_sha256="0" * 64, onnx_sha256="0" * 64,
        )  # fmt: skip
    found = []
    for least in (2, 5):
        run = training_create(actor=None, dataset=dataset, config=config(), name=f"least {least}")
        run.pipeline = pipeline_create(actor=None, name=run.name, version="1", rule_set=rules, models=models)
        run.save()
        gate = Threshold("count", least).as_dict()
        Evaluation.objects.create(
            pipeline=run.pipeline, dataset=dataset, report={"sweep": [{"gate": gate}]}, engine_profile="t"
        )
        ready = threading.Barrier(2)

        def choose(_: int, run: TrainingRun = run, least: int = least, ready: threading.Barrier = ready) -> str:
            try:
                ready.wait(30)
                return str(rules_choose(actor=None, run=run, measure="count", at_least=str(least)))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(choose, range(2))) == [f"least {least} 2"] * 2
        run.refresh_from_db()
        found.append((run.pipeline.rule_set["name"], run.pipeline.rule_set["version"]))
    assert found == [("paper-fig1-swept", 1), ("paper-fig1-swept", 2)]


@pytest.mark.django_db
def test_a_control_can_never_be_active() -> None:
    control = bare("control", shuffled_labels=True)
    with pytest.raises(Conflict, match="model of control 1 was trained on shuffled labels"):
        pipeline_promote(actor=None, pipeline=control, instead_of=None)
    assert not PipelineVersion.objects.filter(is_active=True).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_an_export_that_fails_half_way_leaves_no_file(
    pipeline: PipelineVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from inference.management.commands import export_model

    def half(*, out: Any, **options: Any) -> None:
        out.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export_model, "model_export", half)
    monkeypatch.setattr(export_model, "model_file_read", lambda *_: half(out=io.BytesIO()))
    model = pipeline.slots["model_1"]
    folder = tmp_path / "exports"
    folder.mkdir()
    old = folder / "old.zip"
    old.write_bytes(b"an earlier export")
    for out in (folder / "new.zip", old):
        with pytest.raises(CommandError, match="No space left on device"):
            call_command("export_model", f"{model.name}:{model.version}", "--format", kind, "--out", str(out))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"old.zip": b"an earlier export"}


@pytest.mark.django_db
def test_a_model_is_exported_in_each_format_and_a_changed_file_is_refused_by_name(
    pipeline: PipelineVersion, tmp_path: Path
) -> None:
    model = pipeline.slots["model_1"]
    name = f"{model.name}:{model.version}"
    for kind, start in (("zip", b"PK"), ("onnx", b"\x08"), ("card", b"{")):
        call_command("export_model", name, "--format", kind, "--out", str(tmp_path / kind))
        assert (tmp_path / kind).read_bytes().startswith(start)
    call_command("export_model", name, "--format", "safetensors", "--out", str(tmp_path / "w"))
    assert (tmp_path / "w").read_bytes() == blobs().read(model.weights_sha256)
    path = blobs().path(model.weights_sha256)
    path.chmod(0o640)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    shutil.rmtree(Path(settings.CACHE_ROOT) / "models")
    with pytest.raises(CommandError, match=r"E_WEIGHTS_SHA: weights\.safetensors has SHA-256"):
        call_command("export_model", name, "--out", str(tmp_path / "again.zip"))
    assert not (tmp_path / "again.zip").exists()
    with pytest.raises(CommandError, match="There is no model 'nobody:1'"):
        call_command("export_model", "nobody:1", "--out", str(tmp_path / "x"))

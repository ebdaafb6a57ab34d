"""Where a network starts from, and the quick retraining of a live model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from inference.models import PipelineVersion, TrainingEpoch, TrainingRun
from inference.pipeline.errors import WeightsKeys
from inference.pipeline.evaluation import chosen_rules
from inference.pipeline.networks import build_network
from inference.pipeline.rules import Threshold, rule_set_named
from inference.pipeline.training_config import PRESETS, ConfigInvalid
from inference.selectors.comparisons import gate_chosen_on
from inference.services.files import model_folder
from inference.services.registry import pipeline_activate, pipeline_create
from inference.services.training import training_continue, training_create, training_request, training_start
from inference.worker.training_register import _make_candidate
from inference.worker.training_start import initial_weights
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.models import Job
from tests.inference.training.conftest import TINY, config, freeze
from tests.inference.training.test_ancestry import ELSEWHERE, descendant, drawn_anew

pytestmark = pytest.mark.django_db


def test_a_local_file_of_another_task_gives_all_but_the_classifier(frozen: Any, weights_folder: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(7)
    pretrained = build_network(TINY, 1000)
    save_file(pretrained.state_dict(), weights_folder / "pretrained.safetensors")
    run = training_create(actor=None, dataset=frozen, config=config(initial_weights="file:pretrained.safetensors"))
    start = initial_weights(run, run.parts.get())
    assert start.words == "file pretrained.safetensors"
    assert len(start.sha256) == 64
    network = build_network(TINY, 2, initial_weights=start.source)
    for key, value in network.state_dict().items():
        assert torch.equal(value, pretrained.state_dict()[key]) != key.startswith("classifier.")
    (weights_folder / "pretrained.safetensors").unlink()
    with pytest.raises(ConfigInvalid, match="is gone"):
        initial_weights(run, run.parts.get())


def test_a_start_that_is_not_there_or_of_another_network_is_refused(frozen: Any, pipeline: PipelineVersion) -> None:
    for start, words in (("file:absent.safetensors", "There is no file"), ("model:999999", "There is no model")):
        with pytest.raises(ConfigInvalid, match=words):
            training_create(actor=None, dataset=frozen, config=config(initial_weights=start))
    model = pipeline.slots["model_1"]
    run = training_create(actor=None, dataset=frozen, config=config(initial_weights=f"model:{model.pk}"))
    assert run.config["architecture"] == model.card["architecture"], "a registered model brings its network with it"
    TrainingRun.objects.filter(pk=run.pk).update(config=run.config | {"architecture": TINY})
    run.refresh_from_db()
    with pytest.raises(WeightsKeys, match="this run trains a densenet"):
        initial_weights(run, run.parts.get())


def test_a_promotion_in_between_does_not_change_what_a_run_starts_from(
    frozen: Any, pipeline: PipelineVersion, other_pipeline: PipelineVersion
) -> None:
    run = training_create(actor=None, dataset=frozen, config=config(initial_weights="live"))
    assert run.state == "draft"
    pinned = pipeline.slots["model_1"]
    pipeline_activate(actor=None, pipeline=other_pipeline)
    assert initial_weights(run, run.parts.get()).sha256 == pinned.weights_sha256


def test_a_gate_that_was_chosen_once_stays_with_the_next_training(frozen: Any, pipeline: PipelineVersion) -> None:
    """The active pipeline has the gate of an earlier run; what is promoted meanwhile changes nothing."""
    earlier = training_create(actor=None, dataset=drawn_anew(frozen), config=config(), name="earlier")
    rules = chosen_rules(rule_set_named("paper-fig2"), Threshold("count", 3).as_dict())
    live = pipeline_create(actor=None, name=earlier.name, version="2", rule_set=rules, models=pipeline.slots)
    pipeline_activate(actor=None, pipeline=live)
    plan = config(models=["model_1", "model_2", "model_3"], rules="live")
    run = training_create(actor=None, dataset=frozen, config=plan, name="next")
    pipeline_activate(actor=None, pipeline=pipeline)
    for part in run.parts.all():
        run.parts.filter(pk=part.pk).update(model=pipeline.slots[part.part])
    _make_candidate(SimpleNamespace(write=nullcontext), run, print)  # type: ignore[arg-type]
    assert run.pipeline.rule_set == rules.as_dict()
    assert gate_chosen_on(run.pipeline, frozen) == 0, "kept, not chosen, and on other patients"
    assert gate_chosen_on(run.pipeline, earlier.dataset) == 7
    PipelineVersion.objects.update(is_active=False)
    with pytest.raises(ConfigInvalid, match="there are no rules to keep"):
        training_create(actor=None, dataset=frozen, config=plan)


def test_a_quick_retraining_changes_the_last_layer_alone_and_says_so(
    pipeline: PipelineVersion, run_jobs: Callable[[], int], admin_user: Any, data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    plan = PRESETS["quick"].with_options(
        {"models": "model_1", "epochs": "15", "threads": "1", "recalibrate_frozen": "false", "schedule": "constant"}
    )
    descendant(pipeline.slots["model_1"], "its twin", same_weights=True, start_datasets=[ELSEWHERE])
    def fail(*args: Any) -> None:
        raise DomainError("Anything.", code="E_ANY")

    torch.set_num_threads(2)
    with monkeypatch.context() as patch:
        patch.setattr("inference.pipeline.export.save_model_folder", fail)
        run = training_create(actor=None, dataset=freeze(n_images=2, synthetic=False), config=plan, name="fast")
        training_start(actor=None, run=run)
        run_jobs()
    assert run.parts.get().epochs_done == TrainingEpoch.objects.count() == 0, "an attempt that came to nothing"
    training_continue(actor=admin_user, run=TrainingRun.objects.get(pk=run.pk))
    run_jobs()
    assert torch.get_num_threads() == 2, "the worker computes on with its own number"
    run.refresh_from_db()
    part = run.parts.select_related("model").get()
    card = part.model.card
    assert card["intended_use"].startswith("QUICK retraining")
    assert card["training"]["method"] == "quick"
    assert card["training"]["schedule"] == "constant"
    assert set(part.epochs.values_list("learning_rate", flat=True)) == {card["training"]["learning_rate"]}
    assert "colour_jitter" not in card["training"], "no variants are drawn"
    assert card["training"]["initial_weights"] == f"model {pipeline.slots['model_1']}"
    assert not card["training"]["environment"].keys() & {"live", "rules"}
    assert card["training"]["start_datasets"] == [ELSEWHERE], "what the start has learned from goes along"
    assert (part.model.synthetic, card["training"]["start_synthetic"]) == (False, True), "it learned from people"
    assert card["recipe"] == pipeline.slots["model_1"].card["recipe"]
    before, after = (model_folder(model).weights() for model in (pipeline.slots["model_1"], part.model))
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert part.epochs.count() == 15
    assert part.best_macro_f1 > 0.6, "colours are told apart even by features that were made for something else"
    assert len(list((data_dir / "cache" / "training" / "features").rglob("*.raw"))) == 42
    assert run.pipeline.slots["model_2"] == pipeline.slots["model_2"], "the other slots are the live ones"


def test_names_that_an_imported_pipeline_has_are_taken_and_never_stop_a_run(
    frozen: Any, pipeline: PipelineVersion, run_jobs: Callable[[], int], admin_user: Any
) -> None:
    """Another site's run of the same name was imported before this one was made, or while it trained."""
    origin = pipeline.slots["model_1"]
    descendant(origin, "tiny-1 run 1 model 1")
    plan = config(settings={"epochs": 1})
    assert training_create(actor=None, dataset=frozen, config=plan).name == "tiny-1 run 2"
    for name in ("tiny-1 run 1", pipeline.name):
        with pytest.raises(Conflict, match="name of a registered model or pipeline already"):
            training_create(actor=None, dataset=frozen, config=plan, name=name)
    run = training_create(actor=admin_user, dataset=frozen, config=plan, name="days")
    job = training_start(actor=admin_user, run=run)
    descendant(origin, "days model 1")
    rules = rule_set_named("paper-fig2")
    pipeline_create(actor=None, name="days", version="1", rule_set=rules, models=pipeline.slots)
    assert training_create(actor=admin_user, dataset=frozen, config=plan) == run, "asked for twice, trained once"
    assert training_request(actor=admin_user, dataset=frozen, config=plan, name="days") == (run, job)
    Job.objects.filter(pk=job.pk).update(cancel_requested=True)
    assert training_create(actor=admin_user, dataset=frozen, config=plan) != run, "one that is being cancelled is over"
    Job.objects.filter(pk=job.pk).update(cancel_requested=False)
    run_jobs()
    run.refresh_from_db()
    assert (run.job.status, run.job.error) == ("done", "")
    assert (str(run.parts.get().model), str(run.pipeline)) == ("days model 1 2", "days 2")
    assert training_create(actor=admin_user, dataset=frozen, config=plan) != run, "a finished one may be repeated"

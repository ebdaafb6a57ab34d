"""The jobs ``training.run`` and ``training.estimate``: a dataset version in, registered models and a candidate out.

Each epoch first leaves a state file, then one fenced transaction writes its row and the name of that file. Whatever is
killed in between is computed again with the same result, so no epoch is counted twice.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from cases.selectors.datasets import dataset_withdrawn
from inference.models import TrainingEpoch, TrainingNote, TrainingPart, TrainingRun
from inference.pipeline.networks import require_torch
from inference.pipeline.training_config import PARTS, TrainingConfig
from inference.pipeline.training_data import TrainingRefused
from inference.selectors.training import duration, run_progress, training_entries
from inference.services.training import check_dataset, check_start
from inference.worker.training_images import decode_all, image_sets, verify_files, verify_manifest
from inference.worker.training_start import initial_weights
from inference.worker.training_withdrawals import entries_still, refuse_old_state
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.words import counted
from leukoweb.statistics.results import to_json_value

KEPT_STATES = 2


class StateGone(DomainError):
    code = "E_STATE_GONE"
    status = 409


def train_run(context: JobContext) -> str:
    """The job ``training.run``. Returns the closing words of the job."""
    run = TrainingRun.objects.select_related("dataset__taxonomy", "pipeline").get(pk=context.payload["run"])
    require_torch("Training")
    from inference.pipeline.threads import threads_given_back

    with threads_given_back():
        return _train(context, run)


def _train(context: JobContext, run: TrainingRun) -> str:
    plan = run.plan
    maps = {part.part: part for part in check_dataset(run.dataset, plan)}
    entries = training_entries(run.dataset)
    say = Log(context, run)
    if "device" not in run.environment:
        gone = dataset_withdrawn(run.dataset)
        left = f" {counted(gone, 'image')} left out, of patients withdrawn after the freeze." if gone else ""
        say(f"Started: {counted(len(entries), 'image')} of {run.dataset}, {', '.join(plan.models)}.{left}")
    _note_environment(run, say)
    _progress(context, run, "checking the files of the dataset")
    verify_manifest(run.dataset)
    verify_files(entries, context.check)
    _progress(context, run, "decoding images")
    cache = decode_all(entries, plan.recipe, context.check)
    for part in run.parts.order_by("position"):
        if part.model_id is None:
            seed = plan.settings.seed if plan.shuffled_labels else None
            data = image_sets(entries, maps[part.part], cache, shuffle_seed=seed, load=plan.method == "full")
            _train_part(context, run, part, data, say)
    from inference.worker.training_register import candidate_ensure

    return candidate_ensure(context, run, entries, say)


def estimate_run(context: JobContext) -> str:
    """The job ``training.estimate``: a few steps on made-up pixels, times what the run would take."""
    require_torch("Training")
    from inference.pipeline.threads import threads_given_back
    from inference.pipeline.train_measure import measure_part

    run = TrainingRun.objects.select_related("dataset__taxonomy").get(pk=context.payload["run"])
    plan, entries = run.plan, training_entries(run.dataset)
    maps = check_dataset(run.dataset, plan)
    found: list[dict[str, Any]] = []
    for part in maps:
        context.check()
        with threads_given_back():
            found.append(measure_part(plan, part, entries))
        context.progress(len(found), len(maps))
    total = sum(item["seconds"] for item in found)
    estimate = {"seconds": total, "parts": found, "environment": environment(plan)}
    with context.write():
        TrainingRun.objects.filter(pk=run.pk).update(estimate=to_json_value(estimate))
    return f"About {duration(total)} on this machine."


class Log:
    """Lines of the run's log, written while the job is ours."""

    def __init__(self, context: JobContext, run: TrainingRun) -> None:
        self.context, self.run = context, run

    def __call__(self, text: str) -> None:
        with self.context.write():
            TrainingNote.objects.create(run=self.run, text=text[:500])


def run_folder(run: TrainingRun) -> Path:
    """Where the states of a run lie until its models are registered."""
    return Path(settings.DATA_DIR) / "training" / str(run.public_id)


def environment(plan: TrainingConfig) -> dict[str, Any]:
    """What the numbers depend on beside configuration and data."""
    import torch
    import torchvision

    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name(0) if cuda else "CPU",
        "devices": min(torch.cuda.device_count(), plan.max_devices or 64) if cuda else 1,
        "threads": plan.settings.threads or torch.get_num_threads(),
        "torch": torch.__version__, "torchvision": torchvision.__version__,
        "python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(),
    }  # fmt: skip


def _note_environment(run: TrainingRun, say: Log) -> None:
    """That of the first attempt, and under ``later`` each other one in which the run went on."""
    now, known = environment(run.plan), run.environment
    later = list(known.get("later", ()))
    if "device" not in known:
        run.environment = now | known
    elif now in later or now == {key: known.get(key) for key in now}:
        return
    else:
        run.environment = known | {"later": [*later, now]}
        words = f"{now['device']}, {counted(now['threads'], 'thread')}, torch {now['torch']}"
        say(f"Goes on in other surroundings than it began in: {words}.")
    run.save(update_fields=["environment"])


def _train_part(context: JobContext, run: TrainingRun, part: TrainingPart, data: Any, say: Log) -> None:
    from inference.worker.training_register import register_part

    plan = run.plan
    start = initial_weights(run, part)
    check_start(run.dataset, start.datasets)
    folder = run_folder(run) / part.part
    try:
        refuse_old_state(run)
        if plan.method == "quick":
            from inference.worker.training_quick import train_quick

            trained = train_quick(context, run, part, data, start, say)
        else:
            trained = _train_full(context, run, part, data, start, say)
        register_part(context, run, part, trained, data, start, say)
    except (DomainError, OSError) as error:
        _say_withdrawn(run, data, folder, error)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _say_withdrawn(run: TrainingRun, data: Any, folder: Path, error: DomainError | OSError) -> None:
    """Whatever stopped the part: if a patient was withdrawn meanwhile, raise that, and keep no state that knows them.

    A withdrawal purges the pixels, so a set that is read from the disk while training fails by a missing file.
    """
    try:
        if getattr(error, "code", "") == "E_WITHDRAWN":
            raise error
        entries_still(run, data)
    except TrainingRefused as refused:
        if refused.code == "E_WITHDRAWN":
            shutil.rmtree(folder, ignore_errors=True)
            raise refused from None


def require_state(run: TrainingRun, part: TrainingPart) -> None:
    """StateGone where the file of the last finished epoch is not here: epochs on record are never written again."""
    path = run_folder(run) / part.part / part.state_name
    if part.state_name and not path.is_file():
        raise StateGone(
            f"{PARTS[part.part][2]} cannot go on after epoch {part.epochs_done}: its state is not in {path.parent}.",
            hint="Backups hold no states of unfinished trainings. Start a new training with the same options; what "
            "it has registered stays. With several machines, DATA_DIR/training must be one folder for all of them.",
        )


def _train_full(context: JobContext, run: TrainingRun, part: TrainingPart, data: Any, start: Any, say: Log) -> Any:
    import torch

    from inference.pipeline.train import Epoch, Trainer
    from inference.pipeline.train_memory import fit_to_memory

    plan, folder = run.plan, run_folder(run) / part.part
    require_state(run, part)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and torch.cuda.device_count() > 1 and plan.max_devices != 1:
        from inference.worker.training_devices import train_on_devices

        return train_on_devices(context, run, part, data, start, say)
    trainer = Trainer(
        *data, architecture=plan.architecture, recipe=plan.recipe, settings=plan.settings,
        initial_weights=start.source, device=device, say=say,
    )  # fmt: skip
    if part.state_name:
        trainer.resume(folder / part.state_name)
        say(f"{PARTS[part.part][2]}: goes on after epoch {part.epochs_done}.")
    else:
        fit_to_memory(trainer)

    def on_epoch(epoch: Epoch) -> None:
        name = f"epoch-{epoch.number:05}-{context.claim.fence}.safetensors"
        context.check()
        entries_still(run, data)
        trainer.save(folder / name)
        save_epoch(context, part, epoch, trainer.best_epoch, name)
        _forget_older(folder, name)
        tell_progress(context, run, part, epoch.number)

    trained = trainer.run(on_epoch, lambda done, total: context.check())
    if len(trained.history) < plan.settings.epochs:
        say(f"{PARTS[part.part][2]}: stopped early, {plan.settings.early_stopping} epochs without a better one.")
    return trained


def save_epoch(context: JobContext, part: TrainingPart, epoch: Any, best_epoch: int, state_name: str) -> None:
    """The row of an epoch and the pointer to its state, in one transaction that only the newest claim may make."""
    values = {
        "loss": epoch.loss, "macro_f1": epoch.macro_f1, "accuracy": epoch.accuracy,
        "class_f1": to_json_value(epoch.class_f1), "learning_rate": epoch.learning_rate,
        "images_per_s": epoch.images_per_s, "seconds": epoch.seconds,
    }  # fmt: skip
    with context.write():
        TrainingEpoch.objects.create(part=part, number=epoch.number, **values)
        part.epochs_done, part.best_epoch, part.state_name = epoch.number, best_epoch, state_name
        if best_epoch == epoch.number:
            part.best_macro_f1 = epoch.macro_f1
        part.save(update_fields=["epochs_done", "best_epoch", "state_name", "best_macro_f1"])


def tell_progress(context: JobContext, run: TrainingRun, part: TrainingPart, epoch: int) -> None:
    """How far the whole run is, with the part's own epoch in words."""
    _progress(context, run, f"{part.part.replace('_', ' ')}, epoch {epoch} of {run.plan.settings.epochs}")


def _progress(context: JobContext, run: TrainingRun, note: str) -> None:
    progress = run_progress(TrainingRun.objects.get(pk=run.pk))
    words = [note]
    if progress.images_per_s:
        words.append(f"{progress.images_per_s:.3g} images/s")
    if progress.seconds_left:
        words.append(f"about {duration(progress.seconds_left)} left")
    context.progress(progress.done, progress.total, ", ".join(words))


def _forget_older(folder: Path, newest: str) -> None:
    """Keep the newest states; the file that the row names is always among them."""
    pattern = re.compile(r"epoch-\d+-\d+\.safetensors")
    states = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    for path in states[:-KEPT_STATES]:
        if path.name != newest:
            path.unlink(missing_ok=True)

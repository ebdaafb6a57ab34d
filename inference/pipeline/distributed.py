"""``torchrun -m inference.pipeline.distributed FOLDER``: one training over several processes, from a folder on disk.

Every process runs the one trainer of ``inference.pipeline.train``; the first writes a state and a line in
``epochs.jsonl`` after each epoch (state first), and the best network at the end. NCCL on GPUs, gloo on CPUs.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import distributed

from inference.pipeline.dataset import ImageSet
from inference.pipeline.image_cache import CachedImages, pixel_cache
from inference.pipeline.networks import build_network
from inference.pipeline.preprocess import Recipe
from inference.pipeline.train import Epoch, TrainedModel, Trainer, TrainingSettings, World, evaluate, logits_of
from inference.pipeline.train_batches import Normalise

PATIENCE = timedelta(hours=2)  # one process may read a cold cache while the others wait
KEPT_STATES = 2


def main(folder: Path) -> None:
    """Train to the end; the state files and the result lie in ``folder``."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        trainer = Trainer(
            *image_sets(folder, spec), architecture=spec["architecture"], recipe=Recipe.from_dict(spec["recipe"]),
            settings=TrainingSettings(**spec["settings"]), initial_weights=spec["initial_weights"], device=device,
            world=World(rank, size),
        )  # fmt: skip
        if spec["resume"]:
            trainer.resume(Path(spec["resume"]))
        trained = trainer.run(lambda epoch: _kept(trainer, folder, epoch) if rank == 0 else None)
        if rank == 0:
            result = {"best_epoch": trained.best_epoch, "settings": trained.settings,
                      "history": [asdict(epoch) for epoch in trained.history]}  # fmt: skip
            save_file({k: v.contiguous() for k, v in trained.network.state_dict().items()}, folder / "best.safetensors")
            (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def image_sets(folder: Path, spec: dict[str, Any]) -> tuple[ImageSet, ImageSet]:
    """Training and validation set that the spec describes."""
    recipe, sets = Recipe.from_dict(spec["recipe"]), []
    for side in (spec["training"], spec["validation"]):
        if "array" in side:
            images: Any = np.load(folder / side["array"], allow_pickle=False, mmap_mode="r")
        else:
            images = CachedImages(pixel_cache(Path(side["cache"]), recipe), side["contents"])
        targets = np.array(side["targets"], dtype=np.int64)
        sets.append(ImageSet(images, targets, tuple(side["patients"]), tuple(side["classes"])))
    return sets[0], sets[1]


def finished(folder: Path, data: tuple[ImageSet, ImageSet]) -> TrainedModel:
    """What ``main`` left, as a training in one process would return it."""
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    network = build_network(spec["architecture"], len(data[0].classes))
    network.load_state_dict(load_file(folder / "best.safetensors"))
    logits = logits_of(network, data[1], Normalise(Recipe.from_dict(spec["recipe"])))
    history = tuple(Epoch(**entry | {"class_f1": tuple(entry["class_f1"])}) for entry in result["history"])
    return TrainedModel(
        network.eval(), history, result["best_epoch"], evaluate(logits, data[1]), result["settings"], logits
    )


def _kept(trainer: Trainer, folder: Path, epoch: Epoch) -> None:
    name = f"epoch-{epoch.number:05}.safetensors"
    trainer.save(folder / name)
    with (folder / "epochs.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"epoch": asdict(epoch), "state": name, "best_epoch": trainer.best_epoch}) + "\n")
        lines.flush()
        os.fsync(lines.fileno())
    for old in sorted(folder.glob("epoch-*.safetensors"))[: -KEPT_STATES - 8]:  # the job may be a few epochs behind
        old.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The engine table: speed, agreement and decision flips of every engine on real, phantom and near-boundary fields.

    python -m benchmarks.engines_bench --data FOLDER [--every 4] [--json OUT]

All images below FOLDER, phantoms and blends go through three DenseNet-121 at 448 px (``densenet_triple``; give
``--pipeline`` for trained ones). Engines take turns on the same few images, and every figure of speed is the median
of ratios within a turn, because a shared machine changes its speed from minute to minute.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.densenet_triple import blend, build_triple, mixtures, phantoms
from benchmarks.whole_pipeline import Infer, batched_torch, print_whole, whole_pipeline
from inference.pipeline.checkpoint import ModelFolder, Pipeline, load_pipeline_folder
from inference.pipeline.close_calls import CloseCalls
from inference.pipeline.engine import Engine, EngineOutput, RecheckedEngine, logit_gap, open_engine
from inference.pipeline.engine_torch import TorchEngine
from inference.pipeline.preprocess import decode
from inference.pipeline.runner import softmax

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
REFERENCE = "torch fp32, 1 a forward"
SERVED = "OpenVINO as served"
UNCHECKED = "OpenVINO bf16, no re-check"
BOUNDARY = "boundary"
CHUNK = 48  # fields of a turn, one slide to the served engine; the paper's 64 patients have 46 on average
BATCH = 8  # the worker's


@dataclass
class Collected:
    """What one engine said about the images it was given, and how long each turn took."""

    turns: list[tuple[float, float]] = field(default_factory=list)  # (seconds, seconds of the reference)
    rates: list[float] = field(default_factory=list)
    difference: float = 0.0
    logit_difference: float = 0.0
    flips: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)


def images_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def engines_of(model: ModelFolder, threads: int) -> tuple[dict[str, Infer], dict[str, Infer], RecheckedEngine | None]:
    """(engines that see every image, engines that see a sample, the served engine if it has a re-check)."""
    reference = TorchEngine(model, threads=threads)
    served = open_engine(model, "openvino", threads=threads)
    every: dict[str, Infer] = {
        REFERENCE: lambda batch: reference.infer(batch).logits,
        SERVED: as_worker(served),
    }
    rechecked = served if isinstance(served, RecheckedEngine) else None
    if rechecked is not None:
        rechecked.open_exact()  # compiled once a worker: no part of a turn
        fast = open_engine(model, "openvino", precision="bf16", threads=threads)
        every[UNCHECKED] = as_worker(fast)
    exact = open_engine(model, "openvino", precision="fp32", threads=threads)
    sampled: dict[str, Infer] = {
        "torch fp32, 8 a forward": batched_torch(model, bf16=False, threads=threads),
        "torch bf16 channels last, 8 a forward": batched_torch(model, bf16=True, threads=threads),
        "OpenVINO fp32": lambda batch: exact.infer(batch).logits,
    }
    return every, sampled, rechecked


def as_worker(engine: Engine) -> Infer:
    """Batch by batch, with close calls settled together, as a worker does."""

    def infer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls, rows = CloseCalls[int](engine), {}
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            for keys, output in calls.add(range(start, start + len(batch)), batch):
                rows |= dict(zip(keys, output.logits, strict=True))
        for keys, output in calls.settle():
            rows |= dict(zip(keys, output.logits, strict=True))
        return np.stack([rows[i] for i in range(len(images))])

    return infer


def boundary(model: ModelFolder, images: NDArray[np.uint8], n: int, *, seed: int, threads: int) -> NDArray[np.uint8]:
    """``n`` blends of two images with different labels, the share halved in until the two labels all but meet."""
    infer = open_engine(model, "openvino", threads=threads).infer
    labels = infer(images).logits.argmax(1)
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(len(images)) for j in range(i) if labels[i] != labels[j]]
    if not pairs:
        return images[:0]
    chosen = np.array([pairs[k] for k in rng.choice(len(pairs), min(n, len(pairs)), replace=False)])
    first, second = images[chosen[:, 0]], images[chosen[:, 1]]
    low, high = np.zeros(len(chosen)), np.ones(len(chosen))
    for _ in range(6):
        middle = (low + high) / 2
        same = infer(blend(first, second, middle)).logits.argmax(1) == labels[chosen[:, 0]]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return blend(first, second, (low + high) / 2)


@dataclass
class Spent:
    """What the re-check of one model cost over one set of images."""

    images: int = 0
    rechecked: int = 0
    recheck_s: float = 0.0
    served_s: float = 0.0  # recheck_s in it
    gaps: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        row = {name: value for name, value in vars(self).items() if name != "gaps"}
        return row | {"median_gap": float(np.median(self.gaps)) if self.gaps else 0.0}


@dataclass
class Trial:
    """One model with its engines, and how often and how dearly it computed twice in each set."""

    slot: str
    engines: dict[str, Infer]
    sampled: dict[str, Infer]
    rechecked: RecheckedEngine | None
    spent: dict[str, Spent] = field(default_factory=dict)
    recheck_s: float = 0.0

    def __post_init__(self) -> None:
        """Re-checks are timed where they happen: two turns differ by more than a re-check takes."""
        if self.rechecked is None:
            return
        settle = self.rechecked.settle

        def timed(batch: NDArray[np.uint8], *, with_features: bool = False) -> EngineOutput:
            began = time.perf_counter()
            output = settle(batch, with_features=with_features)
            self.recheck_s += time.perf_counter() - began
            return output

        self.rechecked.settle = timed  # type: ignore[method-assign]

    def turn(self, name: str, chunk: NDArray[np.uint8], found: dict[str, Collected], *, sample: bool) -> None:
        """Every engine once over the same images, in another order each time: who follows torch finds the cores still
        spinning and the caches cold. ``sample`` brings in the slow ones."""
        before, before_s = (self.rechecked.rechecked if self.rechecked else 0), self.recheck_s
        outputs, seconds = {}, {}
        engines = list((self.engines | self.sampled if sample else self.engines).items())
        for title, infer in random.sample(engines, len(engines)):
            began = time.perf_counter()
            outputs[title] = infer(chunk)
            seconds[title] = time.perf_counter() - began
        for title, logits in outputs.items():
            one = found.setdefault(title, Collected())
            _collect(one, name, logits, outputs[REFERENCE])
            one.turns.append((seconds[title], seconds[REFERENCE]))
            one.rates.append(len(chunk) / seconds[title])
        spent = self.spent.setdefault(name, Spent())
        spent.gaps += logit_gap(outputs[REFERENCE]).tolist()
        spent.rechecked += (self.rechecked.rechecked - before) if self.rechecked else 0
        spent.images += len(chunk)
        spent.recheck_s += self.recheck_s - before_s
        spent.served_s += seconds[SERVED]

    def as_dict(self) -> dict[str, Any]:
        margin = self.rechecked.margin if self.rechecked else 0.0
        return {"slot": self.slot, "margin": margin, "sets": {name: one.as_dict() for name, one in self.spent.items()}}


def measure(
    pipeline: Pipeline,
    sets: dict[str, NDArray[np.uint8]],
    pool: NDArray[np.uint8],
    options: argparse.Namespace,
    keep: Callable[[dict[str, Collected], list[Trial], int, int], None],
) -> None:
    """Turns over all sets in one shuffled order, so that a run that is cut short has seen a fair share of each.

    ``keep`` is called after every turn.
    """
    found: dict[str, Collected] = {}
    trials, near = [], {}
    for slot in ("model_1", "model_2", "model_3"):
        model = pipeline.models[slot]
        trials.append(Trial(slot, *engines_of(model, options.threads)))
        near[slot] = boundary(model, pool, options.boundary, seed=2, threads=options.threads)
        for infer in (*trials[-1].engines.values(), *trials[-1].sampled.values()):
            infer(pool[:2])
    sizes = {name: len(images) for name, images in sets.items()} | {BOUNDARY: options.boundary}
    work = [(name, start) for name, n in sizes.items() for start in range(0, n, CHUNK)]
    deadline = time.monotonic() + 60 * options.minutes
    random.seed(4)
    shuffled = [work[i] for i in np.random.default_rng(3).permutation(len(work))]
    for number, (name, start) in enumerate(shuffled):
        if time.monotonic() > deadline:
            say(f"stopped after {number} of {len(shuffled)} turns: the {options.minutes:.0f} minutes are over")
            break
        for trial in trials:
            images = near[trial.slot] if name == BOUNDARY else sets[name]
            chunk = images[start : start + CHUNK]
            if len(chunk):
                trial.turn(name, chunk, found, sample=number % options.every == 0)
        say(f"turn {number + 1} of {len(shuffled)}")
        keep(found, trials, number + 1, len(shuffled))


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _collect(into: Collected, name: str, logits: NDArray[np.float32], exact: NDArray[np.float32]) -> None:
    into.difference = max(into.difference, float(np.abs(softmax(logits) - softmax(exact)).max()))
    into.logit_difference = max(into.logit_difference, float(np.abs(logits - exact).max()))
    into.flips[name] = into.flips.get(name, 0) + int((logits.argmax(1) != exact.argmax(1)).sum())
    into.images[name] = into.images.get(name, 0) + len(logits)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of real fields")
    parser.add_argument("--pipeline", type=Path, help="a pipeline folder; otherwise three untrained DenseNet-121")
    parser.add_argument("--limit", type=int, help="real fields at most, for a short trial")
    parser.add_argument("--phantoms", type=int, default=28)
    parser.add_argument("--mixed", type=int, default=56)
    parser.add_argument("--boundary", type=int, default=16, help="blends driven to a boundary, for each model")
    parser.add_argument("--every", type=int, default=6, help="the slow engines get every so many-th turn")
    parser.add_argument("--minutes", type=float, default=120, help="stop taking turns after these minutes")
    parser.add_argument("--slide", type=int, default=24, help="real fields of the slide of the whole pipeline")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    paths = images_below(options.data)
    if not paths:
        parser.error(f"there is no image below {options.data}")
    step = max(1, len(paths) // options.limit) if options.limit else 1
    paths = paths[::step]
    with tempfile.TemporaryDirectory() as scratch:
        pipeline = (
            load_pipeline_folder(options.pipeline)
            if options.pipeline
            else build_triple(Path(scratch), n_fields=max(14, options.phantoms))
        )
        recipe = next(iter(pipeline.models.values())).card.recipe
        with ThreadPoolExecutor(options.threads) as pool:
            real = np.stack(list(pool.map(lambda path: recipe.prepare(decode(path.read_bytes())), paths)))
        sets = {"real": real, "phantom": phantoms(options.phantoms, seed=70_000, recipe=recipe)[0]}
        some = np.concatenate([real[:: max(1, len(real) // 24)], sets["phantom"]])
        sets["mixed"] = mixtures(some, options.mixed, seed=1)
        slide = paths[:: max(1, len(paths) // options.slide)][: options.slide]
        report = {
            "weights": pipeline.description, "threads": options.threads,
            "images": {name: len(images) for name, images in sets.items()} | {BOUNDARY: options.boundary},
            "whole": whole_pipeline(pipeline, slide, rounds=options.rounds, threads=options.threads),
        }  # fmt: skip

        def keep(found: dict[str, Collected], trials: list[Trial], turn: int, turns: int) -> None:
            minutes = (time.monotonic() - started) / 60
            report.update(minutes=minutes, turns=[turn, turns], recheck=[trial.as_dict() for trial in trials])
            report["engines"] = {title: engine_row(one) for title, one in found.items()}
            if options.json:
                options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

        measure(pipeline, sets, some, options, keep)
    print_report(report)


def engine_row(one: Collected) -> dict[str, Any]:
    """The figures of one engine over all turns that it took."""
    ratios = [reference / own for own, reference in one.turns]
    return {
        "images": sum(one.images.values()), "fields_per_s": statistics.median(one.rates),
        "ratio": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)],
        "largest_probability_difference": one.difference, "largest_logit_difference": one.logit_difference,
        "flips": one.flips, "seen": one.images,
    }  # fmt: skip


def print_report(report: dict[str, Any]) -> None:
    """Tables in Markdown, ready for the documentation."""
    print(f"\nWeights: {report['weights']}. {report['threads']} threads, {report['minutes']:.0f} minutes.")
    print(f"Images, each through three models: {report['images']}; turns taken: {report['turns']}\n")
    print("| engine | fields/s | ratio (range) | largest difference of probability | flips |")
    print("|---|---|---|---|---|")
    for title, row in report["engines"].items():
        low, high = row["ratio_range"]
        flips = ", ".join(f"{name} {n} of {row['seen'][name]}" for name, n in row["flips"].items())
        print(
            f"| {title} | {row['fields_per_s']:.1f} | {row['ratio']:.2f} ({low:.1f} to {high:.1f}) "
            f"| {row['largest_probability_difference']:.2g} | {flips} |"
        )
    print("\n| model | set | band (logits) | median gap | computed twice | re-check's share of the time |")
    print("|---|---|---|---|---|---|")
    for trial in report["recheck"]:
        for name, row in trial["sets"].items():
            print(
                f"| {trial['slot']} | {name} | {trial['margin']:.3f} | {row['median_gap']:.2f} "
                f"| {row['rechecked']} of {row['images']} | {_share([row])} |"
            )
    found = report["recheck"][0]["sets"]
    for names in (*([name] for name in found), [name for name in found if name != BOUNDARY]):
        share = _share([trial["sets"][name] for trial in report["recheck"] for name in names])
        print(f"| all three | {', '.join(names)} | | | | {share} |")
    print_whole(report["whole"])


def _share(rows: Sequence[dict[str, Any]]) -> str:
    served = sum(row["served_s"] for row in rows)
    return f"{100 * sum(row['recheck_s'] for row in rows) / served:.1f} %" if served else ""


if __name__ == "__main__":
    main()

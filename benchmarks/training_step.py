"""Seconds per step and peak memory of the network of the paper: ``python benchmarks/training_step.py --batch 32``.

One process per configuration, since peak memory is the process's. ``--ratio`` instead takes turns, in one process, with
the step that one writes first (the network as torchvision makes it, fp32, no augmentation) and prints the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from inference.pipeline.networks import build_network
from inference.pipeline.train_measure import measure_part, peak_memory_gib
from inference.pipeline.training_config import TrainingConfig
from inference.pipeline.training_data import Entry, PartMap


def plain_step(batch: int, size_px: int) -> Callable[[], float]:
    """Seconds of the step as in every tutorial: default layout, fp32, random tensors that are there already."""
    network = build_network(TrainingConfig().architecture, 5).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    x, y = torch.randn(batch, 3, size_px, size_px), torch.arange(batch) % 5

    def step() -> float:
        began = time.perf_counter()
        optimizer.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        optimizer.step()
        return time.perf_counter() - began

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--size-px", type=int, default=448)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--ratio", type=int, default=0, metavar="TURNS", help="against the plain step, in turns")
    options = parser.parse_args()
    plan = TrainingConfig()
    settings = replace(
        plan.settings, batch_size=options.batch, precision=options.precision, threads=options.threads,
        accumulate=options.accumulate,
    )  # fmt: skip
    plan = replace(plan, settings=settings, size_px=options.size_px)
    part = PartMap("model_3", ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA"), {})
    entries = [Entry(f"{i:064x}", f"P{i}", "AML", "train") for i in range(3402)]
    entries += [Entry(f"{i:064x}", f"V{i}", "AML", "internal") for i in range(880)]
    if options.ratio:
        print_ratio(options, plan, part, entries)
        return
    before = peak_memory_gib()
    found = measure_part(plan, part, entries, steps=options.steps)
    print(
        f"DenseNet-121 at {options.size_px}, batch {options.batch} in {found['accumulate']} parts, "
        f"{options.precision}, {options.threads} threads, "
        f"{found['device']}: {found['step_s']:.2f} s per step, {found['images_per_s']:.2f} images/s, peak memory "
        f"{found['memory_gib']:.1f} GiB ({before:.1f} before), 300 epochs about {found['seconds'] / 86400:.1f} days"
    )


def print_ratio(options: argparse.Namespace, plan: TrainingConfig, part: PartMap, entries: list[Entry]) -> None:
    torch.set_num_threads(options.threads)
    plain = plain_step(options.batch, options.size_px)
    plain()
    turns = []
    for _ in range(options.ratio):
        theirs = statistics.median(plain() for _ in range(options.steps))
        turns.append((theirs, measure_part(plan, part, entries, steps=options.steps)["step_s"]))
    ratios = [theirs / ours for theirs, ours in turns]
    print(
        f"DenseNet-121 at {options.size_px}, batch {options.batch}, {options.threads} threads: plain fp32 "
        f"{statistics.median(a for a, _ in turns):.2f} s per step, ours in {options.precision} with augmentation "
        f"{statistics.median(b for _, b in turns):.2f} s; ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) in {options.ratio} turns"
    )


if __name__ == "__main__":
    main()

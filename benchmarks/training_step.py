"""Seconds per step and peak memory of the network of the paper: ``python benchmarks/training_step.py --batch 32``.

One process per configuration, since peak memory is the process's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from inference.pipeline.train_measure import measure_part, peak_memory_gib
from inference.pipeline.training_config import TrainingConfig
from inference.pipeline.training_data import Entry, PartMap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--size-px", type=int, default=448)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=1)
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
    before = peak_memory_gib()
    found = measure_part(plan, part, entries, steps=options.steps)
    print(
        f"DenseNet-121 at {options.size_px}, batch {options.batch} in {found['accumulate']} parts, "
        f"{options.precision}, {options.threads} threads, "
        f"{found['device']}: {found['step_s']:.2f} s per step, {found['images_per_s']:.2f} images/s, peak memory "
        f"{found['memory_gib']:.1f} GiB ({before:.1f} before), 300 epochs about {found['seconds'] / 86400:.1f} days"
    )


if __name__ == "__main__":
    main()

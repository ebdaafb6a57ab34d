"""From a slide's files to its diagnosis through three models: the naive ways, the served one, and what bounds it.

    python -m benchmarks.whole_pipeline --pipeline FOLDER --data FOLDER

Also a part of ``benchmarks.engines_bench``. All ways take turns on the same files, so only their ratios count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from inference.pipeline.checkpoint import ModelFolder, Pipeline, load_pipeline_folder
from inference.pipeline.engine import RecheckedEngine, open_engine
from inference.pipeline.hierarchy import Decision
from inference.pipeline.networks import build_network
from inference.pipeline.preprocess import decode
from inference.pipeline.rules import RULE_SETS
from inference.pipeline.runner import PipelineRunner, softmax
from inference.pipeline.slide_files import IMAGE_SUFFIXES

NAIVE = "naive, torch fp32, 1 a forward"
SERVED = "as served, every model"
CASCADE = "as served, cascade"
BARE = "three bare networks, OpenVINO bf16, fed from memory"
GATE = "model 1 alone, as the cascade runs a slide that stays before the gate"
MATMUL_N = 2048
PAPER_IMAGES, PAPER_NEGATIVE = 2973, 924  # external test set: all images, images of patients without leukemia
Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def batched_torch(model: ModelFolder, *, bf16: bool, threads: int) -> Infer:
    """What people write first: batches of 8, eager; or the same in bfloat16 and channels last."""
    torch.set_num_threads(threads)
    network = build_network(model.card.architecture, len(model.card.classes)).eval()
    network.load_state_dict({key: torch.from_numpy(value) for key, value in model.weights().items()})
    layout = torch.channels_last if bf16 else torch.contiguous_format
    network = network.to(memory_format=layout)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (model.card.recipe.mean, model.card.recipe.std))

    @torch.inference_mode()
    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(batch), 8):
            x = torch.from_numpy(batch[start : start + 8]).permute(0, 3, 1, 2).float()
            x = ((x - mean) / std).contiguous(memory_format=layout)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                parts.append(network(x).float().numpy())
        return np.concatenate(parts)

    return infer


def whole_pipeline(pipeline: Pipeline, paths: Sequence[Path], *, rounds: int, threads: int) -> dict[str, Any]:
    """Every way in turns over ``paths`` as one slide; the peak of matrix products is measured among them."""
    served = PipelineRunner(pipeline, "openvino", threads=threads)
    slots = [slot for slot in pipeline.models if slot != "single_model"]
    stacks = {slot: _stack(pipeline.models[slot], paths) for slot in slots}
    bare = {slot: _bare(pipeline.models[slot], threads) for slot in slots}
    ways: dict[str, Callable[[], Any]] = {
        NAIVE: _naive_one(pipeline, paths, threads),
        "naive, torch fp32, 8 a forward": _naive_eight(pipeline, paths, threads, bf16=False),
        "torch bf16 channels last, 8 a forward": _naive_eight(pipeline, paths, threads, bf16=True),
        SERVED: lambda: served.diagnose(list(paths)).decision,
        CASCADE: lambda: served.diagnose(list(paths), mode="cascade").decision,
        GATE: lambda: served.predict("model_1", list(paths)),
        BARE: lambda: [bare[slot](stacks[slot]) for slot in slots] and None,
    }
    for slot in slots:
        engine = served.engine(slot)
        if isinstance(engine, RecheckedEngine):
            engine.open_exact()
    tables = served.diagnose(list(paths)).probabilities
    ways[BARE]()
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    peaks: dict[str, list[float]] = {"fp32": [], "bf16": []}
    decisions = set()
    for _ in range(rounds):
        for way, run in ways.items():
            began = time.perf_counter()
            decision = run()
            seconds[way].append(time.perf_counter() - began)
            if isinstance(decision, Decision):
                decisions.add(decision.diagnosis)
        for precision, found in peaks.items():
            found.append(matmul_peak(precision, threads))
    rules_s = _rules_only(served, tables)
    return {
        "fields": len(paths), "rounds": rounds, "same_diagnosis": len(decisions) == 1,
        "ways": {way: _row(way, len(paths), seconds) for way in ways},
        "cascade": _cascade(seconds),
        "rules_again": {"ms": 1000 * rules_s, "ratio": statistics.median(seconds[SERVED]) / rules_s},
        "peak": {
            "gflop_per_field": gflop(pipeline.models["model_3"]),
            **{f"{name}_gflop_per_s": max(found) for name, found in peaks.items()},
        },
    }  # fmt: skip


def _row(way: str, n: int, seconds: dict[str, list[float]]) -> dict[str, float]:
    def ratio(to: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[to], seconds[way], strict=True))

    return {"fields_per_s": n / statistics.median(seconds[way]), "ratio": ratio(NAIVE), "of_bare": ratio(BARE)}


def _cascade(seconds: dict[str, list[float]]) -> dict[str, float]:
    """How much faster a slide that stays before the gate is, and what that saves on the paper's external images."""
    times = statistics.median(a / b for a, b in zip(seconds[SERVED], seconds[GATE], strict=True))
    left = (PAPER_IMAGES - PAPER_NEGATIVE + PAPER_NEGATIVE / times) / PAPER_IMAGES
    return {"times": times, "saved_on_the_papers_mix": 1 - left}


def _rules_only(runner: PipelineRunner, tables: dict[str, Any]) -> float:
    """Seconds of a diagnosis by other rules from stored probabilities; no model runs."""
    rules = [rule_set for rule_set in RULE_SETS.values() if all(slot in tables for slot in rule_set.slots)]
    began = time.perf_counter()
    for _ in range(20):
        for rule_set in rules:
            runner.decide(rule_set, tables)
    return (time.perf_counter() - began) / (20 * len(rules))


def _naive_one(pipeline: Pipeline, paths: Sequence[Path], threads: int) -> Callable[[], Any]:
    runner = PipelineRunner(pipeline, "torch", threads=threads, decode_threads=1)
    return lambda: runner.diagnose(list(paths), batch_size=1).decision


def _naive_eight(pipeline: Pipeline, paths: Sequence[Path], threads: int, *, bf16: bool) -> Callable[[], Any]:
    """Every model reads and prepares its images again."""
    runner = PipelineRunner(pipeline, "torch", threads=threads)
    engines = {slot: batched_torch(model, bf16=bf16, threads=threads) for slot, model in pipeline.models.items()}

    def run() -> Any:
        tables = {slot: softmax(engines[slot](_stack(model, paths))) for slot, model in pipeline.models.items()}
        decision = runner.decide(pipeline.rule_set, dict(tables))
        return None if bf16 else decision  # bf16 without a re-check promises no equal diagnosis

    return run


def _stack(model: ModelFolder, paths: Sequence[Path]) -> NDArray[np.uint8]:
    return np.stack([model.card.recipe.prepare(decode(path.read_bytes())) for path in paths])


def _bare(model: ModelFolder, threads: int) -> Infer:
    """The network without decoding, re-check or rules: what the engine could do at most."""
    engine = open_engine(model, "openvino", precision="bf16" if model.card.recheck_margins else "fp32", threads=threads)
    return lambda batch: engine.infer(batch).logits


def matmul_peak(precision: str, threads: int) -> float:
    """GFLOP/s of a product of two square matrices, the best of several: what this machine multiplies at most."""
    torch.set_num_threads(threads)
    a = torch.randn(MATMUL_N, MATMUL_N).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    out, best = torch.empty_like(a), 0.0
    for _ in range(6):
        began = time.perf_counter()
        for _ in range(4):
            torch.mm(a, a, out=out)
        best = max(best, 4 * 2 * MATMUL_N**3 / (time.perf_counter() - began) / 1e9)
    return best


def gflop(model: ModelFolder) -> float:
    """Floating point operations of one field through one network, in 10^9."""
    size_px = model.card.recipe.size_px
    network = build_network(model.card.architecture, len(model.card.classes)).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, size_px, size_px))
    return float(counter.get_total_flops()) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of real fields")
    parser.add_argument("--slide", type=int, default=24, help="fields of the slide")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    paths = sorted(path for path in options.data.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    paths = paths[:: max(1, len(paths) // options.slide)][: options.slide]
    pipeline = load_pipeline_folder(options.pipeline)
    print_whole(whole_pipeline(pipeline, paths, rounds=options.rounds, threads=options.threads))


def print_whole(whole: dict[str, Any]) -> None:
    """Tables in Markdown, ready for the documentation."""
    print(f"\n| from {whole['fields']} files to the diagnosis | fields/s | ratio | of the bare networks |")
    print("|---|---|---|---|")
    for way, row in whole["ways"].items():
        print(f"| {way} | {row['fields_per_s']:.1f} | {row['ratio']:.2f} | {100 * row['of_bare']:.0f} % |")
    peak = whole["peak"]
    print(
        f"\nMatrix products of {MATMUL_N}: fp32 {peak['fp32_gflop_per_s']:.0f}, bf16 {peak['bf16_gflop_per_s']:.0f} "
        f"GFLOP/s; a field takes {peak['gflop_per_field']:.1f} GFLOP a model."
    )
    for name in ("fp32", "bf16"):
        floor = peak[f"{name}_gflop_per_s"] / peak["gflop_per_field"] / 3
        print(f"Arithmetic floor of three models in {name}: {floor:.1f} fields/s.")
    again = whole["rules_again"]
    print(f"Other rules on stored probabilities: {again['ms']:.2f} ms, {again['ratio']:.0f} times faster.")
    one = whole["cascade"]
    print(
        f"A slide that stays before the gate: {one['times']:.2f} times faster as a cascade; on the paper's external "
        f"images, if no gate opens wrongly, {100 * one['saved_on_the_papers_mix']:.0f} % of the time saved."
    )
    print(f"\nThe same diagnosis by all ways: {whole['same_diagnosis']}")


if __name__ == "__main__":
    main()

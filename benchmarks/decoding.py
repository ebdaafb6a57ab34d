"""From stored bytes to the network's input: as served, padded as the paper says it, and by scaled JPEG decoding.

    python -m benchmarks.decoding --data FOLDER --pipeline FOLDER [--fields 120]

Scaled decoding leaves out the finest frequencies of a JPEG and is only of use if the answers stay the same: every way's
input goes through the three networks in fp32. All ways take turns on the same fields: real ones, and drawn ones of
1600 x 1200, because a decoder scales only where half of a side is still large enough.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.engines_bench import images_below
from benchmarks.results import Result, Table, add_options, report
from cases.phantoms import draw_patient, encode_jpeg
from inference.pipeline.checkpoint import load_pipeline_folder
from inference.pipeline.engine import open_engine
from inference.pipeline.preprocess import Recipe, decode

SERVED = "as served"
DRAWN = 24
Way = Callable[[bytes], NDArray[np.uint8]]


def padded_first(recipe: Recipe) -> Way:
    """The paper's words, one after the other: pad the whole field, then resize it."""

    def way(content: bytes) -> NDArray[np.uint8]:
        image = decode(content)
        side = max(image.size)
        square = Image.new("RGB", (side, side), recipe.pad_colour)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return np.asarray(square.resize((recipe.size_px, recipe.size_px), Image.Resampling.BILINEAR))

    return way


def scaled(recipe: Recipe) -> Way:
    """The decoder leaves out what the smaller size cannot show, where a half, quarter or eighth is large enough."""

    def way(content: bytes) -> NDArray[np.uint8]:
        with Image.open(io.BytesIO(content)) as image:
            share = recipe.size_px / max(image.size)
            image.draft("RGB", (round(image.width * share), round(image.height * share)))
            return recipe.prepare(image)

    return way


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of real fields")
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--fields", type=int, default=120)
    add_options(parser)
    options = parser.parse_args()
    paths = [path for path in images_below(options.data) if path.suffix.lower() in {".jpg", ".jpeg"}]
    paths = paths[:: max(1, len(paths) // options.fields)][: options.fields]
    if not paths:
        parser.error(f"there is no JPEG below {options.data}")
    pipeline = load_pipeline_folder(options.pipeline)
    models = [model for slot, model in pipeline.models.items() if slot != "single_model"]
    recipe = models[0].card.recipe
    ways: dict[str, Way] = {
        "padded, then resized": padded_first(recipe),
        SERVED: lambda content: recipe.prepare(decode(content)),
        "scaled decoding": scaled(recipe),
    }
    threads = os.cpu_count() or 1
    engines = [open_engine(model, "openvino", precision="fp32", threads=threads) for model in models]
    sets = {
        f"{len(paths)} real JPEGs": [path.read_bytes() for path in paths],
        f"{DRAWN} drawn JPEGs of 1600 x 1200": [encode_jpeg(f) for f in draw_patient("AML", seed=3, n_fields=DRAWN)],
    }
    columns = ["way", "ms a field", "times faster", "largest difference of a pixel", "of a logit", "labels that flip"]
    tables = []
    for title, contents in sets.items():
        seconds, inputs = turns(ways, contents)
        logits = {way: [engine.infer(np.stack(stack)).logits for engine in engines] for way, stack in inputs.items()}
        rows = [row(way, seconds, inputs, logits) for way in ways]
        title += f" to {recipe.size_px} px, one thread, through {len(models)} models in fp32"
        tables.append(Table(title, columns, rows))
    report(Result("decoding", "python -m benchmarks.decoding", tables), options.results)


def turns(ways: dict[str, Way], contents: list[bytes]) -> tuple[dict[str, list[float]], dict[str, list[Any]]]:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    inputs: dict[str, list[Any]] = {way: [] for way in ways}
    for content in contents:
        for way, run in ways.items():
            begun = time.perf_counter()
            inputs[way].append(run(content))
            seconds[way].append(time.perf_counter() - begun)
    return seconds, inputs


def row(way: str, seconds: dict[str, list[float]], inputs: dict[str, list[Any]], logits: dict[str, Any]) -> list[Any]:
    """Ratios and differences to what is served."""
    ratio = statistics.median(a / b for a, b in zip(seconds[SERVED], seconds[way], strict=True))
    pixel = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(inputs[SERVED], inputs[way], strict=True))
    pairs = list(zip(logits[SERVED], logits[way], strict=True))
    moved = max(float(np.abs(a - b).max()) for a, b in pairs)
    flips = sum(int((a.argmax(1) != b.argmax(1)).sum()) for a, b in pairs)
    n = sum(len(a) for a, _ in pairs)
    return [way, 1000 * statistics.median(seconds[way]), ratio, pixel, moved, f"{flips} of {n:,}"]


if __name__ == "__main__":
    main()

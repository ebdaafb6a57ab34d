"""CPU milliseconds per phantom field: `python benchmarks/phantoms_speed.py [--fields 5]`.

Prints the median and the slowest of each width, over all labels and two styles, and of encoding as JPEG.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

from cases.phantoms import LABELS, draw_field, encode_jpeg


def _milliseconds(job: Callable[[], object]) -> float:
    start = time.process_time()
    job()
    return (time.process_time() - start) * 1000


def measure(width_px: int, n_fields: int) -> tuple[list[float], list[float]]:
    """Times of drawing and of encoding, milliseconds, after one unmeasured field that fills the caches."""
    draw_field("AML", seed=0, width_px=width_px)
    drawing, encoding = [], []
    for seed in range(n_fields):
        for label in LABELS:
            style = ("dp73", "phone")[seed % 2]
            draw = partial(draw_field, label, seed=seed, style=style, width_px=width_px)
            drawing.append(_milliseconds(draw))
            field = draw()
            encoding.append(_milliseconds(partial(encode_jpeg, field)))
    return drawing, encoding


def main() -> None:
    parser = argparse.ArgumentParser(description="Time phantom fields.")
    parser.add_argument("--fields", type=int, default=3, help="fields per label and width")
    options = parser.parse_args()
    print("width_px  draw median  draw slowest  JPEG median  (ms)")
    for width_px in (448, 640, 1600):
        drawing, encoding = measure(width_px, options.fields)
        draw, slowest, encode = statistics.median(drawing), max(drawing), statistics.median(encoding)
        print(f"{width_px:8d}  {draw:11.0f}  {slowest:12.0f}  {encode:11.1f}")


if __name__ == "__main__":
    main()

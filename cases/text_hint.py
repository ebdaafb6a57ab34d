"""Where a field seems to hold burnt-in text (a name, a date, a scale legend): a hint for the person who reviews it.

The models are PP-OCRv6 small (PaddleOCR, Apache-2.0) as they are shipped inside the wheel of RapidOCR (Apache-2.0),
run by OpenVINO, without any network. They are the extra ``[deid]``; nothing here imports them until it is asked to.
Only places are returned: the text that was read serves to leave out cells that look like letters, and is forgotten.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

VERSION: Final = 1
"""Raise it when models or thresholds change; stored hints of other versions are not used."""

_SCORE_MIN: Final = 0.6
_CHARACTERS_MIN: Final = 3
_ROUND: Final = frozenset("oO0Q8CDcGe69")
"""What red cells are read as; a text of nothing else is no text."""

_SIDES_PX: Final = (None, 960)
"""Whole size and reduced: print that touches cells is found at one of them and missed at the other."""


def available() -> bool:
    """Whether the extra is installed. Imports nothing."""
    return find_spec("rapidocr") is not None


def find_text(image: Image.Image) -> list[dict[str, float]] | None:
    """Places that look like printed text.

    Parameters
    ----------
    image
        A field in any mode; looked at as RGB, once at full size and once reduced.

    Returns
    -------
    list of {x, y, width, height, score}
        In pixels of ``image``, left and top first; ``score`` from 0 to 1 is how sure the reading was. An empty list
        means that nothing was found, not that nothing is there. None: the extra ``[deid]`` is not installed.
    """
    if not available():
        return None
    import numpy as np

    bgr = np.asarray(image.convert("RGB"))[:, :, ::-1]
    found: list[dict[str, float]] = []
    for side_px in _SIDES_PX:
        for box in _read(bgr, side_px):
            if not any(_overlap(box, other) for other in found):
                found.append(box)
    return sorted(found, key=lambda box: (box["y"], box["x"]))


def _read(bgr: np.ndarray, side_px: int | None) -> Iterator[dict[str, float]]:  # (height, width, 3)
    read = _reader(side_px)(bgr)
    if read.boxes is None or read.txts is None:
        return
    for corners, text, score in zip(read.boxes, read.txts, read.scores, strict=True):
        characters = [character for character in text if character.isalnum()]
        if score < _SCORE_MIN or len(characters) < _CHARACTERS_MIN or _ROUND.issuperset(characters):
            continue
        left, top = (max(0.0, float(low)) for low in corners.min(axis=0))
        right = min(float(bgr.shape[1]), float(corners[:, 0].max()))
        bottom = min(float(bgr.shape[0]), float(corners[:, 1].max()))
        yield {"x": left, "y": top, "width": right - left, "height": bottom - top, "score": round(float(score), 3)}


def _overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    return across > 0 and down > 0


@functools.cache
def _reader(side_px: int | None) -> Any:
    """One reader per process and size. All models are named by file, so that none is looked for on the network."""
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    files = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
    params: dict[str, Any] = {"Global.log_level": "error", "Global.use_cls": False}
    if side_px is not None:
        params |= {"Det.limit_type": "max", "Det.limit_side_len": side_px}
    for step, name in files.items():
        if not (models / name).is_file():
            raise FileNotFoundError(f"rapidocr was installed without {name}; version 3.10 carries it.")
        params |= {f"{step}.engine_type": rapidocr.EngineType.OPENVINO, f"{step}.model_path": str(models / name)}
    return rapidocr.RapidOCR(params=params)

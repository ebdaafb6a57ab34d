"""Pixels from checked files: the only module that lets Pillow decode what a user sent."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from cases.limits import Limits, Note, require_size
from cases.naming import printable
from cases.stripped import ImageRefused, corrupt, truncated
from leukoweb.core.exceptions import DomainError

# Our own limit is lower than Pillow's and checked first; this closes the gap between Pillow's warning and its error
# for the headers that Pillow reads (TIFF, BMP).
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# Odd TIFF tags either do no harm or end in a refusal; as a warning on a terminal they would only confuse.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

_PAGES_COUNTED_MAX: Final = 100
_ORIENTATION, _BITS, _DESCRIPTION, _SUBFILE, _SUB_IFDS = 274, 258, 270, 254, 330
_DNG_VERSION, _NDPI_FORMAT = 50706, 65420
_SHORT_MESSAGES: Final = ("truncated", "eof", "not enough", "cannot read", "buffer is not large enough")


def decode(content: bytes) -> Image.Image:
    """The stored image as an RGB Pillow image; `content` is that of an accepted image.

    Raises
    ------
    ImageRefused
        The content was damaged since: what Pillow raises then (SyntaxError, zlib.error, ...) is not a fixed list.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG", "PNG"]) as image:
            return image.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:
        raise corrupt(printable(str(error), 120) or type(error).__name__) from error


@contextmanager
def _decoder_errors(limits: Limits) -> Iterator[None]:
    """Every failure of the decoder becomes a refusal; what it raises for odd input is not a fixed list."""
    try:
        yield
    except (DomainError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\((\d+) pixels\)", str(error))
        found = f"{int(count[1]) / 1e6:,.1f} Mpx" if count else "too many pixels"
        raise ImageRefused(
            f"The image has {found}; the limit is {limits.pixels_max / 1e6:g} Mpx.",
            code="E_PIXELS",
            hint="Export single high-power fields; whole-slide scans are not read.",
        ) from error
    except (EOFError, struct.error) as error:
        raise truncated("a part that the header announces is missing") from error
    except UnidentifiedImageError as error:
        raise corrupt("its headers cannot be read") from error
    except Exception as error:
        text = printable(str(error), 120)
        if any(word in text.lower() for word in _SHORT_MESSAGES):
            raise truncated(text) from error
        raise corrupt(text or type(error).__name__) from error


def load_checked(data: bytes, type_name: str, limits: Limits) -> tuple[Image.Image, int, int]:
    """Decode fully after checking size and pages.

    Returns
    -------
    image, bits, orientation
        The loaded image (upright if it is a TIFF), the bits per sample, and the orientation tag that was stated.
    """
    with _decoder_errors(limits):
        with Image.open(io.BytesIO(data), formats=[type_name]) as probe:
            require_size(*probe.size, limits)
            if isinstance(probe, TiffImagePlugin.TiffImageFile):
                _require_single_field(probe)
            probe.verify()
        image = Image.open(io.BytesIO(data), formats=[type_name])
        bits, orientation = 8, 1
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            bits = _largest(image.tag_v2.get(_BITS, 1))
            stated = image.tag_v2.get(_ORIENTATION, 1)
            orientation = stated if stated in range(1, 9) else 1
        image.load()
        return image, bits, orientation


def _largest(value: object) -> int:
    return max((int(v) for v in value), default=1) if isinstance(value, tuple) else int(str(value))


def _require_single_field(probe: TiffImagePlugin.TiffImageFile) -> None:
    tags = probe.tag_v2
    if str(tags.get(_DESCRIPTION, "")).startswith("Aperio") or _NDPI_FORMAT in tags:
        raise ImageRefused(
            "The TIFF is a whole-slide scan; only single HPF images are read.",
            code="E_WSI_UNSUPPORTED",
            hint="Export the field from the microscope software as PNG or JPEG.",
        )
    if _DNG_VERSION in tags or _SUB_IFDS in tags or tags.get(_SUBFILE, 0) == 1:
        raise ImageRefused(
            "The TIFF is a preview with the image nested inside (camera raw or pyramid).",
            code="E_TYPE_NOT_ALLOWED",
            hint="Export the field as PNG, JPEG or a plain TIFF.",
        )
    pages = 1
    while pages < _PAGES_COUNTED_MAX:
        try:
            probe.seek(pages)
        except EOFError:
            break
        pages += 1
    probe.seek(0)
    if pages > 1:
        count = f"{pages} pages" if pages < _PAGES_COUNTED_MAX else f"{_PAGES_COUNTED_MAX} pages or more"
        raise ImageRefused(
            f"The TIFF has {count}; one image per file is accepted.",
            code="E_FRAMES",
            hint="Split it into single files first.",
        )


def to_rgb(image: Image.Image, bits: int) -> tuple[Image.Image, list[Note]]:
    """8-bit RGB pixels and a note for each change; no note means that nothing was changed.

    16-bit samples keep their high byte. Real transparency, CMYK, Lab, black-and-white and float samples are
    refused: what colour they were meant to be seen in is not in the file.

    Raises
    ------
    ImageRefused
        E_ALPHA, E_MODE, E_BITDEPTH.
    """
    notes: list[Note] = []
    mode = image.mode
    image = _without_alpha(image, notes)
    if mode in ("P", "PA"):
        notes.append(Note("N_PALETTE", "Palette colours were written out as RGB."))
    elif image.mode.startswith("I;16"):
        bits = 16
        high = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)  # (height_px, width_px)
        image = Image.fromarray(high, "L")
    if image.mode == "L":
        notes.append(Note("N_GREY", "The image is grey: stain colours are missing."))
    elif image.mode not in ("RGB", "RGBX"):
        raise _unknown_mode(image.mode)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if bits == 16:
        brightest = int(np.asarray(rgb.getextrema()).max())
        if brightest < 16:
            raise ImageRefused(
                f"The 16-bit image uses only values below {(brightest + 1) * 256:,} of 65,535, so it would be black.",
                code="E_BITDEPTH",
                hint="Export the field with 8 bits per colour, as you see it on the screen.",
            )
        notes.append(Note("N_16BIT", "16 bits per colour were reduced to 8."))
    return rgb, notes


def _without_alpha(image: Image.Image, notes: list[Note]) -> Image.Image:
    """The same image without alpha channel, transparent colour or palette; refused unless all is opaque."""
    if "transparency" in image.info and image.mode in ("P", "L", "RGB"):
        opaque_mode = "L" if image.mode == "L" else "RGB"
        image = image.convert("RGBA")
    elif image.mode in ("RGBa", "La", "PA"):
        opaque_mode = "L" if image.mode == "La" else "RGB"
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif image.mode in ("RGBA", "LA"):
        opaque_mode = image.mode[:-1]
    else:
        return image.convert("RGB") if image.mode == "P" else image
    lowest = np.asarray(image.getextrema()[-1]).min()
    if lowest < 255:
        raise ImageRefused(
            f"The image is partly transparent (alpha down to {lowest} of 255).",
            code="E_ALPHA",
            hint="Export it without transparency: what is behind it would decide the colours.",
        )
    notes.append(Note("N_ALPHA_DROPPED", "A fully opaque alpha channel was dropped."))
    return image.convert(opaque_mode)


def _unknown_mode(mode: str) -> ImageRefused:
    if mode in ("I", "F", "I;16N") or mode.startswith("F;"):
        return ImageRefused(
            f"The image has 32 bits per sample ({mode}); 8 or 16 are read.",
            code="E_BITDEPTH",
            hint="Export the field with 8 bits per colour.",
        )
    names = {"1": "black and white (1 bit)", "CMYK": "CMYK", "LAB": "Lab", "YCbCr": "YCbCr"}
    return ImageRefused(
        f"The image is {names.get(mode, mode)}; RGB is needed.",
        code="E_MODE",
        hint="Export the field as RGB.",
    )

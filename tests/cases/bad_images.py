"""Files that are no image, no field or no honest image, each with the code of its refusal."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.cases.image_files import (
    bmp_of,
    chunk,
    field,
    insert_chunks,
    insert_segments,
    png_of,
    saved,
    segment,
    tiff_of,
)


def cmyk_tiff() -> bytes:
    return saved(field().convert("CMYK"), "TIFF")


def tiff_with(**tags: Any) -> bytes:
    numbers = {"description": 270, "subfile": 254, "sub_ifds": 330, "dng": 50706, "ndpi": 65420}
    return saved(field(), "TIFF", tiffinfo={numbers[name]: value for name, value in tags.items()})


def pages(n: int) -> bytes:
    return saved(field(), "TIFF", save_all=True, append_images=[field(seed=s) for s in range(2, n + 1)])


def bits12_png() -> bytes:
    return saved(Image.fromarray(np.random.default_rng(0).integers(0, 4095, (100, 100), dtype=np.uint16)), "PNG")


def jpeg_12bit() -> bytes:
    plain = saved(field(), "JPEG")
    at = plain.index(b"\xff\xc0")
    return plain[: at + 4] + b"\x0c" + plain[at + 5 :]


def transparent(mode: str) -> Image.Image:
    image = field().convert("RGBA")
    image.putpixel((3, 3), (1, 2, 3, 0))
    return image.convert(mode)


def almost_opaque() -> Image.Image:
    image = field().convert("RGBA")
    image.putpixel((3, 3), (1, 2, 3, 254))
    return image


def key_colour_png() -> bytes:
    image = field()
    image.putpixel((5, 5), (1, 2, 3))
    return saved(image, "PNG", transparency=(1, 2, 3))


SVG = b'<?xml version="1.0"?><!-- x --><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
BAD: dict[str, tuple[bytes, str, str]] = {
    # what it is: (bytes, name, code)
    "0 bytes": (b"", "a.jpg", "E_EMPTY"),
    "1 byte FF": (b"\xff", "a.jpg", "E_NOT_IMAGE"),
    "2 bytes of a JPEG": (b"\xff\xd8", "a.jpg", "E_NOT_IMAGE"),
    "3 bytes of a JPEG": (b"\xff\xd8\xff", "a.jpg", "E_TRUNCATED"),
    "text": (b"patient,diagnosis\nP1,AML\n", "a.jpg", "E_NOT_IMAGE"),
    "html": (b"<!doctype html><script>alert(1)</script>", "a.jpg", "E_NOT_IMAGE"),
    "zeros": (bytes(5000), "a.jpg", "E_NOT_IMAGE"),
    "BM text": (b"BMW is a car, not an image", "a.bmp", "E_NOT_IMAGE"),
    "svg": (SVG, "a.svg", "E_TYPE_NOT_ALLOWED"),
    "svg with BOM": (b"\xef\xbb\xbf  " + SVG, "a.jpg", "E_TYPE_NOT_ALLOWED"),
    "pdf": (b"%PDF-1.7\n", "a.pdf", "E_TYPE_NOT_ALLOWED"),
    "dicom": (bytes(128) + b"DICM" + bytes(100), "a.dcm", "E_TYPE_NOT_ALLOWED"),
    "heic": (b"\x00\x00\x00\x18ftypheic" + bytes(50), "a.heic", "E_TYPE_NOT_ALLOWED"),
    "avif": (b"\x00\x00\x00\x18ftypavif" + bytes(50), "a.avif", "E_TYPE_NOT_ALLOWED"),
    "mp4": (b"\x00\x00\x00\x18ftypisom" + bytes(50), "a.jpg", "E_TYPE_NOT_ALLOWED"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "a.eps", "E_TYPE_NOT_ALLOWED"),
    "psd": (b"8BPS\x00\x01" + bytes(50), "a.psd", "E_TYPE_NOT_ALLOWED"),
    "gif": (saved(field().convert("P"), "GIF"), "a.gif", "E_TYPE_NOT_ALLOWED"),
    "webp": (saved(field(), "WEBP"), "a.webp", "E_TYPE_NOT_ALLOWED"),
    "ico": (saved(field(), "ICO"), "a.ico", "E_TYPE_NOT_ALLOWED"),
    "ppm": (saved(field(), "PPM"), "a.ppm", "E_TYPE_NOT_ALLOWED"),
    "jpeg 2000": (saved(field(), "JPEG2000"), "a.jp2", "E_TYPE_NOT_ALLOWED"),
    "jpeg xl": (b"\xff\x0a" + bytes(50), "a.jxl", "E_TYPE_NOT_ALLOWED"),
    "fits": (b"SIMPLE  =                    T" + bytes(80), "a.fits", "E_TYPE_NOT_ALLOWED"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "a.h5", "E_TYPE_NOT_ALLOWED"),
    "zip": (b"PK\x03\x04" + bytes(50), "a.zip", "E_TYPE_NOT_ALLOWED"),
    "gzip": (b"\x1f\x8b" + bytes(50), "a.gz", "E_TYPE_NOT_ALLOWED"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "a.rar", "E_TYPE_NOT_ALLOWED"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(50), "a.7z", "E_TYPE_NOT_ALLOWED"),
    "pickle": (b"\x80\x02}q\x00.", "a.pt", "E_TYPE_NOT_ALLOWED"),
    "elf": (b"\x7fELF" + bytes(50), "a.jpg", "E_TYPE_NOT_ALLOWED"),
    "nd2": (b"\xda\xce\xbe\x0a" + bytes(50), "a.nd2", "E_TYPE_NOT_ALLOWED"),
    "svs": (saved(field(), "TIFF"), "scan.svs", "E_WSI_UNSUPPORTED"),
    "ndpi": (saved(field(), "TIFF"), "scan.NDPI", "E_WSI_UNSUPPORTED"),
    "mrxs": (b"x" * 100, "scan.mrxs", "E_WSI_UNSUPPORTED"),
    "czi": (b"ZISRAWFILE" + bytes(50), "scan.czi", "E_WSI_UNSUPPORTED"),
    "svs of 30 MB": (b"II*\x00" + bytes(30_000_000), "scan.svs", "E_WSI_UNSUPPORTED"),
    "Aperio TIFF named tif": (tiff_with(description="Aperio Image Library v11"), "a.tif", "E_WSI_UNSUPPORTED"),
    "NDPI tag": (tiff_with(ndpi=1), "a.tif", "E_WSI_UNSUPPORTED"),
    "camera raw (DNG)": (tiff_with(dng=b"\x01\x04\x00\x00"), "a.tif", "E_TYPE_NOT_ALLOWED"),
    "image nested inside": (tiff_with(sub_ifds=8), "a.tif", "E_TYPE_NOT_ALLOWED"),
    "preview page": (tiff_with(subfile=1), "a.tif", "E_TYPE_NOT_ALLOWED"),
    "JPEG cut at 50 %": (saved(field(400, 300), "JPEG")[:9000], "a.jpg", "E_TRUNCATED"),
    "JPEG header only": (saved(field(), "JPEG")[:300], "a.jpg", "E_TRUNCATED"),
    "JPEG without a scan": (saved(field(), "JPEG")[:20] + b"\xff\xd9", "a.jpg", "E_TRUNCATED"),
    "JPEG of markers only": (b"\xff\xd8\xff\xd9", "a.jpg", "E_TRUNCATED"),
    "JPEG 12 bit": (jpeg_12bit(), "a.jpg", "E_BITDEPTH"),
    "JPEG CMYK": (saved(field().convert("CMYK"), "JPEG"), "a.jpg", "E_MODE"),
    "JPEG without tables": (
        saved(field(), "JPEG").replace(b"\xff\xdb", b"\xff\xfe").replace(b"\xff\xc4", b"\xff\xfe"),
        "a.jpg",
        "E_CORRUPT",
    ),
    "PNG with a bad checksum": (
        saved(field(), "PNG")[:-20] + b"\x00" + saved(field(), "PNG")[-19:],
        "a.png",
        "E_CORRUPT",
    ),
    "PNG cut": (saved(field(), "PNG")[:2000], "a.png", "E_TRUNCATED"),
    "PNG with IDAT too short": (png_of(100, 100), "a.png", "E_TRUNCATED"),
    "PNG with IDAT that is no zlib": (png_of(100, 100, idat=b"x" * 999), "a.png", "E_CORRUPT"),
    "PNG without end": (saved(field(), "PNG")[:-12], "a.png", "E_TRUNCATED"),
    "PNG 0 x 0": (png_of(0, 0), "a.png", "E_CORRUPT"),
    "PNG 50,000 x 50,000": (png_of(50_000, 50_000), "a.png", "E_PIXELS"),
    "PNG 12,000 x 12,000": (png_of(12_000, 12_000), "a.png", "E_PIXELS"),
    "PNG 2^31-1 wide": (png_of(2**31 - 1, 2**31 - 1), "a.png", "E_PIXELS"),
    "PNG 8,200 x 4,000": (png_of(8200, 4000), "a.png", "E_PIXELS"),
    "JPEG 60,000 x 60,000": (
        saved(field(), "JPEG").replace(b"\xff\xc0\x00\x11\x08\x00x\x00\xa0", b"\xff\xc0\x00\x11\x08\xea\x60\xea\x60"),
        "a.jpg",
        "E_PIXELS",
    ),
    "TIFF 12,000 x 9,000": (tiff_of(12_000, 9_000), "a.tif", "E_PIXELS"),
    "TIFF 100,000 x 100,000": (tiff_of(100_000, 100_000), "a.tif", "E_PIXELS"),
    "BMP 20,000 x 20,000": (bmp_of(20_000, 20_000), "a.bmp", "E_PIXELS"),
    "BMP 2^31-1": (bmp_of(2**31 - 1, 2**31 - 1), "a.bmp", "E_PIXELS"),
    "zTXt bomb": (
        insert_chunks(saved(field(), "PNG"), chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(80_000_000)))),
        "a.png",
        "E_METADATA_TOO_LARGE",
    ),
    "5 MB of EXIF": (
        insert_segments(saved(field(), "JPEG"), *[segment(0xE1, bytes(65_000))] * 80),
        "a.jpg",
        "E_METADATA_TOO_LARGE",
    ),
    "30 MB": (saved(field(), "JPEG") + bytes(30_000_000), "a.jpg", "E_TOO_LARGE"),
    "1 x 1": (saved(field(1, 1), "PNG"), "a.png", "E_TOO_SMALL"),
    "63 x 500": (saved(field(63, 500), "JPEG"), "a.jpg", "E_TOO_SMALL"),
    "8 x 4000": (saved(field(8, 4000), "PNG"), "a.png", "E_TOO_SMALL"),
    "70 x 1000": (saved(field(70, 1000), "PNG"), "a.png", "E_ASPECT"),
    "1-bit PNG": (saved(field().convert("1"), "PNG"), "a.png", "E_MODE"),
    "1-bit BMP": (saved(field().convert("1"), "BMP"), "a.bmp", "E_MODE"),
    "CMYK TIFF": (cmyk_tiff(), "a.tif", "E_MODE"),
    "Lab TIFF": (saved(field().convert("LAB"), "TIFF"), "a.tif", "E_MODE"),
    "float TIFF": (saved(field().convert("F"), "TIFF"), "a.tif", "E_BITDEPTH"),
    "32-bit TIFF": (saved(field().convert("I"), "TIFF"), "a.tif", "E_BITDEPTH"),
    "12 bits in 16": (bits12_png(), "a.png", "E_BITDEPTH"),
    "RGBA PNG": (saved(transparent("RGBA"), "PNG"), "a.png", "E_ALPHA"),
    "almost opaque PNG": (saved(almost_opaque(), "PNG"), "a.png", "E_ALPHA"),
    "LA PNG": (saved(transparent("LA"), "PNG"), "a.png", "E_ALPHA"),
    "palette PNG with alpha": (saved(field().quantize(16), "PNG", transparency=3), "a.png", "E_ALPHA"),
    "RGB PNG with a transparent colour": (key_colour_png(), "a.png", "E_ALPHA"),
    "RGBA TIFF": (saved(transparent("RGBA"), "TIFF"), "a.tif", "E_ALPHA"),
    "animated PNG": (saved(field(), "PNG", save_all=True, append_images=[field(seed=2)]), "a.png", "E_FRAMES"),
    "animated GIF": (
        saved(field(), "GIF", save_all=True, append_images=[field(seed=2)]),
        "a.gif",
        "E_TYPE_NOT_ALLOWED",
    ),
    "2-page TIFF": (pages(2), "a.tif", "E_FRAMES"),
    "4-page TIFF": (pages(4), "a.tif", "E_FRAMES"),
    "TIFF cut": (saved(field(), "TIFF")[:5000], "a.tif", "E_TRUNCATED"),
    "TIFF header only": (b"II*\x00\x08\x00\x00\x00", "a.tif", "E_CORRUPT"),
    "TIFF whose directory is outside": (b"II*\x00\xff\xff\xff\x7f" + bytes(100), "a.tif", "E_CORRUPT"),
    "BMP cut": (saved(field(), "BMP")[:3000], "a.bmp", "E_TRUNCATED"),
    "BMP header only": (saved(field(), "BMP")[:54], "a.bmp", "E_TRUNCATED"),
    "name of 300 characters": (saved(field(), "JPEG"), "x" * 300 + ".jpg", "E_NAME"),
    "name with NUL": (saved(field(), "JPEG"), "a\x00.jpg", "E_NAME"),
    "name with a text-direction mark": (saved(field(), "JPEG"), "a\u202egpj.exe", "E_NAME"),
    "name that is an extension": (saved(field(), "JPEG"), ".jpg", "E_NAME"),
}

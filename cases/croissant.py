"""Croissant 1.0 metadata of an exported dataset (https://docs.mlcommons.org/croissant/docs/croissant-spec.html).

It points at ``images.csv`` and the image files, so that programs which know Croissant read both without being told
about this project.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from cases.exporting import COLUMNS, FLOATS, INTEGERS
from cases.manifests import canonical

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.0"
_TERMS: Final = (
    "citeAs", "column", "data", "equivalentProperty", "examples", "extract", "field", "fileObject", "fileProperty",
    "fileSet", "format", "includes", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references",
    "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo", "isLiveDataset": "cr:isLiveDataset",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in _TERMS if term not in ("data", "examples")},
    **{term: {"@id": f"cr:{term}", "@type": "@json"} for term in ("data", "examples")},
}  # fmt: skip
"""The context that the specification prescribes."""


def _field(record_set: str, name: str, data_type: str, source: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{record_set}/{name}", "name": name, "dataType": data_type,
            "source": source, **more}  # fmt: skip


def _column(name: str) -> dict[str, Any]:
    data_type = "sc:Integer" if name in INTEGERS else "sc:Float" if name in FLOATS else "sc:Text"
    return _field("images", name, data_type, {"fileObject": {"@id": "images.csv"}, "extract": {"column": name}})


def croissant(
    *, name: str, version: int, csv_bytes: bytes, description: str, published: str, manifest_sha256: str
) -> bytes:
    """The bytes of ``croissant.json``.

    Parameters
    ----------
    version
        Number of the version; Croissant wants three, so 4 becomes 4.0.0.
    published
        Day of the freeze, YYYY-MM-DD.
    manifest_sha256
        Names the dataset where an address would stand: it has none.
    """
    body: Mapping[str, Any] = {
        "@context": CONTEXT, "@type": "sc:Dataset", "conformsTo": CONFORMS_TO,
        "name": re.sub(r"[^A-Za-z0-9 _.-]+", "-", name).strip(" -.") or "dataset", "alternateName": name,
        "version": f"{version}.0.0",
        "description": description, "datePublished": published, "url": f"urn:sha256:{manifest_sha256}",
        "distribution": [
            {"@type": "cr:FileObject", "@id": "images.csv", "name": "images.csv", "contentUrl": "images.csv",
             "encodingFormat": "text/csv", "sha256": hashlib.sha256(csv_bytes).hexdigest()},
            {"@type": "cr:FileSet", "@id": "image-files", "name": "image-files",
             "includes": ["images/**/*.jpg", "images/**/*.png"], "encodingFormat": ["image/jpeg", "image/png"]},
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "images", "name": "images", "key": {"@id": "images/file"},
                       "field": [_column(column) for column in COLUMNS]}],
    }  # fmt: skip
    return canonical(body)

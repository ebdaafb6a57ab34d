"""Models and pipelines as zip files: out for sharing, in with every check before anything is believed."""

from __future__ import annotations

import json
import lzma
import re
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from django.conf import settings
from django.db import transaction

from inference.models import ModelVersion, PipelineVersion
from inference.pipeline.architecture import has_closed_form
from inference.pipeline.card import ModelCard
from inference.pipeline.checkpoint import (
    CARD_NAME,
    MAX_WEIGHTS_BYTES,
    ONNX_NAME,
    PICKLE_SUFFIXES,
    PIPELINE_NAME,
    WEIGHTS_NAME,
)
from inference.pipeline.errors import WeightsFormat
from inference.services.errors import ArchiveRefused
from inference.services.files import model_file_read
from inference.services.registry import model_import, pipeline_import
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import DomainError, TooLarge
from leukoweb.core.models import User
from leukoweb.core.numbers import json_strict
from leukoweb.core.troubles import trouble_of

_SIZES = {CARD_NAME: 4 * 2**20, PIPELINE_NAME: 4 * 2**20, WEIGHTS_NAME: MAX_WEIGHTS_BYTES, ONNX_NAME: MAX_WEIGHTS_BYTES}
_MAX_MEMBERS = 64
_UNREADABLE = (
    zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError, zlib.error, lzma.LZMAError
)  # fmt: skip
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same version gives the same bytes


def archive_name(entry: ModelVersion | PipelineVersion) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{entry.name}-{entry.version}").strip("-.") or "archive"
    return f"{words}.zip"


@transaction.atomic
def model_export(*, actor: User | None, model: ModelVersion, out: IO[bytes]) -> None:
    """Write weights, ONNX and card of one model version as a zip."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _add_model(archive, "", model)
    audit_record(actor=actor, action="model.export", target=f"model:{model.pk}", data={"model": str(model)})


@transaction.atomic
def pipeline_export(*, actor: User | None, pipeline: PipelineVersion, out: IO[bytes]) -> None:
    """Write a pipeline folder as a zip; each model in a folder named after the first slot that it fills."""
    folders: dict[int, str] = {}
    for slot, model in pipeline.slots.items():
        folders.setdefault(model.pk, slot)
    head = {
        "format": 1, "name": pipeline.name, "version": pipeline.version,
        "description": pipeline.description or f"{pipeline.name} {pipeline.version}", "rule_set": pipeline.rule_set,
        "slots": {slot: folders[model.pk] for slot, model in pipeline.slots.items()},
        "synthetic": pipeline.synthetic,
    }  # fmt: skip
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, PIPELINE_NAME, json.dumps(head, indent=2, ensure_ascii=False).encode())
        for slot, model in pipeline.slots.items():
            if folders[model.pk] == slot:
                _add_model(archive, f"{slot}/", model)
    audit_record(
        actor=actor, action="pipeline.export", target=f"pipeline:{pipeline.pk}", data={"pipeline": str(pipeline)}
    )


def archive_import(*, actor: User | None, file: IO[bytes], light: bool = False) -> ModelVersion | PipelineVersion:
    """Register what a zip holds: a pipeline folder or one model folder, at the top or inside one folder.

    ``light``: refuse networks whose check needs torch, for the web process, which never loads it.
    """
    Path(settings.CACHE_ROOT).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.CACHE_ROOT, prefix="import-") as name:
        folder = Path(name)
        _unpack(file, folder)
        cards = sorted(folder.rglob(CARD_NAME))
        if light:
            for card in cards:
                _refuse_heavy(card)
        pipelines = sorted(folder.rglob(PIPELINE_NAME), key=lambda path: len(path.parts))
        if pipelines:
            return pipeline_import(actor=actor, folder=pipelines[0].parent)
        if len(cards) != 1:
            raise ArchiveRefused(
                f"The zip holds no {PIPELINE_NAME} and {len(cards)} {CARD_NAME} files; exactly one is expected.",
                hint="Zip one model folder or one pipeline folder, as the export does.", field="file",
            )  # fmt: skip
        return model_import(actor=actor, folder=cards[0].parent)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), data)


def _add_model(archive: zipfile.ZipFile, prefix: str, model: ModelVersion) -> None:
    _add(archive, prefix + CARD_NAME, json.dumps(model.card, indent=2, ensure_ascii=False).encode())
    _add(archive, prefix + WEIGHTS_NAME, model_file_read(model, model.weights_sha256))
    _add(archive, prefix + ONNX_NAME, model_file_read(model, model.onnx_sha256))


def _unpack(file: IO[bytes], folder: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
            if len(members) > _MAX_MEMBERS:
                raise ArchiveRefused(
                    f"The zip holds {len(members)} files; at most {_MAX_MEMBERS} are read.", field="file"
                )
            for member in members:
                _extract(archive, member, folder)
    except _UNREADABLE as error:
        if trouble := trouble_of(error):  # a full disk is no fault of the file
            raise trouble from error
        raise ArchiveRefused(
            f"This is not a readable zip: {error}.", hint="Export or copy it again.", field="file"
        ) from error


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    path = PurePosixPath(member.filename)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in member.filename
        or ":" in member.filename
        or len(path.parts) > 3
    ):
        raise ArchiveRefused(f"The zip names a file outside its folder: {member.filename[:100]!r}.", field="file")
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise WeightsFormat(
            f"{path.name} is a pickled checkpoint; pickle can run code, so it is never loaded.",
            hint="Convert it to safetensors and write a card.", field="file",
        )  # fmt: skip
    limit = _SIZES.get(path.name)
    if limit is None or member.flag_bits & 1:
        how = "encrypted, " if limit else ""
        raise ArchiveRefused(
            f"The zip holds {path.name[:100]!r}, {how}which has no place here.",
            hint=f"Only {', '.join(_SIZES)} belong in it.", field="file",
        )  # fmt: skip
    target = folder.joinpath(*path.parts)
    if target.exists():
        raise ArchiveRefused(f"The zip holds {member.filename[:100]!r} twice.", field="file")
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, target.open("wb") as out:
        while piece := source.read(2**20):
            written += len(piece)  # counted while reading: the header's size is only a claim
            if written > limit:
                raise TooLarge(f"{path.name} is larger than {limit // 2**20} MiB.", field="file")
            out.write(piece)


def _refuse_heavy(card: Path) -> None:
    try:
        data = json_strict(card.read_text(encoding="utf-8"))
    except (ValueError, DomainError) as error:
        raise WeightsFormat(f"{card.name} is not JSON: {str(error).rstrip('.')}.", field="file") from error
    parsed = ModelCard.from_dict(data)
    if not has_closed_form(parsed.architecture):
        raise ArchiveRefused(
            f"{parsed.name} is a {parsed.architecture['name']}, which the browser's import does not check.",
            hint="Import it on the server with `manage.py import_pipeline`.", field="file",
        )  # fmt: skip

"""The files of a model version: stored by hash, and put together as a folder where an engine needs one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from django.conf import settings

from inference.models import ModelVersion
from inference.pipeline.checkpoint import (
    CARD_NAME,
    ONNX_NAME,
    WEIGHTS_NAME,
    ModelFolder,
    load_model_folder,
    write_json,
)
from inference.services.errors import ModelFilesMissing
from leukoweb.core.exceptions import DomainError, NotFound
from leukoweb.core.storage import blobs


def model_files_put(source: ModelFolder) -> tuple[str, str]:
    """Store the two files of a verified folder; their SHA-256."""
    store = blobs()
    return store.put(source.weights_path.read_bytes()), store.put(source.onnx_path.read_bytes())


def model_file_read(model: ModelVersion, sha256: str) -> bytes:
    """Bytes of one stored file of ``model``; ModelFilesMissing if it is gone."""
    try:
        return blobs().read(sha256)
    except NotFound as error:
        raise ModelFilesMissing(
            f"A stored file of the model {model} is missing (SHA-256 {sha256[:12]}...).",
            hint="Import the model again from its folder or zip; the registry entry then works again.",
        ) from error


def model_folder(model: ModelVersion) -> ModelFolder:
    """The model as a verified folder under CACHE_ROOT; built from the store if absent or damaged.

    The folder appears complete or not at all, so two workers may build it at once.
    """
    card_sha256 = hashlib.sha256(json.dumps(model.card, sort_keys=True).encode()).hexdigest()
    target = Path(settings.CACHE_ROOT) / "models" / model.weights_sha256 / card_sha256[:16]
    if target.is_dir():
        try:
            return load_model_folder(target, registered=True)
        except DomainError:  # a cache: whatever is wrong with it, the store has the truth
            shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    built = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    try:
        (built / WEIGHTS_NAME).write_bytes(model_file_read(model, model.weights_sha256))
        (built / ONNX_NAME).write_bytes(model_file_read(model, model.onnx_sha256))
        write_json(built / CARD_NAME, model.card)
        load_model_folder(built, registered=True)
        try:
            os.rename(built, target)
        except OSError:
            if not target.is_dir():  # otherwise another worker was faster, with the same content
                raise
    finally:
        shutil.rmtree(built, ignore_errors=True)
    return load_model_folder(target, registered=True)

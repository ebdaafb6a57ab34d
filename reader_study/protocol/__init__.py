"""The protocol of a reader study: one document, its checks, its file, its differences. Pure.

`default_document` starts one, `lock_problems` says what stands between it and a lock, `canonical` and
`protocol_sha256` fix it, `dump_yaml` and `load_yaml` write and read its file, `diff` names what changed. The keys are
in `document.SCHEMA`.
"""

from reader_study.protocol.checks import notices, validate
from reader_study.protocol.computable import lock_problems, uncomputable
from reader_study.protocol.differences import ABSENT, Change, amendment_problems, diff, differing
from reader_study.protocol.document import (
    ARMS,
    CLASS_MAPS,
    COMPARISONS,
    METRICS,
    MISSING_RULES,
    SCHEMA_ID,
    WASHOUT_PRESETS,
    ProtocolRefused,
    canonical,
    clean,
    default_document,
    locked_sha256,
    primary_number,
    protocol_sha256,
    reader_rules,
    reference_map,
)
from reader_study.protocol.nodes import Problem
from reader_study.protocol.yaml_io import YamlRefused, check_yaml, dump_yaml, load_yaml

__all__ = [
    "ABSENT",
    "ARMS",
    "CLASS_MAPS",
    "COMPARISONS",
    "METRICS",
    "MISSING_RULES",
    "SCHEMA_ID",
    "WASHOUT_PRESETS",
    "Change",
    "Problem",
    "ProtocolRefused",
    "YamlRefused",
    "amendment_problems",
    "canonical",
    "check_yaml",
    "clean",
    "default_document",
    "diff",
    "differing",
    "dump_yaml",
    "load_yaml",
    "lock_problems",
    "locked_sha256",
    "notices",
    "primary_number",
    "protocol_sha256",
    "reader_rules",
    "reference_map",
    "uncomputable",
    "validate",
]

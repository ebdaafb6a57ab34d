"""Makes a database as the first version left it, fills it, upgrades it, and says what is not as it was.

    DATA_DIR=... [DATABASE_URL=...] python -m tests.support.upgrade

The database must be empty. Prints one JSON object. Run by ``tests/deploy/test_upgrade.py`` in a process of its own,
since a test's own database is always of the newest schema.
"""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

FIRST = [("core", "0001_initial"), ("cases", "0003_uploads_with_archives"), ("inference", "0001_initial")]
"""The last migrations of the first version that people could use: uploads, registry, inference. No reader studies."""

OURS = ("core", "cases", "inference", "reader_study")
NOT_KEPT = ("django_migrations", "django_content_type", "auth_permission")  # Django's own bookkeeping grows
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "leukoweb.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from leukoweb.core.guards import install_guards

    executor = MigrationExecutor(connection)
    if connection.introspection.table_names():
        sys.exit("This database is not empty.")
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in OURS]
    executor.migrate([*others, *FIRST])
    apps = executor.loader.project_state([*others, *FIRST]).apps
    fill(apps)
    install_guards()  # those of the tables that existed
    before = contents()
    call_command("migrate", verbosity=0)
    after = contents(before)
    rows = [rows for _, rows in before.values()]
    told = {"tables": sum(map(bool, rows)), "rows": sum(map(len, rows)), "differences": differences(before, after)}
    json.dump(told | state(), sys.stdout)


def fill(apps: Any) -> None:
    """Two patients, one of them drawn, with everything that the first version could keep."""
    user = apps.get_model("core", "User").objects.create(username="chief", password="!", role="admin", date_joined=AT)
    chain(apps, user)
    get = apps.get_model
    cohorts = [
        get("cases", "Cohort").objects.create(name=name, purpose="external", synthetic=synthetic, created_by=user)
        for name, synthetic in (("Real Ü", False), ("Drawn", True))
    ]
    device = get("cases", "CaptureDevice").objects.create(camera="DP73", microscope="BX53")
    models = {
        slot: get("inference", "ModelVersion").objects.create(
            name=f"m-{slot}", version="1", slot=slot, classes=["A", "B"], card={"note": "ü", "n": [1, 2.5]},
            recipe_sha256="1" * 64, weights_sha256="2" * 64, onnx_sha256="3" * 64, created_by=user,
        )
        for slot in ("model_1", "model_2")
    }  # fmt: skip
    pipeline = get("inference", "PipelineVersion").objects.create(
        name="first", version="1", rule_set={"name": "paper-fig1"}, is_active=True, created_by=user, **models
    )
    for number, cohort in enumerate(cohorts):
        patient = get("cases", "Patient").objects.create(code=f"P{number}", cohort=cohort, note="=1")
        slide = get("cases", "Slide").objects.create(
            code=f"S{number}", patient=patient, device=device, magnification=1000, captured_on=AT.date(),
            capture_minutes=7.25, pixel_size_um=0.1, stain="Wright", created_by=user,
        )  # fmt: skip
        get("cases", "ReferenceDiagnosis").objects.create(
            patient=patient, diagnosis="CML", source="Genetics", decided_on=AT.date(), entered_by=user
        )
        get("cases", "Exposure").objects.create(user=user, patient=patient, kind="result")
        _slide(apps, user, cohort, patient, slide, pipeline, number)


def _slide(apps: Any, user: Any, cohort: Any, patient: Any, slide: Any, pipeline: Any, number: int) -> None:
    get = apps.get_model
    batch = get("cases", "UploadBatch").objects.create(cohort=cohort, created_by=user, slide=slide, closed_at=AT)
    entries = []
    for position in (1, 2, 3):
        content = f"{number}{position}" * 32
        image = get("cases", "HpfImage").objects.create(
            slide=slide, position=position, content_sha256=content, received_sha256=content[::-1], format="PNG",
            width_px=640, height_px=480, size_bytes=123456789012, phash="f" * 16, notes=["grey became RGB"],
            uploaded_by=user,
        )  # fmt: skip
        get("cases", "ImageOriginalName").objects.create(image=image, name="Müller 1.png")
        get("cases", "UploadItem").objects.create(
            batch=batch, path=f"a/{position}.png", position=position, size_bytes=1, sha256=content, state="stored",
            image=image, slide=slide,
        )  # fmt: skip
        get("inference", "ImagePrediction").objects.create(
            content_sha256=content, model=pipeline.model_1, recipe_sha256="1" * 64, profile="openvino fp32",
            probabilities=[0.1 + position / 10, 0.9 - position / 10],
        )  # fmt: skip
        entries.append({"image": str(image.public_id), "position": position, "content_sha256": content,
                        "profiles": {"model_1": "openvino fp32"}})  # fmt: skip
    job = get("core", "Job").objects.create(
        kind="inference.run",
        queue="infer",
        title="Run",
        payload={"run": 1},
        status="done",
        finished_at=AT,
        created_by=user,
    )
    run = get("inference", "PipelineRun").objects.create(pipeline=pipeline, slide=slide, job=job, created_by=user)
    get("inference", "PatientPrediction").objects.create(
        run=run, patient=patient, slide=slide, diagnosis="CHRONIC", diagnosis_3="CHRONIC", images=entries,
        images_sha256="4" * 64, rule_set_sha256="5" * 64, engine_profile="openvino fp32", app_version="0.0.1",
    )  # fmt: skip


def chain(apps: Any, user: Any) -> None:
    """Five audit events, chained as the program chains them."""
    from leukoweb.core.audit import GENESIS, event_hash

    previous = GENESIS
    for number in range(5):
        event = apps.get_model("core", "AuditEvent")(
            at=AT, actor=user if number else None, actor_name="chief" if number else "system", action="test.deed",
            target=f"t:{number}", data={"ü": [number, 0.1, None]}, reason="weil", previous_hash=previous,
        )  # fmt: skip
        event.hash = previous = event_hash(event)
        event.save(force_insert=True)


Contents = dict[str, tuple[list[str], list[tuple[str, ...]]]]


def contents(wanted: Contents | None = None) -> Contents:
    """Every table with its columns and rows as texts; with ``wanted``, those tables and columns as far as they are."""
    from django.db import connection

    found: Contents = {}
    with connection.cursor() as cursor:
        for table in sorted(wanted or connection.introspection.table_names(cursor)):
            if table in NOT_KEPT or table not in connection.introspection.table_names(cursor):
                continue
            columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
            columns = [c for c in wanted[table][0] if c in columns] if wanted else columns
            names = ", ".join(f'"{column}"' for column in columns)
            cursor.execute(f'SELECT {names} FROM "{table}" ORDER BY 1')
            found[table] = columns, [tuple(map(repr, row)) for row in cursor.fetchall()]
    return found


def differences(before: Contents, after: Contents) -> list[str]:
    """In words: tables, columns and rows that are not as they were."""
    out = []
    for table, (columns, rows) in before.items():
        if table not in after:
            out.append(f"{table} is gone")
        elif after[table][0] != columns:
            out.append(f"{table} lost {sorted(set(columns) - set(after[table][0]))}")
        elif after[table][1] != rows:
            out.append(f"{table}: rows differ")
    return out


def state() -> dict[str, Any]:
    """What the upgraded program says of its database."""
    from django.core.management import call_command
    from django.db import DatabaseError, transaction

    from cases.models import Slide
    from inference.models import PatientPrediction
    from inference.selectors.exports import result_as_dict
    from inference.selectors.results import Result
    from leukoweb.core.audit import audit_record, chain_verify
    from leukoweb.core.guards import missing_guards
    from leukoweb.core.models import AuditEvent

    audit_record(actor=None, action="upgrade.done")  # the chain goes on
    report = chain_verify()
    refused = False
    try:
        with transaction.atomic():
            AuditEvent.objects.update(reason="x")
    except DatabaseError:
        refused = True
    prediction = PatientPrediction.objects.order_by("id").first()
    assert prediction is not None
    call_command("check", stdout=io.StringIO())
    call_command("makemigrations", check=True, dry_run=True, verbosity=0, stdout=io.StringIO())
    return {
        "chain": [report.intact, report.n_events], "missing_guards": missing_guards(), "update_refused": refused,
        "reviews": dict(Slide.objects.values_list("code", "review")),
        "result": result_as_dict(Result(prediction.run))["diagnosis"],
    }  # fmt: skip


if __name__ == "__main__":
    main()

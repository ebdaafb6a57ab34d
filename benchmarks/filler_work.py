"""What people and models did in the filled installation: runs with results, sorting queues, a dataset version."""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from benchmarks.bulk import load, reset_sequences

FIELDS = 50
STUDY_CASES = 64
SORTERS = 5


@dataclass(frozen=True)
class Size:
    patients: int
    fields: int = FIELDS

    @property
    def images(self) -> int:
        return self.patients * self.fields


class Work:
    """The steps behind patients and images; `benchmarks.filler.Filler` has those before."""

    size: Size
    rng: random.Random
    now: datetime
    ids: Iterator[uuid.UUID]
    places: dict[str, Any]
    users: dict[str, Any]
    cohort: Any
    pipe: Any
    contents: list[str]
    public: list[uuid.UUID]

    def _decisions(self) -> list[tuple[dict[str, list[list[float]]], Any]]:
        """Twenty tables of probabilities with what the rules make of them; patients take turns."""
        from inference.pipeline.hierarchy import decide
        from inference.pipeline.rules import RuleSet

        rules, rng, found = RuleSet.from_dict(self.pipe.rule_set), np.random.default_rng(3), []
        for number in range(20):
            tables = {}
            for slot, model in self.pipe.slots.items():
                p = rng.dirichlet(np.full(len(model.classes), 0.2), self.size.fields)
                if slot == "model_1" and number % 3:  # two of three slides have no field with leukemia
                    p = np.sort(p, axis=1)[:, :: 1 if model.classes[-1] == "NO_LEUKEMIA" else -1]
                tables[slot] = [[round(float(v), 6) for v in row] for row in p]
            single = self.pipe.single_model
            found.append((tables, decide(rules, **tables, classes=single.classes if single else None)))
        return found

    def results(self) -> None:
        from inference.models import ImagePrediction, PatientPrediction, PipelineRun, SlideContents
        from inference.pipeline.rules import RuleSet
        from inference.selectors.images import images_sha256
        from leukoweb.core.models import Job

        n, per, profile = self.size.patients, self.size.fields, "openvino bf16+fp32 0.5 (benchmark)"
        jobs, runs, found = list(itertools.islice(self.ids, n)), list(itertools.islice(self.ids, n)), self._decisions()
        done = {
            "kind": "inference.run",
            "queue": "infer",
            "status": "done",
            "done_units": per,
            "total_units": per,
            "payload": {},
            "created_at": self.now,
            "finished_at": self.now,
            "created_by_id": self.users["technician"].pk,
        }
        load(Job, done, ("id", "title"), ((job, f"Slide P{i:06d}-S1") for i, job in enumerate(jobs, start=1)))
        load(
            PipelineRun,
            {"pipeline_id": self.pipe.pk, "engine_profile": profile, "created_at": self.now},
            ("id", "public_id", "slide_id", "job_id", "mode"),
            ((i, runs[i - 1], i, jobs[i - 1], "full" if i <= STUDY_CASES else "cascade") for i in range(1, n + 1)),
        )
        slots, seen = {}, []
        for slot, model in self.pipe.slots.items():  # a comparator that shares a slot's weights is predicted once
            if model.pk not in seen:
                slots[slot] = model
                seen.append(model.pk)

        def used(i: int) -> list[str]:
            flagged = found[i % 20][1].diagnosis != "NO_LEUKEMIA"
            return list(slots) if i <= STUDY_CASES or flagged else ["model_1"]

        def predicted() -> Iterator[tuple[Any, ...]]:
            number = itertools.count(1)
            for i in range(1, n + 1):
                for slot in used(i):
                    model, rows = slots[slot], found[i % 20][0][slot]
                    for k in range(per):
                        content = self.contents[(i - 1) * per + k]
                        yield next(number), content, model.pk, model.recipe_sha256, json.dumps(rows[k])

        load(
            ImagePrediction,
            {"profile": profile, "created_at": self.now},
            ("id", "content_sha256", "model_id", "recipe_sha256", "probabilities"),
            predicted(),
        )
        fixed = {
            "rule_set_sha256": RuleSet.from_dict(self.pipe.rule_set).sha256,
            "engine_profile": profile,
            "app_version": "benchmark",
            "created_at": self.now,
            "decided": True,
        }

        def decided() -> Iterator[tuple[Any, ...]]:
            for i in range(1, n + 1):
                decision, at = found[i % 20][1], (i - 1) * per
                profiles = dict.fromkeys(used(i), profile)
                images = [
                    {
                        "image": str(self.public[at + k]),
                        "position": k + 1,
                        "content_sha256": self.contents[at + k],
                        "profiles": profiles,
                    }
                    for k in range(per)
                ]
                yield (
                    i,
                    i,
                    i,
                    i,
                    decision.diagnosis,
                    decision.diagnosis_3 or "",
                    decision.diagnosis_5 or "",
                    json.dumps(decision.trace),
                    json.dumps(list(decision.flags)),
                    json.dumps(images),
                    images_sha256(self.contents[at : at + per]),
                )

        load(
            PatientPrediction,
            fixed,
            (
                "id",
                "run_id",
                "patient_id",
                "slide_id",
                "diagnosis",
                "diagnosis_3",
                "diagnosis_5",
                "trace",
                "flags",
                "images",
                "images_sha256",
            ),
            decided(),
        )
        # As the worker remembers it beside each result.
        made = PatientPrediction.objects.values_list("slide_id", "images_sha256")
        load(SlideContents, {}, ("slide_id", "images_sha256"), list(made))
        reset_sequences((PipelineRun, ImagePrediction, PatientPrediction))
        flagged = next(i for i in range(n // 2, n) if len(used(i)) > 1)
        self.places["run"] = str(runs[flagged - 1])

    def sorting(self) -> None:
        """One task over the first 64 patients, as large as a study; a second over everything, split among sorters."""
        from cases.dealing import deal
        from cases.models import SortingDecision, SortingItem, SortingSeat, SortingTask
        from cases.services.taxonomies import taxonomy_ensure

        taxonomy = taxonomy_ensure()
        labels = [label["name"] for label in taxonomy.labels]
        number, item_number = itertools.count(1), itertools.count(1)
        study, everything = range(STUDY_CASES * self.size.fields), range(self.size.images)
        for name, images in (("Task of 64 patients", study), ("Task of everything", everything)):
            task = SortingTask.objects.create(
                name=name, taxonomy=taxonomy, assignment="split", seed=5, consensus={"rule": "majority"}
            )
            task.cohorts.add(self.cohort)
            seats = [
                SortingSeat.objects.create(task=task, user=self.users[f"sorter{k}"], seed=k)
                for k in range(1, SORTERS + 1)
            ]
            hands = deal([str(self.public[i]) for i in images], [s.seed for s in seats], assignment="split", seed=5)
            index = {str(self.public[i]): i + 1 for i in images}
            decisions, items = [], []
            for seat, hand in zip(seats, hands, strict=True):
                for position, image in enumerate(hand, start=1):
                    decision = None
                    if position <= len(hand) // 2:
                        decision = next(number)
                        decisions.append(
                            (decision, seat.pk, index[image], next(self.ids), labels[decision % len(labels)])
                        )
                    items.append((next(item_number), seat.pk, index[image], position, decision))
            load(
                SortingDecision,
                {"verdict": "label", "origin": "key", "shown_ms": 900, "decided_at": self.now},
                ("id", "seat_id", "image_id", "key", "label"),
                decisions,
            )
            load(SortingItem, {}, ("id", "seat_id", "image_id", "position", "current_id"), items)
            self.places["task" if images is study else "task_all"] = str(task.public_id)
        reset_sequences((SortingDecision, SortingItem))

    def dataset(self) -> None:
        """A version of everything, with the manifest that its hash names."""
        from cases.manifests import Line, manifest
        from cases.models import DatasetEntry, DatasetVersion, SortingTask
        from cases.selectors.sorting import rule_of
        from cases.services.taxonomies import taxonomy_ensure
        from cases.taxonomy_data import read_taxonomy
        from leukoweb.core.storage import blobs

        taxonomy = taxonomy_ensure()
        maps = read_taxonomy(taxonomy.labels, taxonomy.maps, version=taxonomy.version).maps
        name, labels = next(iter(maps)), [label["name"] for label in taxonomy.labels]
        per = self.size.fields
        lines = sorted(
            Line(
                f"P{i // per + 1:06d}",
                f"P{i // per + 1:06d}-S1",
                c,
                labels[i % len(labels)],
                "train" if i // per % 5 else "internal",
                0,
            )
            for i, c in enumerate(self.contents)
        )
        task = SortingTask.objects.get(public_id=self.places["task_all"])
        settings = {"class_map": name, "fraction": 0.2, "folds": 0, "min_images": 3, "seed": 5}
        choices = {**settings, "cohorts": [self.cohort.name], "tasks": [task.name], "rules": [rule_of(task).as_dict()]}
        content = manifest(choices=choices, taxonomy={}, lines=lines, left_out=[], decisions_sha256="0" * 64)
        classes = list(maps[name].classes)
        cells = {"train": dict.fromkeys(classes, 1), "internal": dict.fromkeys(classes, 1)}
        version = DatasetVersion.objects.create(
            name="Everything",
            version=1,
            taxonomy=taxonomy,
            class_map=name,
            choices=choices,
            flow=[],
            counts={"classes": classes, "images": cells, "patients": cells, "folds": {}},
            proof=[],
            manifest_sha256=blobs().put(content),
            n_images=len(lines),
            n_patients=self.size.patients,
            synthetic=True,
        )
        index = {c: i + 1 for i, c in enumerate(self.contents)}
        load(
            DatasetEntry,
            {"dataset_id": version.pk, "fold": 0},
            (
                "id",
                "number",
                "image_id",
                "patient_id",
                "patient_code",
                "slide_code",
                "content_sha256",
                "label",
                "split",
            ),
            (
                (
                    at,
                    at,
                    index[x.content_sha256],
                    int(x.patient[1:]),
                    x.patient,
                    x.slide,
                    x.content_sha256,
                    x.label,
                    x.split,
                )
                for at, x in enumerate(lines, start=1)
            ),
        )
        reset_sequences((DatasetEntry,))
        self.places["dataset"] = str(version.public_id)

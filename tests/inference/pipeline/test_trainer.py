"""Resume, accumulation, several processes, reduced precision, memory, early stop: each against the plain run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.pipeline import head as heads
from inference.pipeline.dataset import ImageSet
from inference.pipeline.distributed import finished
from inference.pipeline.memory_left import available_bytes
from inference.pipeline.networks import build_network
from inference.pipeline.train import Diverged, Epoch, OutOfMemory, TrainedModel, Trainer, logits_of
from inference.pipeline.train_batches import Normalise, epoch_order, split
from inference.pipeline.train_memory import OVERHEAD, SHARE, fit_to_memory, kept_bytes_per_image
from inference.pipeline.train_state import StateUnreadable
from inference.pipeline.training_config import ConfigInvalid, TrainingSettings
from tests.inference.pipeline.test_train import ARCHITECTURE, RECIPE, coloured

SETTINGS = TrainingSettings(epochs=4, batch_size=8, learning_rate=5e-3, seed=3, threads=1, recalibration_images=16)
DATA = coloured(36, "a"), coloured(16, "b", 1)  # 36 images: the last batch is a short one


def trainer(settings: TrainingSettings = SETTINGS, **options: Any) -> Trainer:
    return Trainer(*DATA, architecture=ARCHITECTURE, recipe=RECIPE, settings=settings, **options)


def weights(trained: TrainedModel) -> dict[str, torch.Tensor]:
    return trained.network.state_dict()


def largest_difference(first: TrainedModel, second: TrainedModel) -> float:
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_a_resumed_training_ends_with_the_same_weights_to_the_bit(tmp_path: Path, schedule: str) -> None:
    settings = replace(SETTINGS, schedule=schedule)
    plain = trainer(settings).run()
    for stop in (1, 3):
        first, second = trainer(settings), trainer(settings)
        # saved from within, as the job does: run() ends by loading the best epoch
        first.run(lambda epoch, one=first, stop=stop: one.save(tmp_path / "s") or epoch.number < stop)
        second.resume(tmp_path / "s")
        assert len(second.history) == stop
        resumed = second.run()
        assert largest_difference(plain, resumed) == 0.0
        assert resumed.history == plain.history
        assert resumed.best_epoch == plain.best_epoch


def test_a_state_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    one = trainer(replace(SETTINGS, epochs=1))
    one.run(lambda epoch: one.save(tmp_path / "s"))
    with pytest.raises(StateUnreadable, match="belongs to another training"):
        trainer(replace(SETTINGS, epochs=1, seed=4)).resume(tmp_path / "s")
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes()[:200])
    with pytest.raises(StateUnreadable, match="cannot be read"):
        trainer(replace(SETTINGS, epochs=1)).resume(tmp_path / "s")


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = trainer(replace(SETTINGS, epochs=1))
    one.run(lambda epoch: one.save(tmp_path / "s"))
    before = (tmp_path / "s").read_bytes()

    def full(source: Any, target: Any) -> None:
        raise OSError("full")

    monkeypatch.setattr("inference.pipeline.train_state.os.replace", full)
    with pytest.raises(OSError, match="full"):
        one.save(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_every_image_is_seen_once_an_epoch_and_no_part_is_too_small() -> None:
    for n in (2, 9, 32, 33, 65):
        for world in (1, 2):
            batches = epoch_order(n, 8, torch.Generator().manual_seed(1), world)
            seen = np.concatenate(batches) if batches else np.array([])
            assert set(seen) == set(range(n)) or world > 1
            for rows in batches:
                parts = [split(len(rows), 3, world, rank) for rank in range(world)]
                assert len({len(p) for p in parts}) == 1, "every process makes the same number of passes"
                sizes = [s.stop - s.start for part in parts for s in part]
                assert sum(sizes) == len(rows)
                assert min(sizes) >= 2


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    """Exactly so without batch norm, which sees a part at a time."""
    whole, parts = trainer(), trainer(replace(SETTINGS, accumulate=4))
    for one in (whole, parts):
        one.network.eval()  # batch norm by its running statistics
        rows, images = np.arange(8), torch.from_numpy(DATA[0].images[:8]).permute(0, 3, 1, 2)
        from inference.pipeline.augment import draw_variants

        one._backward(rows, images, draw_variants(8, torch.Generator().manual_seed(0)))
    for a, b in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-4)


def test_bf16_ends_where_fp32_does_within_its_precision() -> None:
    exact, fast = trainer().run(), trainer(replace(SETTINGS, precision="bf16")).run()
    for a, b in zip(exact.history, fast.history, strict=True):
        assert abs(a.loss - b.loss) < 0.05
    assert abs(exact.metrics["macro_f1"] - fast.metrics["macro_f1"]) < 0.07  # one of 16 images
    assert largest_difference(exact, fast) > 0, "autocast was really on"


def test_out_of_memory_halves_the_batch_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    one = trainer(replace(SETTINGS, epochs=1), say=said.append)
    real, most = one._backward, 2

    def tight(rows: Any, images: Any, variants: Any) -> float:
        if len(rows) / one.accumulate > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return real(rows, images, variants)

    monkeypatch.setattr(one, "_backward", tight)
    trained = one.run()
    assert one.accumulate == 4
    assert said == [
        "Out of memory: each batch of 8 is now computed in 2 parts.",
        "Out of memory: each batch of 8 is now computed in 4 parts.",
    ]
    assert trained.settings["accumulate"] == 4
    most = 1
    two = trainer(replace(SETTINGS, epochs=1))
    monkeypatch.setattr(two, "_backward", lambda *a: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(OutOfMemory, match="does not suffice"):
        two.run()


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trainer()
    monkeypatch.setattr(one, "_backward", lambda *a: (_ for _ in ()).throw(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        one.run()


def test_a_loss_that_is_no_number_ends_it() -> None:
    with pytest.raises(Diverged, match="epoch 1 is not a number"):
        one = trainer()
        one.weights = torch.full_like(one.weights, float("nan"))
        one.run()


def test_early_stopping_keeps_the_best_epoch() -> None:
    settings = replace(SETTINGS, epochs=40, early_stopping=2)
    trained = trainer(settings).run()
    assert len(trained.history) == trained.best_epoch + 2 < 40


def test_balanced_class_weights_undo_the_imbalance() -> None:
    rows = np.r_[np.arange(0, 36, 2), 1]  # 18 of one class, 1 of the other
    patients = tuple(DATA[0].patients[row] for row in rows)
    few = ImageSet(DATA[0].images[rows], DATA[0].targets[rows], patients, DATA[0].classes)
    one = Trainer(few, DATA[1], architecture=ARCHITECTURE, recipe=RECIPE,
                  settings=replace(SETTINGS, class_weights="balanced"))  # fmt: skip
    assert one.weights.tolist() == pytest.approx([19 / 36, 19 / 2])
    assert trainer().weights.tolist() == [1.0, 1.0]


def test_shuffled_targets_keep_their_counts_and_teach_nothing() -> None:
    control = DATA[0].shuffled(5)
    assert control.counts() == DATA[0].counts()
    assert (control.targets != DATA[0].targets).any()


def test_a_new_head_on_a_frozen_backbone_is_the_network_that_is_stored() -> None:
    torch.manual_seed(0)
    network = build_network(ARCHITECTURE, 2)
    normalise = Normalise(RECIPE)
    heads.recalibrate_backbone(network, DATA[0], normalise, 8)
    tables = []
    for data in DATA:
        table = np.zeros((len(data.targets), heads.last_linear(network)[1].in_features), dtype=np.float32)
        rows = np.arange(len(table))
        heads.features_of(network, data.images, normalise, lambda r, v, t=table: t.__setitem__(r, v), rows)
        tables.append(table)
    seen: list[tuple[int, float]] = []

    def validate(epoch: int, loss: float, rate: float, logits: Any) -> bool:
        right = float((logits.argmax(1) == DATA[1].targets).mean())
        seen.append((epoch, right))
        return right == max(r for _, r in seen) and right > max([r for _, r in seen[:-1]], default=-1.0)

    settings = replace(SETTINGS, epochs=20, learning_rate=2e-2)
    head = heads.train_head(tables[0], DATA[0].targets, 2, settings, validate, tables[1])
    with torch.no_grad():
        expected = head(torch.from_numpy(tables[1])).numpy()
    stored = heads.put_head(network, head)
    np.testing.assert_allclose(logits_of(stored, DATA[1], normalise), expected, atol=1e-4)
    assert max(right for _, right in seen) == 1.0
    rates: dict[str, list[float]] = {"constant": [], "cosine": [], "one-cycle": []}
    for schedule, found in rates.items():
        heads.train_head(
            tables[0], DATA[0].targets, 2, replace(settings, schedule=schedule, epochs=10),
            lambda epoch, loss, rate, logits, found=found: bool(found.append(rate)), tables[1],
        )  # fmt: skip
    assert set(rates["constant"]) == {2e-2}
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)
    assert rates["one-cycle"][0] < max(rates["one-cycle"]) > rates["one-cycle"][-2]


def test_the_temperature_of_overconfident_logits_is_found_and_folded_in() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 3)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = np.array([random.choice(3, p=p / p.sum()) for p in shares.astype(np.float64)])
    assert heads.fit_temperature(3 * logits, targets) == pytest.approx(3.0, rel=0.08)
    network = build_network(ARCHITECTURE, 2).eval()
    before = logits_of(network, DATA[1], Normalise(RECIPE))
    heads.cool(network, 2.0)
    np.testing.assert_allclose(logits_of(network, DATA[1], Normalise(RECIPE)), before / 2, atol=1e-5)


def test_the_need_for_memory_is_known_before_the_first_step() -> None:
    said: list[str] = []
    one = trainer(say=said.append)
    before = {key: value.clone() for key, value in one.network.state_dict().items()}
    need = kept_bytes_per_image(one)
    pixels = RECIPE.size_px**2 * 4
    assert 3 * pixels < need < 3000 * pixels
    assert fit_to_memory(one, available=2**40) == 1
    assert not said
    assert fit_to_memory(one, available=int(8 * need * OVERHEAD / SHARE / 2) + 1000) == 2
    assert said[0].startswith("A batch of 8 would need about")
    assert fit_to_memory(one, available=1) == 4, "never fewer than two images at a time"
    assert all(torch.equal(before[key], value) for key, value in one.network.state_dict().items())
    double = Trainer(
        *(replace(side, images=np.repeat(np.repeat(side.images, 2, 1), 2, 2)) for side in DATA),
        architecture=ARCHITECTURE, recipe=replace(RECIPE, size_px=64), settings=SETTINGS,
    )  # fmt: skip
    assert kept_bytes_per_image(double) / need == pytest.approx(4, rel=0.1)


def test_fp16_without_a_gpu_is_refused_instead_of_computed_as_fp32() -> None:
    with pytest.raises(ConfigInvalid, match="fp16 needs a GPU"):
        trainer(replace(SETTINGS, precision="fp16"))


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        ("0::/", {"memory.max": "max\n"}, 32768),
        (
            "0::/",
            {"memory.max": "16000\n", "memory.current": "9000\n", "memory.stat": "anon 1\ninactive_file 500\n"},
            7500,
        ),
        ("0::/", {"memory.max": "16000\n", "memory.current": "17000\n", "memory.stat": "anon 1\n"}, 0),
        ("0::/a/b", {"a/memory.max": "4000\n", "a/memory.current": "0\n", "a/memory.stat": "anon 0\n"}, 4000),
        ("0::/a/b", {"a/memory.max": "99000\n", "a/memory.current": "0\n", "a/memory.stat": "anon 0\n"}, 32768),
        (
            "5:cpu,memory:/docker/of the host",
            {"memory/memory.limit_in_bytes": "8000\n", "memory/memory.usage_in_bytes": "7000\n",
             "memory/memory.stat": "total_inactive_file 24\n"},
            1024,
        ),
        ("5:cpu:/", {"memory.max": "1\n", "memory.current": "0\n", "memory.stat": "anon 0\n"}, 32768),
        (None, {}, 32768),
    ],
)  # fmt: skip
def test_a_container_has_no_more_memory_than_its_limit_leaves(
    tmp_path: Path, lines: str | None, files: dict[str, str], left: int
) -> None:
    """What the machine has, 32 KiB here, is what a container's processes see in /proc/meminfo."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    written = {proc / "meminfo": "MemTotal: 64 kB\nMemAvailable: 32 kB\n"}
    written |= {groups / name: text for name, text in files.items()}
    if lines is not None:
        written[proc / "self" / "cgroup"] = f"9:pids:/\n{lines}\n"
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert available_bytes(proc, groups) == left


@pytest.mark.slow
def test_two_processes_give_what_one_gives_with_two_parts(tmp_path: Path) -> None:
    """DDP over gloo against one process with accumulate=2, and resumed from the state of the second epoch."""
    from inference.worker.training_devices import launch

    settings = replace(SETTINGS, batch_size=12, epochs=3)  # 36 images: no rest that two processes would leave out
    alone = trainer(replace(settings, accumulate=2)).run()
    spec = {
        "architecture": ARCHITECTURE, "recipe": RECIPE.as_dict(), "settings": asdict(settings),
        "initial_weights": None, "resume": None,
    }  # fmt: skip
    for name, side in zip(("training", "validation"), DATA, strict=True):
        np.save(tmp_path / f"{name}.npy", side.images)
        spec[name] = {"array": f"{name}.npy", "targets": side.targets.tolist(), "patients": list(side.patients),
                      "classes": list(side.classes)}  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert launch(tmp_path, 2).wait(900) == 0, (tmp_path / "log.txt").read_text()
    together = finished(tmp_path, DATA)
    difference = largest_difference(alone, together)
    print(f"largest difference of any weight: {difference:.2e}")
    assert difference < 1e-4
    for a, b in zip(alone.history, together.history, strict=True):
        assert abs(a.macro_f1 - b.macro_f1) < 1e-9
    spec["resume"] = str(tmp_path / "epoch-00002.safetensors")
    again = tmp_path / "again"
    again.mkdir()
    for name in ("training.npy", "validation.npy"):
        (again / name).write_bytes((tmp_path / name).read_bytes())
    (again / "spec.json").write_text(json.dumps(spec))
    assert launch(again, 2).wait(900) == 0, (again / "log.txt").read_text()
    assert largest_difference(together, finished(again, DATA)) == 0.0
    assert [Epoch(**json.loads(line)["epoch"]).number for line in (again / "epochs.jsonl").open()] == [3]

"""The store says how large it is, measures what rounding costs, and goes on where it was killed."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from backbench.data.arrays import array_file
from backbench.data.arrays.file_formats import write_json
from backbench.features import activation_store
from backbench.features.activation_store import StorePlan, StoreWriter, state_for
from backbench.results.compute import NOTHING
from backbench.results.store_record import BoundaryRecord, StoreRecord, read_store
from backbench.runtime.errors import ActivationError, ArtifactError
from tests.support.clock import stopped

PLAN = StorePlan({"wide": (4, 4, 8), "narrow": (8,)}, {"train": (2, 10), "val": (1, 5)}, "float16")
RECORD = StoreRecord(
    views=2,
    weights_digest="w",
    weights_file="f",
    data_digest="d",
    sha256={},
    boundaries=(BoundaryRecord("last_stage", "wide", 3, 4, {"train": True, "val": True}, 0.25),),
)


@pytest.fixture(autouse=True)
def _noting_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_store, "NOTE_SECONDS", 0.0)


def batch(num_rows: int, *, seed: int = 0, scale: float = 1.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: scale * random.normal(size=(num_rows, *shape)).astype("float32") for name, shape in PLAN.shapes.items()
    }


def write(writer: StoreWriter, *, until: int = 5) -> None:
    """Write what is missing of batches of 5 rows each, and stop after `until` of them."""
    for number, split in enumerate(["train"] * 4 + ["val"]):
        done = writer.num_rows(split) // 5 + (4 if split == "val" else 0)
        if done <= number < until:
            writer.append(split, batch(5, seed=number))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_size_is_that_of_the_files(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "state", PLAN)
    write(writer)
    writer.finish(RECORD, tmp_path / "cell")
    values = [np.load(path) for path in (tmp_path / "cell").rglob("*.npy")]
    assert PLAN.num_bytes(*PLAN.shapes) == sum(value.nbytes for value in values) == 25 * (128 + 8) * 2
    assert np.load(tmp_path / "cell/wide/train.npy").shape == (2, 10, 4, 4, 8)
    assert read_store(tmp_path / "cell") == RECORD


def test_a_description_of_another_form_says_what_to_run(tmp_path: Path) -> None:
    content = asdict(RECORD)
    del content["sha256"]
    write_json(tmp_path / "boundary.json", content)
    with pytest.raises(ArtifactError, match="expected the keys of StoreRecord, found others .*; run `dvc repro embed`"):
        read_store(tmp_path)


@pytest.mark.parametrize(
    ("limit_bytes", "kept"), [(0, set()), (399, set()), (400, {"narrow"}), (6799, {"narrow"}), (6800, set(PLAN.shapes))]
)
def test_the_smallest_boundaries_go_first(limit_bytes: int, kept: set[str]) -> None:
    assert set(PLAN.within(limit_bytes).shapes) == kept


@pytest.mark.parametrize("batches", range(6))
def test_a_killed_writer_goes_on_where_it_stopped(tmp_path: Path, batches: int) -> None:
    straight = StoreWriter(tmp_path / "straight", PLAN)
    write(straight)
    write(StoreWriter(tmp_path / "killed", PLAN), until=batches)
    with (tmp_path / "killed/store/wide/train.npy").open("ab") as stream:
        stream.write(b"half a row")
    resumed = StoreWriter(tmp_path / "killed", PLAN)
    assert resumed.num_rows("train") + resumed.num_rows("val") == 5 * batches
    write(resumed)
    assert files(tmp_path / "killed/store") == files(tmp_path / "straight/store")
    assert resumed.float16_error("wide") == straight.float16_error("wide") > 0


def test_a_file_that_lost_rows_is_begun_again(tmp_path: Path) -> None:
    write(StoreWriter(tmp_path, PLAN), until=3)
    path = tmp_path / "store/narrow/train.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert StoreWriter(tmp_path, PLAN).num_rows("train") == 0


def test_the_error_of_half_precision_is_a_share_of_the_largest_value(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, PLAN)
    values = batch(5, scale=0.0)
    values["narrow"][3, 2], values["narrow"][1, 1] = 100.0, 2049.0  # float16 has 2048 and 2050 there
    writer.append("train", values)
    assert writer.float16_error("narrow") == pytest.approx(1 / 2049)
    assert writer.float16_error("wide") == 0.0


def test_single_precision_costs_nothing(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, replace(PLAN, dtype="float32"))
    writer.append("train", batch(5, scale=1e6))
    assert writer.float16_error("wide") == 0.0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-7e4, r"wide: expected activations in float16's range of ±65504, found one of size 70000; .* float32"),
        (np.nan, r"wide: expected finite activations, found nan"),
        (np.inf, r"wide: expected finite activations, found inf"),
    ],
)
def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path, value: float, message: str) -> None:
    values = batch(5)
    values["wide"][0, 0, 0, 0] = value
    with pytest.raises(ActivationError, match=message):
        StoreWriter(tmp_path, PLAN).append("train", values)


def test_state_of_other_inputs_is_neither_used_nor_kept(tmp_path: Path) -> None:
    first = state_for(tmp_path, "a")
    first.mkdir()
    np.save(first / "x.npy", np.zeros(3))
    assert state_for(tmp_path, "a") == first
    assert first.is_dir()
    assert state_for(tmp_path, "b") != first
    assert not first.exists()


def test_what_is_noted_is_on_the_disk_before_and_the_rest_may_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_the_disk() -> dict[Path, int]:
        return {path: path.stat().st_size for path in (tmp_path / "store").rglob("*.npy")}

    synced: dict[Path, int] = {}
    monkeypatch.setattr(array_file, "sync", lambda path: synced.update({path: path.stat().st_size}))
    writer = StoreWriter(tmp_path, PLAN)
    writer.append("train", batch(5))
    assert synced == on_the_disk()
    monkeypatch.setattr(activation_store, "NOTE_SECONDS", 60.0)
    writer.append("train", batch(5))
    assert synced != on_the_disk()
    assert StoreWriter(tmp_path, PLAN).num_rows("train") == 5


def test_a_note_that_is_not_whole_begins_anew(tmp_path: Path) -> None:
    write(StoreWriter(tmp_path, PLAN), until=3)
    (tmp_path / "progress.json").write_text('{"rows": {"train"', encoding="utf-8")
    assert StoreWriter(tmp_path, PLAN).num_rows("train") == 0


def test_what_the_rows_took_is_kept_with_them_and_what_was_cut_off_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = stopped(monkeypatch)

    def write_for(seconds: float, writer: StoreWriter) -> None:
        clock.passes(seconds)
        writer.append("train", batch(5))

    first = StoreWriter(tmp_path, PLAN)
    assert first.compute_before == NOTHING
    write_for(10.0, first)
    write_for(20.0, first)
    monkeypatch.setattr(activation_store, "NOTE_SECONDS", 60.0)
    write_for(400.0, first)
    second = StoreWriter(tmp_path, PLAN)
    assert (second.num_rows("train"), second.compute_before.seconds) == (10, 30.0)
    write_for(5.0, second)
    assert second.compute_before.seconds == 30.0
    third = StoreWriter(tmp_path, PLAN)
    assert (third.num_rows("train"), third.compute_before.seconds) == (15, 35.0)

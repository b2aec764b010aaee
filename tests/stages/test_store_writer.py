"""The store says how large it is, takes parts in any order, and goes on where it was killed."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from backbench.data.arrays import array_file
from backbench.data.arrays.file_formats import write_array, write_json
from backbench.results.compute import Compute
from backbench.results.store_record import BoundaryRecord, StoreRecord, read_store
from backbench.runtime.errors import ActivationError, ArtifactError
from backbench.stages.embed import pass_plan
from backbench.stages.embed.pass_plan import Part, PassPlan, Range, StorePlan, ranges_of
from backbench.stages.embed.store_writer import StoreWriter

SHAPES = {"wide": (4, 4, 8), "narrow": (8,)}
STORE = StorePlan(SHAPES, {"train": (2, 10), "val": (1, 5)}, "float16")
# Of fewer views and another type.
OTHER = StorePlan({"narrow": (8,)}, {"train": (1, 10), "val": (1, 5)}, "float32")
RECORD = StoreRecord(
    views=2,
    weights_digest="w",
    weights_file="f",
    data_digest="d",
    sha256={},
    boundaries=(BoundaryRecord("last_stage", "wide", 3, 4, {"train": True, "val": True}, 0.25),),
)


@pytest.fixture(autouse=True)
def _ranges_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_plan, "BATCH_SIZES", (5,))
    monkeypatch.setattr(pass_plan, "RANGE_BATCHES", 1)


def plan_in(state: Path) -> PassPlan:
    return PassPlan(state, {"first": STORE, "other": OTHER}, {})


def part_of(plan: PassPlan, images: Range, *, seconds: float = 1.0) -> Part:
    """Write what a pass would leave of a range."""
    rounding = {}
    for strategy, store in plan.stores_of(images).items():
        for boundary, shape in store.shapes.items():
            random = np.random.default_rng([len(boundary), images.view, images.first, len(images.split)])
            values = random.normal(size=(images.last - images.first, *shape)).astype("float32")
            rounded = values.astype(store.dtype)
            path = plan.part(images) / strategy / f"{boundary}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_array(path, rounded)
            rounding[f"{strategy}/{boundary}"] = (float(np.abs(rounded - values).max()), float(np.abs(values).max()))
    return Part(images.last - images.first, rounding, Compute(seconds, 1, ("A",)))


def write(writer: StoreWriter, plan: PassPlan, *, number: int = 5) -> None:
    """Write the next so many of five ranges."""
    for images in writer.missing[:number]:
        writer.add(str(images), part_of(plan, images))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a writer that took all parts in their order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pass_plan, "BATCH_SIZES", (5,))
        patch.setattr(pass_plan, "RANGE_BATCHES", 1)
        plan = plan_in(tmp_path_factory.mktemp("straight"))
        write(StoreWriter(plan), plan)
    return files(plan.state / "store")


def test_the_size_is_that_of_the_files_and_no_part_is_left(tmp_path: Path) -> None:
    plan = plan_in(tmp_path / "state")
    writer = StoreWriter(plan)
    write(writer, plan)
    assert list((plan.state / "parts").iterdir()) == []
    writer.describe("first", RECORD)
    writer.finish(tmp_path / "backbone")
    stored = [np.load(path) for path in (tmp_path / "backbone/first").rglob("*.npy")]
    assert STORE.num_bytes(*SHAPES) == sum(values.nbytes for values in stored) == 25 * (128 + 8) * 2
    assert np.load(tmp_path / "backbone/first/wide/train.npy").shape == (2, 10, 4, 4, 8)
    other = np.load(tmp_path / "backbone/other/narrow/train.npy")
    assert (other.shape, other.dtype) == ((1, 10, 8), np.dtype("float32"))
    assert read_store(tmp_path / "backbone/first") == RECORD


def test_a_description_of_another_form_says_what_to_run(tmp_path: Path) -> None:
    content = asdict(RECORD)
    del content["sha256"]
    write_json(tmp_path / "boundary.json", content)
    with pytest.raises(ArtifactError, match="expected the keys of StoreRecord, found others .*; run `dvc repro embed`"):
        read_store(tmp_path)


@pytest.mark.parametrize(
    ("limit_bytes", "kept"), [(0, set()), (399, set()), (400, {"narrow"}), (6799, {"narrow"}), (6800, set(SHAPES))]
)
def test_the_smallest_boundaries_go_first(limit_bytes: int, kept: set[str]) -> None:
    assert set(STORE.within(limit_bytes).shapes) == kept


def test_what_passes_is_what_the_strategy_of_most_views_stores(tmp_path: Path) -> None:
    plan = PassPlan(
        tmp_path, {"other": OTHER, "first": STORE, "none": replace(STORE, shapes={}, rows={"train": (9, 10)})}, {}
    )
    assert plan.rows == {"train": (2, 10), "val": (1, 5)}
    assert list(map(str, ranges_of(plan.rows))) == ["train-0-0", "train-0-5", "train-1-0", "train-1-5", "val-0-0"]
    assert [set(plan.stores_of(images)) for images in ranges_of(plan.rows)[1:3]] == [{"other", "first"}, {"first"}]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3), (1, 0, 3, 2, 4)])
def test_parts_may_come_in_any_order(tmp_path: Path, straight: dict[str, bytes], order: tuple[int, ...]) -> None:
    plan = plan_in(tmp_path)
    writer = StoreWriter(plan)
    ranges = writer.missing
    for place in order:
        writer.add(str(ranges[place]), part_of(plan, ranges[place]))
    assert files(tmp_path / "store") == straight
    assert (writer.missing, writer.num_rows, writer.compute.seconds >= 5.0) == ([], 25, True)


@pytest.mark.parametrize("number", range(6))
def test_a_killed_writer_goes_on_where_it_stopped(tmp_path: Path, straight: dict[str, bytes], number: int) -> None:
    plan = plan_in(tmp_path)
    first = StoreWriter(plan)
    write(first, plan, number=number)
    with (tmp_path / "store/first/wide/train.npy").open("ab") as stream:
        stream.write(b"half a row")
    resumed = StoreWriter(plan)
    assert len(resumed.missing) == 5 - number
    assert resumed.float16_error("first", "wide") == first.float16_error("first", "wide")
    assert (resumed.compute, resumed.num_rows) == (first.compute, 5 * number)
    write(resumed, plan)
    assert files(tmp_path / "store") == straight


def test_a_file_that_lost_rows_is_begun_again(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    write(StoreWriter(plan), plan, number=3)
    path = tmp_path / "store/first/narrow/train.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(StoreWriter(plan).missing) == 5


def test_a_note_that_is_not_whole_begins_anew(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    write(StoreWriter(plan), plan, number=3)
    (tmp_path / "progress.json").write_text('{"num_ranges": 3, "wr', encoding="utf-8")
    assert len(StoreWriter(plan).missing) == 5


def test_rows_are_on_the_disk_before_the_note_says_so_and_a_part_goes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, synced = plan_in(tmp_path), dict[Path, int]()
    monkeypatch.setattr(array_file, "sync", lambda path: synced.update({path: path.stat().st_size}))
    writer = StoreWriter(plan)
    noted: list[bool] = []

    def noting(path: Path, content: dict[str, object]) -> None:
        train = {file: file.stat().st_size for file in (tmp_path / "store").rglob("train.npy")}
        noted.append(synced == train and plan.part(writer._ranges[0]).is_dir())
        write_json(path, content)

    monkeypatch.setattr("backbench.stages.embed.store_writer.write_json", noting)
    write(writer, plan, number=1)
    assert noted == [True]
    assert not plan.part(writer._ranges[0]).exists()


def test_the_error_of_half_precision_is_a_share_of_the_largest_value(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    writer = StoreWriter(plan)
    first, second, *_ = writer.missing
    for images, found in ((first, (1.0, 100.0)), (second, (0.5, 2049.0))):
        part = part_of(plan, images)
        writer.add(
            str(images), replace(part, rounding={**part.rounding, "first/narrow": found, "first/wide": (0.0, 0.0)})
        )
    assert writer.float16_error("first", "narrow") == pytest.approx(1 / 2049)
    assert writer.float16_error("first", "wide") == 0.0
    assert writer.float16_error("other", "narrow") == 0.0, "single precision costs nothing"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7e4, r"wide: expected activations in float16's range of ±65504, found one of size 70000; .* float32"),
        (65520.0, r"wide: expected activations in float16's range"),
        (math.nan, r"wide: expected finite activations, found nan"),
        (math.inf, r"wide: expected finite activations, found inf"),
    ],
)
def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path, value: float, message: str) -> None:
    part = Part(5, {"first/wide": (0.0, value)}, Compute(1.0, 1, ()))
    with pytest.raises(ActivationError, match=message):
        StoreWriter(plan_in(tmp_path)).add("train-0-0", part)


def test_what_float16_rounds_to_infinity_begins_where_it_is_said_to() -> None:
    with np.errstate(over="ignore"):
        assert np.isinf(np.float32(65520.0).astype("float16"))
    assert np.isfinite(np.nextafter(np.float32(65520.0), np.float32(0)).astype("float16"))

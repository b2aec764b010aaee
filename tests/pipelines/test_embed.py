"""The embed stage: one pass, resumable, within its limits, flat in memory; and what later stages make of its files."""

import json
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from backbench.adaptation.training_inputs import TrainingInputs
from backbench.backbones.weights import load_backbone, save_weights
from backbench.config.backbone_config import WeightsConfig
from backbench.config.config import CellConfig
from backbench.config.dataset_config import NO_AUGMENTATION
from backbench.config.strategy_config import StrategyConfig
from backbench.data.arrays.dataset import SPLITS
from backbench.data.arrays.file_formats import write_json
from backbench.features.activation_store import StoredActivations
from backbench.features.activations import UNLIMITED_VIEWS, ComputedActivations, outputs
from backbench.features.freezing import cut
from backbench.results.store_record import read_store
from backbench.runtime import paths
from backbench.runtime.digests import file_sha256
from backbench.runtime.engine.engine import Run
from backbench.runtime.errors import ActivationError, BoundaryError, MemoryLimitError
from backbench.runtime.paths import Cell
from backbench.stages.embed import backbone_pass, pass_plan
from backbench.stages.embed import embed as stage
from backbench.stages.embed.backbone_pass import BackbonePass
from backbench.stages.embed.embed import embed, opened_pass
from backbench.stages.embed.pass_plan import Part, PassPlan, Range, StorePlan, batch_size_for, ranges_of
from backbench.stages.embed.store_writer import StoreWriter
from backbench.stages.prepare import prepare
from tests.support.configs import PROJECT
from tests.support.limited_memory import full, limit_memory
from tests.support.tiny import BACKBONE
from tests.support.tiny_cell import Killed, cell_config_for

# Two of them are the same layer.
SEVERAL = ["last_stage", "output", "stage_out", "input"]
CELL = Cell("tiny", "fine_tuning")


def configured(**changes: object) -> CellConfig:
    config = cell_config_for("fine_tuning", seeds=[0])
    dataset = replace(config.dataset, augmentation=replace(NO_AUGMENTATION, shift=0.1, brightness=0.1))
    return replace(config, dataset=dataset, strategy=replace(config.strategy, **changes))


def embedded(**changes: object) -> TrainingInputs:
    config = configured(**changes)
    embed([config])
    return TrainingInputs.of(config)


def written(cell: Cell = CELL) -> dict[str, bytes]:
    folder = cell.activations
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def boundary_json() -> dict[str, object]:
    content = json.loads((CELL.activations / "boundary.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_what_is_stored_is_described(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = embedded()
    assert written().keys() == {"boundary.json", *(f"stage_out/{split}.npy" for split in SPLITS)}
    content = boundary_json()
    (record,) = content.pop("boundaries")  # type: ignore[misc]
    assert 0 < record.pop("float16_error") < 2**-11
    assert record == {
        "name": "last_stage",
        "boundary": "stage_out",
        "num_prefix_parameters": 872,
        "num_suffix_parameters": 104,
        "stored": {"train": True, "val": True, "test": True},
    }
    sha256 = {f"stage_out/{split}.npy": file_sha256(CELL.activations / f"stage_out/{split}.npy") for split in SPLITS}
    digests = {"weights_digest": inputs.digests["weights"], "data_digest": inputs.digests["data"]}
    assert content == {
        "views": 2,
        **digests,
        "weights_file": None,
        "sha256": sha256,
    }  # random weights come from no file
    line = "embed tiny-fine_tuning: 60 images, 96 with views → 98.3 kB of float16 at stage_out"
    assert capsys.readouterr().out.splitlines()[0] == line
    assert not (paths.STATE / "embed/tiny").exists()


def test_images_that_the_backbone_sees_enlarged_are_said(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured()
    embed([config])
    assert "enlarged" not in capsys.readouterr().out
    prepare(replace(config.dataset, image_size_pixels=8))
    embed([config])
    words = "embed tiny: all images are enlarged to 16 px, 2.00 times in the median"
    assert words in capsys.readouterr().out.splitlines()


def test_what_the_configuration_leaves_open_is_in_a_cells_key_as_prepare_found_it(workplace: Path) -> None:
    config = configured()
    left_open = replace(config, dataset=replace(config.dataset, image_size_pixels=None))
    embed([config])
    found = TrainingInputs.of(left_open)
    assert found.configuration["dataset"]["image_size_pixels"] == 16
    assert found.cell_key == TrainingInputs.of(config).cell_key
    write_json(paths.IMAGE_SIZE, {"wanted_pixels": 8})
    prepare(left_open.dataset)
    embed([left_open])
    smaller = TrainingInputs.of(left_open)
    assert smaller.configuration["dataset"]["image_size_pixels"] == 8
    assert smaller.cell_key != found.cell_key


def test_a_cell_is_named_by_the_digest_of_its_weights_file_and_not_by_its_place(workplace: Path) -> None:
    keys = []
    for path in (Path("one.weights.h5"), Path("two.weights.h5")):
        save_weights(load_backbone(BACKBONE, WeightsConfig(seed=0, name="random")), path)
        sha256 = file_sha256(path)
        weights = WeightsConfig(seed=0, name="file", path=str(path), sha256={"tiny": sha256, "another": "0" * 64})
        config = replace(configured(), weights=weights)
        embed([config])
        assert TrainingInputs.of(config).digests["weights_file"] == sha256
        keys.append(TrainingInputs.of(config).cell_key)
    assert keys[0] == keys[1]


def test_several_boundaries_are_stored_in_one_pass(workplace: Path) -> None:
    inputs = embedded(boundary=SEVERAL, activation_dtype="float32")
    assert inputs.boundaries == ("stage_out", "output", "input")
    assert [record.name for record in inputs.store.boundaries] == SEVERAL
    assert written().keys() - {"boundary.json"} == {
        f"{boundary}/{split}.npy" for boundary in inputs.boundaries for split in SPLITS
    }
    shapes = [
        inputs.activations("train", boundary).take(np.array([1]), np.array([0])).shape[1:] for boundary in SEVERAL[1:]
    ]
    assert shapes == [(8,), (8, 8, 8), (16, 16, 3)]
    features = inputs.activations("val", "output")
    pooled = cut(load_backbone(BACKBONE, inputs.config.weights), "stage_out").suffix
    np.testing.assert_allclose(
        features.take(np.zeros(12, dtype=int), np.arange(12)), outputs(pooled, inputs.activations("val")), atol=1e-5
    )


class Passed:
    """Counts, by split, view and example, what passes the backbone, and how many batches do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images, self.models = Counter[tuple[str, int, int]](), list[keras.Model]()
        open_images, predict = backbone_pass.prepared_images, backbone_pass.predicted

        def opened(config: CellConfig, split: str) -> object:
            images = open_images(config, split)

            class Counting:
                def take(_, views: np.ndarray, examples: np.ndarray) -> np.ndarray:  # noqa: N805
                    # What fills a batch repeats its last image.
                    self.images.update({(split, int(views[0]), int(example)) for example in examples})
                    return images.take(views, examples)

            return Counting()

        monkeypatch.setattr(backbone_pass, "prepared_images", opened)
        monkeypatch.setattr(
            backbone_pass, "predicted", lambda model, batch: (self.models.append(model), predict(model, batch))[1]
        )


def of_strategies(*names: str) -> list[CellConfig]:
    """Cells of one backbone that store the features of two views, single and half, those of four, and fewer things."""
    base = configured()
    changes = {
        "features": {"boundary": "output", "views": 2, "activation_dtype": "float32"},
        "halves": {"boundary": "output", "views": 2},
        "lower": {"boundary": ["last_stage", "input"], "views": 4},
        "anew": {"boundary": "stem_out", "views": "on_the_fly"},
        "limited": {"boundary": ["output", "stage_out"], "views": 3, "activation_limit_gigabytes": 1e-5},
        "unstored": {"views": 9, "activation_limit_gigabytes": 0.0},
    }
    return [replace(base, strategy=replace(base.strategy, name=name, **changes[name])) for name in names]


EVERY = ("features", "halves", "lower", "anew", "limited", "unstored")


@pytest.mark.parametrize(
    ("names", "num_views"),
    [(("features",), 2), (("features", "halves"), 2), (("features", "lower"), 4), (("anew",), 0), (EVERY, 4)],
)
def test_every_image_and_view_passes_once_whatever_the_number_of_strategies(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], num_views: int
) -> None:
    passed = Passed(monkeypatch)
    embed(of_strategies(*names))
    expected = {("train", view, example) for view in range(num_views) for example in range(36)}
    expected |= {(split, 0, example) for split in ("val", "test") for example in range(12)}
    assert passed.images == dict.fromkeys(expected, 1)
    assert len(passed.models) == 2 * num_views + 2, "batches of 32"


def test_a_view_passes_no_further_than_somebody_wants_it(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = Passed(monkeypatch)
    embed(of_strategies("features", "lower"))
    ends = [[output.shape[1:] for output in model.outputs] for model in passed.models]
    both, lower_alone = [(8,), (8, 8, 8)], [(8, 8, 8)]
    assert ends == [both] * 4 + [lower_alone] * 4 + [both] * 2
    assert len(set(map(id, passed.models))) == 2, "a program for each"


@pytest.mark.parametrize("name", EVERY)
def test_a_strategy_has_the_same_bytes_alone_and_beside_others(workplace: Path, name: str) -> None:
    embed(of_strategies(*EVERY))
    assert {path.name for path in paths.activations("tiny").iterdir()} == set(EVERY)
    beside = written(Cell("tiny", name))
    embed(of_strategies(name))
    assert {path.name for path in paths.activations("tiny").iterdir()} == {name}
    assert written(Cell("tiny", name)) == beside
    assert set(beside) > {"boundary.json"} or name == "unstored"


def test_a_strategy_that_is_added_later_leaves_the_others_as_they_were(workplace: Path) -> None:
    embed(of_strategies("lower", "features"))
    before = {name: written(Cell("tiny", name)) for name in ("lower", "features")}
    embed(of_strategies("features", "anew", "lower"))
    assert {name: written(Cell("tiny", name)) for name in before} == before


@contextmanager
def backwards(title: str, workers: object, opening: Callable[[], BackbonePass]) -> Iterator[Run]:
    """Run the last task first, each through a backbone of its own, as in a process of its own."""

    def run(tasks: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
        for name in reversed(tasks):
            method, *arguments = pickle.loads(pickle.dumps(tasks[name]))
            opened = pickle.loads(pickle.dumps(opening))()
            yield name, pickle.loads(pickle.dumps(getattr(opened, method)(*arguments)))

    yield run


@pytest.mark.usefixtures("_ranges_of_one_batch")
def test_tasks_in_other_processes_and_in_any_order_end_in_the_same_bytes(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(of_strategies("features", "lower"))
    straight = {name: written(Cell("tiny", name)) for name in ("features", "lower")}
    monkeypatch.setattr(stage, "running", backwards)
    embed(of_strategies("features", "lower"))
    assert {name: written(Cell("tiny", name)) for name in straight} == straight


@pytest.mark.usefixtures("_ranges_of_one_batch")
def test_a_layer_without_a_name_is_the_same_place_in_every_process(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras numbers it by how many the process has built: another number in each backbone that is opened here."""
    config = configured(boundary=["stage_2", "stage_1"])
    config = replace(config, backbone=replace(BACKBONE, constructor="tests.support.tiny.NamelessNet"))
    with monkeypatch.context() as patch:
        patch.setattr(stage, "running", backwards)
        embed([config])
    layers = [record.boundary for record in read_store(CELL.activations).boundaries]
    found = [np.load(CELL.activations / layer / "test.npy") for layer in layers]
    with pytest.raises(BoundaryError, match=f"found '{layers[0]}'"):
        opened_pass((replace(config, strategy=replace(config.strategy, boundary=layers)),)).describe()
    embed([config])
    again = [record.boundary for record in read_store(CELL.activations).boundaries]
    assert all(layer != other for layer, other in zip(layers, again, strict=True))
    for layer, rows in zip(again, found, strict=True):
        np.testing.assert_array_equal(np.load(CELL.activations / layer / "test.npy"), rows)


def test_nothing_of_a_strategy_is_read_but_what_the_stage_boundaries_writes_down(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else DVC would not know when to embed again."""
    read, get = set[str](), StrategyConfig.__getattribute__
    configs = of_strategies("features", "lower")
    with monkeypatch.context() as patch:
        patch.setattr(StrategyConfig, "__getattribute__", lambda self, key: (read.add(key), get(self, key))[1])
        embed(configs)
    found = read & {key.name for key in fields(StrategyConfig)}
    assert found - {"name", "boundary", "unfreeze"} == {"views", "activation_dtype", "activation_limit_gigabytes"}


def planned(state: Path) -> PassPlan:
    shapes, rows = {"output": (8,), "input": (16, 16, 3)}, {"train": (2, 36), "val": (1, 12)}
    return PassPlan(
        state,
        {"some": StorePlan(shapes, rows, "float16"), "none": StorePlan({}, rows, "float32")},
        {name: name for name in shapes},
    )


def test_a_part_is_made_once_and_a_task_that_is_run_twice_says_the_same(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, opened, passed = planned(workplace / "state"), opened_pass((configured(),)), Passed(monkeypatch)
    images = ranges_of(plan.rows)[0]
    part = opened.embed_range(plan, images)
    rows = {
        path.relative_to(plan.part(images)).as_posix(): path.read_bytes() for path in plan.part(images).rglob("*.npy")
    }
    assert rows.keys() == {"some/output.npy", "some/input.npy"}
    assert (part.num_rows, set(part.rounding)) == (36, {"some/output", "some/input"})
    assert opened.embed_range(plan, images) == part
    assert len(passed.models) == 2, "36 images in batches of 32"


def test_of_two_processes_that_make_one_part_the_first_is_kept_and_nothing_is_left_beside(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, opened = planned(workplace / "state"), opened_pass((configured(),))
    images, write = ranges_of(plan.rows)[0], BackbonePass._write_rows
    other, firsts = opened_pass((configured(),)), list[Part]()

    def overtaken(self: BackbonePass, plan: PassPlan, images: Range, folder: Path) -> Part:
        part = write(self, plan, images, folder)
        if self is opened:
            firsts.append(other.embed_range(plan, images))
        return part

    monkeypatch.setattr(BackbonePass, "_write_rows", overtaken)
    second = opened.embed_range(plan, images)
    assert second.rounding == firsts[0].rounding
    assert other.embed_range(plan, images) == firsts[0], "of whom the part is"
    assert list((workplace / "state/parts").iterdir()) == [plan.part(images)]


def test_a_task_that_ends_when_its_part_was_taken_already_says_what_it_made(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, opened = planned(workplace / "state"), opened_pass((configured(),))
    images = ranges_of(plan.rows)[0]
    first, rename = opened.embed_range(plan, images), Path.rename

    def taken(self: Path, target: Path) -> Path:
        try:
            return rename(self, target)
        finally:
            shutil.rmtree(target)

    (plan.part(images) / "part.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(
            Path,
            "rename",
            lambda self, target: taken(self, target) if target == plan.part(images) else rename(self, target),
        )
        assert opened.embed_range(plan, images).rounding == first.rounding


def test_the_room_on_the_disk_is_shared_by_all_strategies(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of features, two views in float32, there are 96 rows of 32 bytes."""
    monkeypatch.setattr(stage, "disk_room_bytes", lambda state: 96 * 32 + 96 * 16 - 1)
    embed(of_strategies("features", "halves"))
    assert {name: len(written(Cell("tiny", name))) for name in ("features", "halves")} == {"features": 4, "halves": 1}


def test_the_trainable_part_belongs_to_the_boundary(workplace: Path) -> None:
    inputs = embedded(boundary=SEVERAL)
    trainable = [inputs.trainable_part(boundary).num_trainable_parameters for boundary in (None, "output", "input")]
    head = 8 * 3 + 3
    assert trainable[1] == head < trainable[0] < trainable[2]
    with pytest.raises(BoundaryError, match=r"one of stage_out, output, input, found 'stem_out'"):
        inputs.trainable_part("stem_out")


@pytest.fixture
def _ranges_of_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_plan, "BATCH_SIZES", (16,))
    monkeypatch.setattr(pass_plan, "RANGE_BATCHES", 1)


def dying_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, *, call: int) -> list[int]:
    """Let a method die in its n-th call, and work in all others, which are counted."""
    method, calls, worked = getattr(owner, name), iter(range(1000)), list[int]()

    def dying(*arguments: object) -> object:
        if next(calls) == call:
            raise Killed
        worked.append(1)
        return method(*arguments)

    monkeypatch.setattr(owner, name, dying)
    return worked


@pytest.mark.usefixtures("_ranges_of_one_batch")
@pytest.mark.parametrize(("owner", "name"), [(BackbonePass, "_activations"), (StoreWriter, "_append")])
@pytest.mark.parametrize("call", [0, 1, 5])
def test_a_killed_embed_goes_on_and_ends_in_the_same_bytes(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int
) -> None:
    config = configured(boundary=SEVERAL)
    embed([config])
    straight = written()
    worked = dying_once(monkeypatch, owner, name, call=call)
    with pytest.raises(Killed):
        embed([config])
    for half_written in paths.STATE.rglob("store/*/*/*.npy"):
        with half_written.open("ab") as stream:
            stream.write(b"half a row")
    embed([config])
    assert written() == straight
    assert len(worked) == 8, "36 train images twice, 12 of val, 12 of test, in batches of 16 of one view"


@pytest.mark.usefixtures("_ranges_of_one_batch")
def test_a_part_that_waits_for_its_turn_is_not_made_again(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed([configured()])
    straight = written()
    monkeypatch.setattr(stage, "running", backwards)
    worked = dying_once(monkeypatch, BackbonePass, "_activations", call=7)
    with pytest.raises(Killed):
        embed([configured()])
    assert len(list(paths.STATE.rglob("parts/*/part.json"))) == 7, "all but the first of the files"
    embed([configured()])
    assert written() == straight
    assert len(worked) == 8


def test_where_memory_runs_out_less_passes_at_once_and_what_was_written_stays(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_plan, "BATCH_SIZES", (16,))
    embed([configured(boundary=SEVERAL)])
    files = sorted(CELL.activations.rglob("*.npy"))
    whole = [np.load(file).astype("float32") for file in files]
    names = written().keys()
    predict, sizes = keras.Model.predict_on_batch, []

    def limited(self: keras.Model, values: np.ndarray) -> object:
        sizes.append(len(values))
        if len(sizes) > 2 and len(values) > 5:
            raise full()
        return predict(self, values)

    monkeypatch.setattr(keras.Model, "predict_on_batch", limited)
    embed([configured(boundary=SEVERAL)])
    assert sizes[:6] == [16, 16, 16, 8, 4, 4]
    assert set(sizes[4:]) == {4}
    assert written().keys() == names
    for file, values in zip(files, whole, strict=True):
        np.testing.assert_allclose(np.load(file).astype("float32"), values, rtol=2e-3, atol=2e-3)


def test_one_image_that_does_not_fit_ends_embed_in_one_line(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, "predict_on_batch", 0)
    with pytest.raises(MemoryLimitError, match="expected a prediction of one image to fit into memory"):
        embed([configured(boundary=SEVERAL)])


@pytest.mark.usefixtures("_ranges_of_one_batch")
def test_an_embed_killed_under_another_precision_is_begun_again(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = configured()
    half = replace(single, benchmark=replace(single.benchmark, precision="mixed_bfloat16"))
    embed([half])
    straight = written()
    dying_once(monkeypatch, StoreWriter, "_append", call=3)
    with pytest.raises(Killed):
        embed([single])
    embed([half])
    assert written() == straight


def test_over_the_limit_the_activations_are_computed(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = embedded(activation_dtype="float32")
    files = {split: stored.activations(split) for split in SPLITS}
    examples, views = np.arange(12), np.zeros(12, dtype=int)
    expected = {split: files[split].take(views + (split == "train"), examples) for split in SPLITS}
    capsys.readouterr()
    computed = embedded(activation_dtype="float32", activation_limit_gigabytes=0.00019)
    assert (
        "197 kB at stage_out is over activation_limit_gigabytes in conf/strategy/fine_tuning.yaml"
        in (capsys.readouterr().out.splitlines()[1])
    )
    assert written().keys() == {"boundary.json"}
    assert computed.boundary_record().stored == dict.fromkeys(SPLITS, False)
    for split in SPLITS:
        source = computed.activations(split)
        assert isinstance(source, ComputedActivations)
        assert source.num_views == files[split].num_views
        taken = source.take(views + (split == "train"), examples)
        np.testing.assert_allclose(taken, expected[split], rtol=1e-5, atol=1e-5)


def test_without_room_on_the_disk_nothing_is_stored(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "disk_room_bytes", lambda state: 1000)
    assert not any(embedded().boundary_record().stored.values())


def test_a_boundary_that_fits_is_stored_where_another_does_not(workplace: Path) -> None:
    inputs = embedded(boundary=SEVERAL, activation_limit_gigabytes=1e-5)
    assert inputs.boundary_record("output").stored["train"]
    assert not inputs.boundary_record("stage_out").stored["train"]
    assert inputs.activations("train", "input").take(np.array([1]), np.array([3])).shape == (1, 16, 16, 3)


def test_on_the_fly_every_view_is_new_and_val_and_test_are_stored(workplace: Path) -> None:
    inputs = embedded(views="on_the_fly")
    assert inputs.boundary_record().stored == {"train": False, "val": True, "test": True}
    assert boundary_json()["views"] == "on_the_fly"
    train = inputs.activations("train")
    assert train.num_views == UNLIMITED_VIEWS
    assert len(np.unique(train.take(np.array([5, 77, 10**9]), np.array([0, 0, 0])).mean(axis=(1, 2, 3)))) == 3
    assert isinstance(inputs.activations("test"), StoredActivations)


def test_what_half_precision_cannot_hold_is_one_line(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.tiny.preprocess_input", lambda images: images * 1e6)
    with pytest.raises(ActivationError, match="set activation_dtype: float32"):
        embed([configured()])
    assert not CELL.activations.exists()
    assert embedded(activation_dtype="float32").boundary_record().float16_error == 0.0


def test_the_backbone_is_loaded_once(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, loads = backbone_pass.load_backbone, []
    monkeypatch.setattr(backbone_pass, "load_backbone", lambda *given: (loads.append(1), load(*given))[1])
    embed([configured()])
    assert len(loads) == 1


@pytest.mark.system
def test_memory_is_flat_whatever_the_number_of_images() -> None:
    """Against 100 images, 2,000 of 160 pixels a side: a map of their pixels would take 154 MB more."""
    command = [sys.executable, str(PROJECT / "bench/memory.py"), "--images", "100", "2000", "--pixels", "160"]
    done = subprocess.run([*command, "--stages", "embed"], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        ({"train": (4, 128), "val": (1, 1280)}, 128),
        ({"train": (1, 800), "val": (1, 200), "test": (1, 10)}, 32),
        ({"train": (4, 200), "val": (1, 400), "test": (1, 1197)}, 32),
        ({"train": (1, 64), "val": (1, 640)}, 64),
        ({"val": (1, 20000)}, 128),
    ],
)
def test_a_batch_is_as_large_as_little_filling_allows(rows: dict[str, tuple[int, int]], size: int) -> None:
    assert batch_size_for(rows) == size

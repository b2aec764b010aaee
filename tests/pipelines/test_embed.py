"""The embed stage: resumable, within its limit, flat in memory; and what the later stages make of its files."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from backbench.adaptation.training_inputs import TrainingInputs
from backbench.backbones.weights import load_backbone, save_weights
from backbench.config.backbone_config import WeightsConfig
from backbench.config.config import CellConfig
from backbench.config.dataset_config import NO_AUGMENTATION
from backbench.data.arrays.dataset import SPLITS
from backbench.data.arrays.file_formats import write_json
from backbench.features import activation_store
from backbench.features.activation_store import StoredActivations, StorePlan, StoreWriter
from backbench.features.activations import UNLIMITED_VIEWS, ComputedActivations, outputs
from backbench.features.freezing import cut
from backbench.runtime import paths
from backbench.runtime.digests import file_sha256
from backbench.runtime.errors import ActivationError, BoundaryError, MemoryLimitError
from backbench.runtime.paths import Cell
from backbench.stages import embed as stage
from backbench.stages.embed import embed
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
    embed(config)
    return TrainingInputs.of(config)


def written() -> dict[str, bytes]:
    folder = CELL.activations
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
    assert not (paths.STATE / "embed" / str(CELL)).exists()


def test_images_that_the_backbone_sees_enlarged_are_said(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured()
    embed(config)
    assert "enlarged" not in capsys.readouterr().out
    prepare(replace(config.dataset, image_size_pixels=8))
    embed(config)
    words = "embed tiny-fine_tuning: all images are enlarged to 16 px, 2.00 times in the median"
    assert words in capsys.readouterr().out.splitlines()


def test_what_the_configuration_leaves_open_is_in_a_cells_key_as_prepare_found_it(workplace: Path) -> None:
    config = configured()
    left_open = replace(config, dataset=replace(config.dataset, image_size_pixels=None))
    embed(config)
    found = TrainingInputs.of(left_open)
    assert found.configuration["dataset"]["image_size_pixels"] == 16
    assert found.cell_key == TrainingInputs.of(config).cell_key
    write_json(paths.IMAGE_SIZE, {"wanted_pixels": 8})
    prepare(left_open.dataset)
    embed(left_open)
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
        embed(config)
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


def test_the_trainable_part_belongs_to_the_boundary(workplace: Path) -> None:
    inputs = embedded(boundary=SEVERAL)
    trainable = [inputs.trainable_part(boundary).num_trainable_parameters for boundary in (None, "output", "input")]
    head = 8 * 3 + 3
    assert trainable[1] == head < trainable[0] < trainable[2]
    with pytest.raises(BoundaryError, match=r"one of stage_out, output, input, found 'stem_out'"):
        inputs.trainable_part("stem_out")


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_killed_embed_goes_on_and_ends_in_the_same_bytes(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    monkeypatch.setattr(stage, "BATCH_SIZES", (16,))
    monkeypatch.setattr(activation_store, "NOTE_SECONDS", 0.0)
    embed(configured(boundary=SEVERAL))
    straight = written()
    append, calls = StoreWriter.append, iter(range(1000))

    def dying(self: StoreWriter, split: str, values: dict[str, np.ndarray]) -> None:
        if next(calls) == call:
            with next(iter(self._files.values()))._path.open("ab") as stream:
                stream.write(b"half a row")
            raise Killed
        append(self, split, values)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "append", dying)
        with pytest.raises(Killed):
            embed(configured(boundary=SEVERAL))
    passed: list[int] = []
    monkeypatch.setattr(StoreWriter, "append", lambda *given: (passed.append(1), append(*given))[1])
    embed(configured(boundary=SEVERAL))
    assert written() == straight
    assert len(passed) == 8 - call  # 36 train images twice, 12 of val, 12 of test, in batches of 16 of one view


def test_where_memory_runs_out_less_passes_at_once_and_what_was_written_stays(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BATCH_SIZES", (16,))
    embed(configured(boundary=SEVERAL))
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
    embed(configured(boundary=SEVERAL))
    assert sizes[:6] == [16, 16, 16, 8, 4, 4]
    assert set(sizes[4:]) == {4}
    assert written().keys() == names
    for file, values in zip(files, whole, strict=True):
        np.testing.assert_allclose(np.load(file).astype("float32"), values, rtol=2e-3, atol=2e-3)


def test_one_image_that_does_not_fit_ends_embed_in_one_line(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, "predict_on_batch", 0)
    with pytest.raises(MemoryLimitError, match="expected a prediction of one image to fit into memory"):
        embed(configured(boundary=SEVERAL))


def test_an_embed_killed_under_another_precision_is_begun_again(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BATCH_SIZES", (16,))
    single = configured()
    half = replace(single, benchmark=replace(single.benchmark, precision="mixed_bfloat16"))
    embed(half)
    straight = written()
    append, calls = StoreWriter.append, iter(range(1000))

    def dying(self: StoreWriter, split: str, values: dict[str, np.ndarray]) -> None:
        if next(calls) == 3:
            raise Killed
        append(self, split, values)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "append", dying)
        with pytest.raises(Killed):
            embed(single)
    embed(half)
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
        embed(configured())
    assert not CELL.activations.exists()
    assert embedded(activation_dtype="float32").boundary_record().float16_error == 0.0


def test_the_backbone_is_loaded_once(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, loads = stage.load_backbone, []
    monkeypatch.setattr(stage, "load_backbone", lambda *given: (loads.append(1), load(*given))[1])
    embed(configured())
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
    assert stage.batch_size_for(StorePlan({"output": (8,)}, rows, "float32")) == size

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from backbench.cli.command import main
from backbench.cli.doctor import machine, packages
from backbench.cli.doctor.bookkeeping import bookkeeping_findings
from backbench.cli.doctor.cost import EarlierRun, StageCost, activation_bytes, cost_of_run, earlier_run
from backbench.cli.doctor.examination import Examination, cost_lines, examine, print_examination, weight_findings
from backbench.cli.doctor.finding import Finding, Verdict
from backbench.cli.doctor.images import look_at_images
from backbench.cli.doctor.machine import Machine
from backbench.cli.doctor.plan import BENCHMARK, Plan, read_plan
from backbench.config.backbone_config import WeightsConfig
from backbench.config.dataset_config import GroupConfig
from backbench.config.running_config import TrackingConfig
from backbench.data.arrays.file_formats import write_json
from backbench.data.ingest.store import prepare_dataset
from backbench.results.records import MetricsRecord
from backbench.results.result_files import read_best, write_metrics
from backbench.runtime import installation, paths
from backbench.runtime.hardware import Gpu
from tests.support.benchmark_cells import IMAGES, leave_earlier_run, one_cell
from tests.support.clock import computed
from tests.support.configs import PROJECT, backbone_config, strategy_config
from tests.support.image_folders import picture, save
from tests.support.label_files import write_labels

TWO_CORES = Machine(2, 20 * 10**9, 50 * 10**9, {})
PUBLISHED = {"url": "https://example.org/vgg16.h5", "licence": "CC-BY-4.0", "trained_on": "ImageNet-1k"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's configuration and weights, with a small folder of images, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.delenv("BACKBENCH_WEIGHTS", raising=False)
    shutil.copytree(PROJECT / "conf", "conf")
    shutil.copytree(PROJECT / "assets/weights", "assets/weights")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, name)
    Path(".dvc").mkdir()
    for label in ("cat", "dog"):
        for number in range(10):
            file = Path(f"data/{label}/{number}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"never opened")
    edit(BENCHMARK, dataset="folder")
    return tmp_path


def edit(path: Path, **changes: object) -> None:
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), changes), path)


def of(findings: Sequence[Finding], what: str) -> Finding:
    """The last finding on something: a shortage comes after what there is."""
    return [finding for finding in findings if finding.what == what][-1]


# What there is


def test_a_project_that_lacks_nothing_is_ready(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("ready, ")
    assert lines[-1].endswith("next: make repro")
    assert any("12 cells, 37 stages, 96 trials, 36 final fits" in line for line in lines)


def test_json_says_the_same(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("assets/weights/formula/vgg16_slim.weights.h5").unlink()
    assert main(["doctor", "--json", "--jobs", "3"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["is_ready"] is False
    assert told["cost"]["jobs"] == 3
    assert told["cost"]["num_stages"] == 37
    assert {finding["verdict"] for finding in told["findings"]} <= set(Verdict)


def test_a_missing_weight_file_is_named_and_stops(project: Path) -> None:
    Path("assets/weights/formula/vgg16_slim.weights.h5").unlink()
    examination = examine()
    finding = of(examination.findings, "weights")
    assert not examination.is_ready
    assert finding.verdict is Verdict.MISSING
    assert "vgg16_slim.weights.h5, found nothing there" in finding.found
    assert examination.last_line.startswith("not ready, 1 missing; first weights: put it there, or correct conf/")


def test_another_digest_than_the_pinned_one_stops(project: Path) -> None:
    Path("assets/weights/formula/vgg16_slim.weights.h5").write_bytes(b"others")
    finding = of(examine().findings, "weights")
    assert finding.verdict is Verdict.MISSING
    assert hashlib.sha256(b"others").hexdigest() in finding.found
    assert "e72fcf388d345c81" in finding.found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbones": ["resnet5"]}, "expected conf/backbone/resnet5.yaml, found nothing there"),
        ({"strategies": []}, "strategies: expected at least one, found []"),
        ({"seeds": []}, "seeds: expected at least one, found []"),
        ({"colour": "red"}, "colour: unknown key; known are dataset, "),
    ],
)
def test_a_broken_benchmark_is_one_finding_beside_the_others(
    project: Path, changes: dict[str, object], message: str
) -> None:
    edit(BENCHMARK, **changes)
    examination = examine()
    finding = of(examination.findings, "benchmark")
    assert finding.verdict is Verdict.MISSING
    assert message in finding.found
    assert examination.cost is None
    assert of(examination.findings, "Python").verdict is Verdict.READY


def test_missing_images_stop(project: Path) -> None:
    shutil.rmtree("data")
    examination = examine()
    assert of(examination.findings, "data").verdict is Verdict.MISSING
    assert "expected images in data/, found no such folder" in of(examination.findings, "data").found
    assert examination.cost is None


# Images


def test_images_are_counted_as_prepare_would_split_them(project: Path) -> None:
    config = read_plan().one.dataset
    (finding,), images = look_at_images(config, 80)
    assert finding.verdict is Verdict.READY
    assert images is not None
    assert images.counts == {"train": 12, "val": 4, "test": 4}
    assert (images.num_classes, images.digest) == (2, None)


def test_folds_are_counted_and_every_image_is_trained_on_in_most(project: Path) -> None:
    edit(Path("conf/dataset/folder.yaml"), folds=5)
    plan = read_plan()
    (finding,), images = look_at_images(plan.one.dataset, 80)
    assert "fold-0 4, fold-1 4, fold-2 4, fold-3 4, fold-4 4; 2 classes" in finding.found
    assert images is not None
    cost, once = (cost_of_run(each, images, jobs=1) for each in (plan, replace_folds(plan, None)))
    assert (cost.num_trials, cost.num_final_fits) == (5 * once.num_trials, 5 * once.num_final_fits)
    config = one_cell(strategy_config("feature_extraction"))
    assert activation_bytes(config, images) == 4 * 20 * 512 * 4


def replace_folds(plan: Plan, folds: int | None) -> Plan:
    cells = tuple(replace(cell, dataset=replace(cell.dataset, folds=folds)) for cell in plan.cells)
    return replace(plan, cells=cells)


def test_images_of_a_file_of_labels_are_counted_as_prepare_would_split_them(project: Path) -> None:
    Path("data").rename("photos")
    rows = [(f"photos/{number % 2}/{number}.png", f"kind {number % 2}") for number in range(20)]
    write_labels(Path("data/labels.csv"), rows)
    for path, _ in rows:
        save(picture(1), Path("data", path))
    config = replace(read_plan().one.dataset, labels="labels.csv")
    (finding,), images = look_at_images(config, 80)
    assert finding.verdict is Verdict.READY
    assert images is not None
    assert images.counts == {"train": 12, "val": 4, "test": 4}
    write_labels(Path("data/labels.csv"), rows, ("file", "label"))
    findings, images = look_at_images(config, 80)
    assert images is None
    assert "data/labels.csv: expected one column path, found file, label" in findings[0].found


@pytest.mark.parametrize("is_prepared", [False, True])
def test_the_doctor_asks_whether_folders_in_class_folders_are_groups(project: Path, is_prepared: bool) -> None:
    shutil.rmtree("data")
    for number in range(24):
        save(picture(number), Path(f"data/{('cat', 'dog')[number % 2]}/site{number // 3}/{number}.png"))
    config = replace(read_plan().one.dataset, layout="classes")
    grouped, alone = replace(config, group=GroupConfig(folder=2)), replace(config, group=GroupConfig(alone=True))
    found = []
    for asked in (config, grouped, alone):
        if is_prepared:
            prepare_dataset(asked, paths.DATASET, 80)
        findings, images = look_at_images(asked, 80)
        assert images is not None
        assert (images.digest is not None) == is_prepared
        found.append(findings[1:])
    (question,), (answered,), none = found
    assert question.verdict is Verdict.WARNING
    assert question.found == "16 folders lie within class folders, such as cat/site0, and no group is named"
    assert "Set `group: {folder: 2}` in conf/dataset/folder.yaml" in question.advice
    assert answered.found.startswith("groups by folder 2, none in two splits: train ")
    assert none == []


def test_the_doctor_names_what_will_be_left_out(project: Path) -> None:
    for name in ("data/ape/1.png", "data/cat/@eaDir/1.png"):
        Path(name).parent.mkdir()
        Path(name).write_bytes(b"never opened")
    (finding,), images = look_at_images(replace(read_plan().one.dataset, min_per_class=3), 80)
    assert images is not None
    assert images.num_classes == 2
    assert finding.found.endswith("2 classes; left out: ape, @eaDir")


def test_the_doctor_tells_all_that_prepare_would_refuse_a_finding_for_each(project: Path) -> None:
    for name in ("ape", "bee"):
        Path(f"data/{name}").mkdir()
        Path(f"data/{name}/1.png").write_bytes(b"never opened")
    Path("data/test").mkdir()
    Path("data/test/1.png").write_bytes(b"opened")
    findings = [finding for finding in examine().findings if finding.what == "data"]
    assert [finding.verdict for finding in findings] == [Verdict.MISSING, Verdict.MISSING, Verdict.WARNING]
    layout, empty, left_out = (finding.found for finding in findings)
    assert layout.startswith("data/test: expected a class or a split, found 1 images and no class folder")
    # Once a problem shows, headers are read too: none of these files is an image.
    assert "4 classes: ape (0 of 1 files), bee (0 of 1 files), cat (0 of 10 files), dog (0 of 10 files)" in empty
    assert "22 not an image" in left_out


def test_images_that_dvc_brings_are_counted_where_they_are(project: Path) -> None:
    Path("data").rename("origin")
    Path("data.dvc").write_text("deps:\n- path: origin\nouts:\n- path: data\n", encoding="utf-8")
    (finding,), images = look_at_images(read_plan().one.dataset, 80)
    assert images is not None
    assert images.num_images == 20
    assert "origin (a run copies it to data/)" in finding.found


def test_a_prepared_data_set_is_told_by_prepare(project: Path) -> None:
    config = read_plan().one.dataset
    described = {
        "name": config.name,
        "classes": ["a", "b"],
        "digest": "d",
        "image_size_pixels": 80,
        "resize": config.resize,
        "sides": {"50": 3, "100": 10},
        "depth": {"bits": 12, "is_declared": False, "largest_value": 4000, "num_images": 13},
        "counts": {"train": {"a": 3, "b": 4}, "val": {"a": 1, "b": 1}, "test": {"a": 2, "b": 2}},
        "split_seed": config.split_seed,
        "near_duplicates": config.near_duplicates,
    }
    write_json(paths.DATASET / "dataset.json", described)
    (finding,), images = look_at_images(config, 80)
    assert "is prepared: train 7, val 2, test 4; 2 classes" in finding.found
    assert images is not None
    assert images.digest == "d"
    assert (images.stored_pixels, images.depth_bits) == (80, 12)
    np.testing.assert_array_equal(images.sides, [50] * 3 + [100] * 10)
    changes: list[dict[str, Any]] = [
        {"split_seed": 1},
        {"min_per_class": 2},
        {"skip_folders": []},
        {"layout": "classes"},
        {"near_duplicates": None},
        {"resize": "pad"},
        {"image_size_pixels": 64},
    ]
    larger_backbone_of_larger_photographs = (config, 90)
    for other in [*((replace(config, **change), 80) for change in changes), larger_backbone_of_larger_photographs]:
        _, others = look_at_images(*other)
        assert others is not None
        assert others.digest is None
    write_json(paths.DATASET / "dataset.json", described | {"labels": "labels.csv"})
    _, others = look_at_images(config, 80)
    assert others is not None
    assert others.digest is None


def test_a_prepared_data_set_that_has_no_more_pixels_fits_a_larger_backbone_too(project: Path) -> None:
    config = read_plan().one.dataset
    described = {
        "name": config.name,
        "classes": ["a", "b"],
        "digest": "d",
        "image_size_pixels": 80,
        "resize": config.resize,
        "sides": {"80": 3},
        "depth": None,
        "counts": {"train": {"a": 1}, "val": {"a": 1}, "test": {"a": 1}},
        "split_seed": config.split_seed,
        "near_duplicates": config.near_duplicates,
    }
    write_json(paths.DATASET / "dataset.json", described)
    for wanted_pixels in (80, 600):
        _, images = look_at_images(config, wanted_pixels)
        assert images is not None
        assert images.digest == "d"


def photographs(*sizes: tuple[int, int]) -> None:
    """Make the project's images real ones of these sizes, in turn."""
    for number, file in enumerate(sorted(Path("data").glob("*/*.png"))):
        save(picture(number, size=sizes[number % len(sizes)]), file)


@pytest.mark.parametrize(
    ("image_size_pixels", "size", "found", "advice"),
    [
        (None, (90, 100), "stored at 80 px by crop, as far as the headers of 20 photographs tell; no backbone", ""),
        (
            None,
            (64, 100),
            "inception_v3_slim: all images are enlarged to 80 px, 1.25 times in the median",
            "the photographs have no more pixels: mind it when these rows are compared with others",
        ),
        (
            40,
            (90, 100),
            "inception_v3_slim: all images are enlarged to 80 px, 2.00 times in the median",
            "set image_size_pixels: null in conf/dataset/folder.yaml: the photographs have more pixels",
        ),
    ],
)
def test_who_would_see_enlarged_images_is_said_before_a_run(
    project: Path, image_size_pixels: int | None, size: tuple[int, int], found: str, advice: str
) -> None:
    edit(Path("conf/dataset/folder.yaml"), image_size_pixels=image_size_pixels)
    photographs(size)
    finding = of(examine().findings, "image size")
    assert finding.verdict is (Verdict.WARNING if advice else Verdict.READY)
    assert found in finding.found
    assert finding.advice == advice


def test_the_cost_of_pixels_is_of_the_side_that_will_be_stored(project: Path) -> None:
    for wanted, expected in ((300, 300), (600, 400)):
        photographs((400, 500))
        _, images = look_at_images(read_plan().one.dataset, wanted)
        assert images is not None
        assert images.stored_pixels == expected
        smaller = replace(images, stored_pixels=1)
        costs = [cost_of_run(read_plan(), each, jobs=1).disk_bytes for each in (images, smaller)]
        assert costs[0] - costs[1] == 2 * images.num_images * 3 * (expected**2 - 1)


# Weights


def test_published_weights_are_fetched_or_not(project: Path) -> None:
    vgg16 = backbone_config("vgg16", pretrained={**PUBLISHED, "digest": f"md5:{hashlib.md5(b'good').hexdigest()}"})
    weights = WeightsConfig(seed=0, name="published", path="cache/{backbone}/{file}")
    (absent,) = weight_findings([vgg16], weights)
    assert absent.verdict is Verdict.MISSING
    assert "CC-BY-4.0" in absent.found
    assert absent.advice == "run `make weights`; without a network, put it at cache/vgg16/vgg16.h5"
    file = Path("cache/vgg16/vgg16.h5")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"good")
    assert [finding.verdict for finding in weight_findings([vgg16], weights)] == [Verdict.READY]
    file.write_bytes(b"half")
    (broken,) = weight_findings([vgg16], weights)
    assert broken.verdict is Verdict.MISSING
    assert "delete it and fetch it again" in broken.advice


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        (
            "vgg16_slim",
            WeightsConfig(seed=0, name="published", path="{file}"),
            "nobody publishes weights of vgg16_slim",
        ),
        ("vgg16", WeightsConfig(seed=0, name="formula"), "no formula weights are shipped for vgg16"),
        ("vgg16", WeightsConfig(seed=0, name="file", path="{backbone}.h5"), "expected `path` and `sha256.vgg16`"),
        (
            "vgg16",
            WeightsConfig(seed=0, name="file", path="{backbone}.h5", sha256={"vgg16": "0" * 64}),
            "expected a weight file at vgg16.h5",
        ),
    ],
)
def test_weights_that_no_stage_could_load_stop(
    project: Path, backbone: str, weights: WeightsConfig, message: str
) -> None:
    (finding,) = weight_findings([backbone_config(backbone)], weights)
    assert finding.verdict is Verdict.MISSING
    assert message in finding.found
    assert finding.advice
    assert finding.advice not in finding.found


def test_random_weights_need_no_file() -> None:
    (finding,) = weight_findings([backbone_config("vgg16")], WeightsConfig(seed=0, name="random"))
    assert finding.verdict is Verdict.READY


# Bookkeeping


@pytest.mark.parametrize(
    ("uri", "verdict", "found"),
    [
        ("postgresql://me:hunter2@db.example.org/mlflow", Verdict.READY, "postgresql://***@db.example.org/mlflow"),
        ("https://mlflow.example.org", Verdict.READY, "https://mlflow.example.org (not connected to: "),
        ("https:///nowhere", Verdict.MISSING, "names no host"),
        ("sqlite:///mlflow.db", Verdict.READY, "mlflow.db will be made"),
        ("sqlite:///broken.db", Verdict.MISSING, "broken.db is no readable SQLite file"),
        ("sqlite:///whole.db", Verdict.READY, "whole.db"),
        ("databricks", Verdict.READY, "databricks (not connected to: "),
        ("file:runs", Verdict.MISSING, "the folder runs, which MLflow no longer writes to"),
        ("gopher://somewhere", Verdict.WARNING, "is of no kind that is known here"),
    ],
)
def test_the_store_is_judged_and_no_password_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, verdict: Verdict, found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.db").write_bytes(b"no database at all, and long enough to be read as one" * 20)
    sqlite3.connect("whole.db").close()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    finding = of(list(bookkeeping_findings(TrackingConfig(uri="sqlite:///other.db", experiment="e"))), "MLflow store")
    assert finding.verdict is verdict
    assert found in finding.found
    assert "hunter2" not in finding.found + finding.advice


# Packages


def test_what_the_lock_does_not_pin_is_a_warning(project: Path) -> None:
    Path("requirements.lock").write_text("keras==1.0 \\\n    --hash=sha256:0\nnot-here==2 ; python_version < '3'\n")
    finding = of(list(packages.package_findings()), "lock")
    assert finding.verdict is Verdict.WARNING
    assert "1 of 1 differ" in finding.found
    assert "not 1.0" in finding.found


def test_a_package_that_is_too_old_stops(project: Path) -> None:
    text = '[project]\nrequires-python = ">=3.11"\ndependencies = ["rich>=1000", "pydantic>=2", "of-no-one"]\n'
    Path("pyproject.toml").write_text(text, encoding="utf-8")
    finding = of(list(packages.package_findings()), "packages")
    assert finding.verdict is Verdict.MISSING
    assert "2 of 3 are not as asked: rich>=1000 (" in finding.found
    assert "of-no-one (absent)" in finding.found


@pytest.mark.parametrize("text", [None, "[tool]", "[["])
def test_a_folder_that_is_no_clone_stops(project: Path, text: str | None) -> None:
    Path("pyproject.toml").unlink()
    if text is not None:
        Path("pyproject.toml").write_text(text, encoding="utf-8")
    (finding,) = packages.package_findings()
    assert finding.verdict is Verdict.MISSING
    assert "expected a project in pyproject.toml, found none" in finding.found


def test_another_python_stops(project: Path) -> None:
    Path("pyproject.toml").write_text('[project]\nrequires-python = "<3"\ndependencies = []\n', encoding="utf-8")
    assert of(list(packages.package_findings()), "Python").verdict is Verdict.MISSING


@pytest.mark.parametrize(
    ("backend", "verdict"), [("tensorflow", Verdict.READY), ("theano", Verdict.MISSING), ("openvino", Verdict.MISSING)]
)
def test_the_backend_must_be_installed(
    project: Path, monkeypatch: pytest.MonkeyPatch, backend: str, verdict: Verdict
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    assert of(list(packages.package_findings()), "Keras backend").verdict is verdict


def test_keras_own_file_chooses_the_backend_too(project: Path) -> None:
    assert installation.backend() == "tensorflow"
    Path("keras").mkdir()
    Path("keras/keras.json").write_text('{"backend": "theano"}', encoding="utf-8")
    assert installation.backend() == "theano"


def test_a_backbone_of_a_library_that_is_absent_stops() -> None:
    backbones = [backbone_config("vgg16"), backbone_config("resnet50", constructor="library_of_no_one.ResNet")]
    (finding,) = packages.constructor_findings(backbones)
    assert finding.verdict is Verdict.MISSING
    assert finding.found == "resnet50: built by library_of_no_one, which is not installed"


# The machine


def test_a_gpu_that_the_backend_cannot_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"0": Gpu("Tesla T4", None, None)}
    monkeypatch.setattr(machine, "lacking_for_gpu", tuple)
    assert of(machine.machine_findings(replace(TWO_CORES, gpus=shown)), "GPU").found == "Tesla T4"
    monkeypatch.setattr(machine, "lacking_for_gpu", lambda: ("nvidia-cublas-cu12",))
    finding = of(machine.machine_findings(replace(TWO_CORES, gpus=shown)), "GPU")
    assert finding.verdict is Verdict.WARNING
    assert "tensorflow cannot use it without nvidia-cublas-cu12: runs on the CPU" in finding.found
    assert finding.advice == "run `make repro GPU=yes`, which installs them"


def test_no_gpu_and_a_hidden_one_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert of(machine.machine_findings(TWO_CORES), "GPU").found == "none: runs on the CPU"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert (
        of(machine.machine_findings(TWO_CORES), "GPU").found == "none that CUDA_VISIBLE_DEVICES shows: runs on the CPU"
    )


# Memory and disk


def test_stored_features_are_counted_to_the_byte(project: Path) -> None:
    config = one_cell(strategy_config("feature_extraction"))
    assert activation_bytes(config, IMAGES) == (4 * 200 + 400 + 1197) * 512 * 4


def test_no_more_is_stored_than_the_strategy_allows(project: Path) -> None:
    strategy = strategy_config("fine_tuning", boundary="input", activation_limit_gigabytes=0.001)
    assert activation_bytes(one_cell(strategy), IMAGES) == 10**6


# Cost


def test_what_was_never_measured_here_is_said_to_be_unknown(project: Path) -> None:
    cost = cost_of_run(read_plan(), IMAGES, jobs=2)
    assert cost.wall_seconds is None
    assert {stage.num_measured for stage in cost.stages.values()} == {0}
    assert len(cost.unmeasured) == 12 + 6
    first = f"train@{read_plan().one.cell}"
    assert f"  time      not measured here yet: `make repro` measures it, and `dvc repro {first}` a first part" in (
        cost_lines(cost, IMAGES)
    )


def test_more_images_take_more_disk_and_cells_side_by_side_more_memory(project: Path) -> None:
    plan = read_plan()
    many = replace(IMAGES, counts={split: 100 * count for split, count in IMAGES.counts.items()})
    alone, together, larger = (
        cost_of_run(plan, images, jobs=jobs) for images, jobs in ((IMAGES, 1), (IMAGES, 2), (many, 1))
    )
    assert larger.disk_bytes > 50 * alone.disk_bytes
    assert 1.5 * alone.memory_bytes < together.memory_bytes <= 2 * alone.memory_bytes


def test_the_time_is_what_the_same_cells_took_before(project: Path) -> None:
    config, prepared = one_cell(strategy_config("feature_extraction")), replace(IMAGES, digest="d")
    cell = config.cell
    leave_earlier_run(config, data="d")
    for stage in ("size", "boundaries", "backbones", "prepare", "baseline", "compare"):
        write_json(paths.timing(stage), {"wall_seconds": 10.0})
    found = cost_of_run(Plan((config,)), prepared, jobs=1)
    assert {name: stage.seconds for name, stage in found.stages.items() if stage.num_measured} == {
        **dict.fromkeys(("size", "boundaries", "backbones", "prepare", "baseline", "compare"), 10.0),
        "embed": 111.0,
        "sweep": 222.0,
    }
    # No final model is there.
    assert (found.unmeasured, found.wall_seconds) == ([f"train@{cell}"], None)
    num_seeds = len(config.benchmark.seeds)
    key = read_best(cell).cell_key
    final = MetricsRecord(key, cell.backbone, cell.strategy, "output", num_seeds, 1, 1, None, None, {}, {}, {})
    write_metrics(cell.metrics, final)
    computed("train", cell, 333.0)
    whole = [cost_of_run(Plan((config,) * number), prepared, jobs=jobs) for number, jobs in ((1, 1), (1, 2))]
    assert [cost.wall_seconds for cost in whole] == [60.0 + 666.0] * 2
    assert "  time      at least 12 min 6 s, 1 cells at once: what computing took here before" in (
        cost_lines(whole[0], prepared)
    )


def test_a_backbone_passes_once_for_its_cells_which_come_after_it(project: Path) -> None:
    prepared = replace(IMAGES, digest="d")
    configs = tuple(one_cell(strategy_config(name)) for name in ("feature_extraction", "fine_tuning"))
    for config in configs:
        leave_earlier_run(config, data="d")
    cost = cost_of_run(Plan(configs), prepared, jobs=8)
    assert cost.stages["embed"] == StageCost(111.0 + 111.0, 1, 1), "each cell has a share"
    assert cost.stages["sweep"] == StageCost(222.0 + 222.0, 2, 2)
    assert cost.num_stages == 1 + 2 + 2 + 7
    shutil.rmtree(paths.COMPUTE)
    assert cost_of_run(Plan(configs), prepared, jobs=8).stages["embed"] == StageCost(0, 1, 0)


def test_side_by_side_a_backbone_takes_its_pass_and_then_its_longest_cell(project: Path) -> None:
    configs = tuple(one_cell(strategy_config(name)) for name in ("feature_extraction", "fine_tuning"))
    for config in configs:
        leave_earlier_run(config, data="d")
        key = read_best(config.cell).cell_key
        names = (config.cell.backbone, config.cell.strategy, "output", len(config.benchmark.seeds))
        write_metrics(config.cell.metrics, MetricsRecord(key, *names, 1, 1, None, None, {}, {}, {}))
        computed("train", config.cell, 333.0)
    for stage in ("size", "boundaries", "backbones", "prepare", "baseline", "compare"):
        write_json(paths.timing(stage), {"wall_seconds": 0.0})
    whole = [cost_of_run(Plan(configs), replace(IMAGES, digest="d"), jobs=jobs).wall_seconds for jobs in (1, 8)]
    assert whole == [2 * 666.0, 2 * 111.0 + 555.0]


@pytest.mark.parametrize("difference", ["images", "size", "strategy", "not prepared"])
def test_what_another_cell_took_is_no_measurement(project: Path, difference: str) -> None:
    config = one_cell(strategy_config("feature_extraction"))
    leave_earlier_run(config, data="d")
    if difference == "strategy":
        config = replace(config, strategy=strategy_config("feature_extraction", epochs=31))
    digest = {"images": "e", "not prepared": None}.get(difference, "d")
    images = replace(IMAGES, digest=digest, stored_pixels=65 if difference == "size" else IMAGES.stored_pixels)
    assert earlier_run(config, images) == EarlierRun()


def test_too_little_memory_and_disk_are_warnings(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(TWO_CORES, free_memory_bytes=10**9, free_disk_bytes=10**6)
    monkeypatch.setattr("backbench.cli.doctor.examination.this_machine", lambda: small)
    examination = examine(jobs=2)
    assert of(examination.findings, "memory").verdict is Verdict.WARNING
    assert "make repro JOBS=1" in of(examination.findings, "memory").advice
    assert of(examination.findings, "disk").verdict is Verdict.WARNING
    assert examination.is_ready


def test_sizes_that_are_not_known_are_a_warning(project: Path) -> None:
    edit(Path("conf/backbone/vgg16_slim.yaml"), num_parameters=None)
    finding = of(examine().findings, "benchmark")
    assert finding.verdict is Verdict.WARNING
    assert "vgg16_slim" in finding.found


def test_a_terminal_shows_every_finding_in_colour() -> None:
    findings = (Finding("disk", Verdict.WARNING, "[full]", "make room"), Finding("GPU", Verdict.MISSING, "x", "y"))
    console = Console(force_terminal=True, width=40, record=True, no_color=False)
    print_examination(Examination(findings, None, None), console)
    text = console.export_text()
    assert "warning disk              [full]" in text
    assert "→ make room" in text
    assert text.splitlines()[-1] == "not ready, 1 missing; first GPU: y"

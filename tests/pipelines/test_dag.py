"""dvc.yaml: what a change reruns is written there, so it is tested there."""

import ast
from pathlib import Path

import grimp
import pytest
from omegaconf import OmegaConf

from backbench.runtime.installation import versions_here
from backbench.runtime.source_code import imported_modules
from tests.support.configs import PROJECT

STAGES = OmegaConf.to_container(OmegaConf.load(PROJECT / "dvc.yaml"), resolve=False)["stages"]  # type: ignore[index]
MOST_CODE = 10  # dependencies of a stage on code, so that somebody can read them
COPYING = ("size", "boundaries", "backbones", "measure")  # their outputs hold no computed numbers
NETWORK_STAGES = ("embed", "sweep", "train")


def names(entries: list[object]) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in entries]


GRAPH = grimp.build_graph("backbench")
# Start a stage, print, write files whole, look at the machine, tell MLflow: they decide no result.
DECIDE_NO_RESULT = ("backbench.cli", "backbench.runtime", "backbench.tracking", "backbench.compat")
BUT = "backbench.compat.networks"


def imported_by(file: Path) -> set[str]:
    """The modules of the package that a file imports, inside its functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & GRAPH.modules


def reached_by(stage: str) -> set[str]:
    """The modules that a stage imports, and theirs in turn, but for what decides no result."""
    reached: set[str] = set()
    pending = imported_by(PROJECT / f"pipelines/{stage}.py")
    while pending:
        module = pending.pop()
        if module not in reached and (module.startswith(BUT) or not module.startswith(DECIDE_NO_RESULT)):
            reached.add(module)
            pending |= GRAPH.find_modules_directly_imported_by(module)
    return reached


def dependency(module: str) -> str:
    """The innermost package that a module lies in; of `stages`, the module itself, where it is one file."""
    path = Path("src", *module.split("."))
    if (PROJECT / path / "__init__.py").is_file():
        return path.as_posix()
    return path.with_suffix(".py").as_posix() if path.parent.name == "stages" else path.parent.as_posix()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_packages_that_it_reaches_and_on_no_others(stage: str) -> None:
    """Otherwise an edit would leave stale results behind, or throw good ones away."""
    code = [path for path in names(STAGES[stage]["deps"]) if path.startswith(("src/", "pipelines/"))]
    assert sorted(code) == sorted({f"pipelines/{stage}.py", *map(dependency, reached_by(stage))})
    assert len(code) <= MOST_CODE


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in COPYING])
def test_versions_that_decide_a_result_are_a_dependency(stage: str) -> None:
    """What measure finds is no result, and it asks for itself what it was measured with; the others copy."""
    (keys,) = [entry["conf/versions.yaml"] for entry in STAGES[stage]["params"] if "conf/versions.yaml" in entry]
    imported = set().union(*map(imported_packages, imported_modules(PROJECT / f"pipelines/{stage}.py")))
    of_import = {"numpy": "numpy", "PIL": "pillow", "sklearn": "scikit_learn", "scipy": "scipy", "keras": "keras"}
    of_import |= {"pillow_heif": "pillow_heif", "imagehash": "imagehash"}
    expected = {version for package, version in of_import.items() if package in imported}
    if "keras" in imported:
        expected |= {"backend", "backend_version", "keras_hub"}
    if stage == "compare":
        expected -= {"pillow"}  # for pictures of the report, which is no output
    if stage == "sweep":
        expected.add("optuna")  # the trials of the others are read from files
    assert expected <= set(keys) <= set(versions_here())


def imported_packages(file: Path) -> set[str]:
    """The top names of what a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("stage", NETWORK_STAGES)
def test_a_backbone_belongs_to_its_own_cells_alone(stage: str) -> None:
    """So do its base and its weights: the stage backbones writes a file for each, the same where they are."""
    configured = [path for path in names(STAGES[stage]["params"]) if path.startswith(("conf/backbone", "conf/weights"))]
    dependencies = names(STAGES[stage]["deps"])
    assert configured == [path for path in dependencies if path.startswith("conf")] == []
    assert "work/backbones/${item.backbone}.json" in dependencies
    assert "weights=" not in STAGES[stage]["cmd"], "another default reruns those that name their own"
    assert {"conf/backbone", "conf/weights"} < set(STAGES["backbones"]["deps"])


def test_a_backbone_passes_once_and_what_trains_a_strategy_does_not_rerun_it() -> None:
    """Another learning rate runs the stage boundaries, which writes the same file again."""
    embed = STAGES["embed"]
    assert set(embed["matrix"]) == {"backbone"}
    assert "strategy" not in embed["cmd"]
    assert not [path for path in names(embed["params"]) if path.startswith("conf/strategy")]
    assert set(STAGES["boundaries"]["outs"]) < set(embed["deps"])
    assert "conf/strategy" in STAGES["boundaries"]["deps"]
    (stored,) = embed["outs"]
    for stage in ("sweep", "train"):
        assert f"{stored}/${{item.strategy}}" in STAGES[stage]["deps"], "another strategy's activations rerun no cell"


@pytest.mark.parametrize("stage", NETWORK_STAGES)
def test_what_changes_a_bit_of_every_stage_reruns_it(stage: str) -> None:
    (keys,) = [entry["conf/benchmark.yaml"] for entry in STAGES[stage]["params"] if "conf/benchmark.yaml" in entry]
    assert {"precision", "threads", "xla"} <= set(keys)
    assert "memory_growth" not in keys


def test_what_was_measured_is_never_brought_back_without_its_numbers() -> None:
    """From DVC's cache it would be; and compare has to come after it."""
    assert STAGES["measure"]["outs"] == [{"work/measured.json": {"cache": False}}]
    assert "work/measured.json" in names(STAGES["compare"]["deps"])


def test_resumable_state_and_times_are_no_outputs() -> None:
    outputs = [
        path
        for stage in STAGES.values()
        for kind in ("outs", "metrics", "plots")
        for path in names(stage.get(kind, []))
    ]
    places = ("work/state", "work/timings", "work/compute", "work/locks", "work/costs")
    assert not [path for path in outputs if path.startswith(places)]

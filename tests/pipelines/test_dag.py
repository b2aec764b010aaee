"""dvc.yaml: what a change reruns is written there, so it is tested there."""

import ast
from itertools import chain
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from backbench.runtime.source_code import PACKAGE, imported_modules
from backbench.runtime.versions import versions_here
from tests.support.configs import PROJECT

STAGES = OmegaConf.to_container(OmegaConf.load(PROJECT / "dvc.yaml"), resolve=False)["stages"]  # type: ignore[index]
NETWORK_STAGES = ("embed", "sweep", "train")


def names(entries: list[object]) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in entries]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_entry_point_and_on_files_that_exist(stage: str) -> None:
    dependencies = names(STAGES[stage]["deps"])
    assert f"pipelines/{stage}.py" in dependencies
    code = [path for path in dependencies if path.startswith(("src/", "pipelines/"))]
    assert [path for path in code if not (PROJECT / path).exists()] == []


# Code that decides no result, and why not.
NO_RESULT = {
    "starts a stage, refuses, prints, or says where files lie": (
        *(
            "stages.entry",
            "runtime.errors",
            "runtime.console",
            "runtime.library_output",
            "runtime.units",
            "config.config_files",
            "config.running_config",
            "runtime.disk",
            "runtime.atomic_files",
            "runtime.known_files",
            "runtime.locks",
            "runtime.paths",
        ),
        *(
            "runtime.file_systems",
            "adaptation.interruption",
            "runtime.out_of_memory",
            "adaptation.memory",
            "runtime.source_code",
            "runtime.web_address",
            "runtime.digests",
        ),
    ),
    "looks at the machine, at what is installed, and at git": (
        *(
            "runtime.cgroups",
            "runtime.hardware",
            "runtime.installation",
            "runtime.gpu_support",
            "runtime.environment",
            "runtime.version_control",
            "runtime.versions",
        ),
    ),
    "adds up what was spent": ("results.compute",),
    "tells MLflow what is in files": (
        *(f"tracking.{file.stem}" for file in (PACKAGE / "tracking").glob("*.py")),
        *("compat.mlflow_stores", "runtime.markdown", "export.model_code"),
    ),
    "shares trials out, whose outcome depends on no worker": (
        *("compat.optuna_trials", "search.database_refusals", "search.owners", "search.shared_study"),
        *("stages.crew", "search.study_storage"),
    ),
}
# Imported by all that name its constants; it decides what these stages do and no more.
ONLY_NAMES = {
    "size": (
        "config.config",
        "config.dataset_config",
        "config.search_config",
        "config.strategy_config",
        "config.value_types",
    ),
    "prepare": ("config.config", "config.backbone_config", "config.search_config", "config.strategy_config"),
    "baseline": (
        "config.config",
        "config.backbone_config",
        "config.dataset_config",
        "config.search_config",
        "config.strategy_config",
        "config.value_types",
    ),
    "measure": (
        "config.config",
        "config.dataset_config",
        "config.search_config",
        "config.strategy_config",
        "config.value_types",
    ),
    "compare": (
        *(
            "config.config",
            "config.backbone_config",
            "config.dataset_config",
            "config.search_config",
            "config.strategy_config",
            "config.value_types",
        ),
        *("export.model_folder", "results.store_record"),
    ),
}


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts)


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_decides_a_result_is_a_dependency(stage: str) -> None:
    """Otherwise an edit of it would leave stale results behind."""
    dependencies = [PROJECT / path for path in names(STAGES[stage]["deps"])]
    excused = {*chain.from_iterable(NO_RESULT.values()), *ONLY_NAMES.get(stage, ())}
    needed = {file for file in imported_modules(PROJECT / f"pipelines/{stage}.py") if file.name != "__init__.py"}
    missing = [
        module_name(module)
        for module in sorted(needed - {PROJECT / f"pipelines/{stage}.py"})
        if not any(module == path or path in module.parents for path in dependencies)
    ]
    assert [name for name in missing if name not in excused] == []
    # What is excused is needed, and what is a dependency is no matter of excuses.
    assert [name for name in ONLY_NAMES.get(stage, ()) if name not in missing] == []
    code = [path for path in dependencies if PACKAGE in path.parents]
    assert [path for path in code if not any(module == path or path in module.parents for module in needed)] == []


def test_no_excuse_outlives_what_it_excuses() -> None:
    everywhere = {module_name(file) for file in PACKAGE.rglob("*.py")}
    assert set(chain.from_iterable(NO_RESULT.values())) <= everywhere


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("size", "measure")])
def test_versions_that_decide_a_result_are_a_dependency(stage: str) -> None:
    """What measure finds is no result, and it asks for itself what it was measured with; size copies a number."""
    (keys,) = [entry["conf/versions.yaml"] for entry in STAGES[stage]["params"] if "conf/versions.yaml" in entry]
    imported = set().union(*map(imported_packages, imported_modules(PROJECT / f"pipelines/{stage}.py")))
    of_import = {"numpy": "numpy", "PIL": "pillow", "sklearn": "scikit_learn", "scipy": "scipy", "keras": "keras"}
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
    parameters = names(STAGES[stage]["params"])
    assert "conf/backbone/${item.backbone}.yaml" in parameters
    assert not [path for path in names(STAGES[stage]["deps"]) if path.startswith("conf")]


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

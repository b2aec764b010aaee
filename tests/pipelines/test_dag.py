"""dvc.yaml: what a change reruns is written there, so it is tested there."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.conftest import PROJECT

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


def imported_modules(path: Path) -> set[Path]:
    """The modules of this package that a module imports, and theirs in turn."""
    found: set[Path] = set()
    pending = [path]
    while pending:
        text = pending.pop().read_text(encoding="utf-8")
        for dotted in re.findall(r"^\s*from (backbench[\w.]*) import", text, re.MULTILINE):
            base = PROJECT / "src" / dotted.replace(".", "/")
            module = base.with_suffix(".py")
            if module.is_file() and module not in found:
                found.add(module)
                pending.append(module)
    return found


# Code that decides no result: how stages start, speak, refuse, name their files, record themselves and share work.
NO_RESULT = {
    "entry",
    "errors",
    "console",
    "artifacts",
    "durable",
    "tracking",
    "logbook",
    "shared_study",
    "study_storage",
    "owners",
    "versions",
    "file_systems",
    "version_control",
    "crew",
    "database_refusals",
    "store_record",
    "publishing",
    "run_notes",
    "mlflow_annotations",
    "mlflow_connection",
    "mlflow_models",
    "mlflow_outage",
    "mlflow_refusals",
    "mlflow_registry",
    "mlflow_store",
    "model_code",
    "model_folder",
    "runs",
    "config",
    "backbone_config",
    "config_files",
    "dataset_config",
    "running_config",
    "search_config",
    "strategy_config",
    "value_types",
    "memory",
    "hardware",
    "cgroups",
    "out_of_memory",
    "interruption",
    "environment",
    "disk",
    "installation",
    "library_output",
    "gpu_support",
    "web_address",
    "digests",
    "units",
}


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_decides_a_result_is_a_dependency(stage: str) -> None:
    """Otherwise an edit of it would leave stale results behind."""
    dependencies = [PROJECT / path for path in names(STAGES[stage]["deps"])]
    needed = imported_modules(PROJECT / f"pipelines/{stage}.py")
    missing = [
        module.relative_to(PROJECT).as_posix()
        for module in sorted(needed)
        if module.stem not in NO_RESULT and not any(module == path or path in module.parents for path in dependencies)
    ]
    assert missing == []


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
    assert not [path for path in outputs if path.startswith(("work/state", "work/timings", "work/locks", "work/costs"))]

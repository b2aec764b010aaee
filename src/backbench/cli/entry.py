"""What every stage's entry point shares: compose, one line and exit code 2 for a user's mistake, one writer, a log.

Hydra is imported here, in `config.py` and in `pipelines/` only.
"""

import faulthandler
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.config.backbone_files import read_backbone_yaml, with_base
from backbench.config.config import resolved_backbone, to_typed
from backbench.config.config_files import check_choices
from backbench.data.arrays.file_formats import read_json, write_json
from backbench.runtime import file_systems, paths
from backbench.runtime.errors import ArtifactError, BackbenchError, tell
from backbench.runtime.hardware import machine_name, peak_memory_bytes
from backbench.runtime.installation import CONF, require_own_code
from backbench.runtime.locks import only_writer
from backbench.runtime.versions import require_recorded_versions

REFUSED, INTERRUPTED = 2, 130  # the second is a shell's own code for a command that was interrupted
STDERR = 2
BACKBONES = Path(CONF) / "backbone"
NUM_SHOWN_LINES = 20


def quiet_libraries() -> None:
    """Keep TensorFlow's chatter and MLflow's telemetry out, unless the user asks for them; warnings are kept.

    And let a locale that cannot spell a letter of a message, such as an arrow, cost the letter and not the run.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # Otherwise Hydra prints errors in its own way and exits with 1.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")


@contextmanager
def kept_in(log: Path) -> Iterator[None]:
    """Send whatever is written to standard error to `log`, which is emptied first; standard output is left alone.

    TensorFlow's first lines come before its log can be set up, so that only the file descriptor can be turned away. A
    traceback that ends the process comes after the last lines of the log. A signal that the process
    dies of, such as SIGSEGV, leaves no time for that: Python's stack goes to standard error, and the log is whole.
    """
    if sys.stderr is None:  # so it is where the process was started with it closed
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    terminal = os.dup(STDERR)
    with log.open("wb") as file:
        os.dup2(file.fileno(), STDERR)
    is_first = not faulthandler.is_enabled()
    if is_first:
        faulthandler.enable(terminal, all_threads=False)
    try:
        yield
    except Exception:
        _show_before_traceback(log)
        raise
    finally:
        if is_first:
            faulthandler.disable()
        sys.stderr.flush()
        os.dup2(terminal, STDERR)
        os.close(terminal)


def _show_before_traceback(log: Path) -> None:
    """Where the error is a user's mistake, it ends in `SystemExit`, which Python shows no traceback of."""
    before = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-NUM_SHOWN_LINES:]
        if lines:
            print(f"what libraries said, the last lines of {log}:", *lines, sep="\n  ", file=sys.stderr)
        before(kind, error, trace)

    sys.excepthook = show


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a user's mistake or a full disk into a line on stderr and exit code 2; an interruption into 130.

    Several mistakes at once are several lines.

    Stand inside the function that Hydra calls, or Hydra adds lines of its own, and around it, for Hydra's own errors.
    """
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted; start again to go on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if refused := file_systems.refusal(error):
            tell(refused)
        elif isinstance(error, BackbenchError):
            tell(*error.lines)
        elif isinstance(error, (HydraException, OmegaConfBaseException)):
            tell(error)
        else:
            raise
        sys.exit(REFUSED)


def _write_spent(name: str, started: float) -> None:
    """Say what this process took, outside of what DVC hashes, and on which machine."""
    spent = {
        "wall_seconds": round(time.monotonic() - started, 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "machine": machine_name(),
    }
    write_json(paths.timing(name), spent)


def _add_choices(groups: Sequence[str]) -> None:
    """Add to the command line what the configuration chooses of groups, unless the command line chooses.

    DVC does not pass it: the command of a stage would change, and the stage be run again.
    """
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    for group in (group for group in groups if group not in given):
        choice = OmegaConf.select(OmegaConf.load(Path(CONF) / "benchmark.yaml"), group)
        file = BACKBONES / f"{given.get('backbone')}.yaml"
        if group == "weights" and file.is_file():  # without one, Hydra names those that there are
            choice = read_backbone_yaml(file).get("weights") or choice
        if choice is not None:
            sys.argv.append(f"{group}={choice}")


def _add_base(config: DictConfig) -> None:
    """Add what the backbone that Hydra composed takes over from its base."""
    if OmegaConf.select(config, "backbone.base") is not None:
        with open_dict(config):
            config.backbone = with_base(dict(config.backbone), BACKBONES)


def _require_recorded_backbone(config: DictConfig) -> None:
    """Hold a backbone and its weights to what was written of them, by which DVC knows what has to run.

    Raises:
        BackbenchError: the backbones stage has not run for them.
    """
    name = config.backbone.name
    backbone = to_typed(config.backbone, BackboneConfig, where=f"conf/backbone/{name}.yaml")
    weights = to_typed(config.weights, WeightsConfig, where=f"conf/weights/{config.weights.name}.yaml")
    if read_json(paths.backbone(name), made_by="backbones") != resolved_backbone(backbone, weights):
        raise ArtifactError(
            f"{paths.backbone(name)}: expected what conf/backbone and conf/weights say of {name}, found something "
            "else; run `dvc repro backbones`"
        )


def check_names(config: DictConfig) -> None:
    """Hold every group that Hydra composed to the name of its file, as `check_choices` does."""
    check_choices(config, HydraConfig.get().runtime.choices)


def run_stage(
    stage: Callable[[DictConfig], str],
    *,
    lock_name: Callable[[DictConfig], str],
    chosen_by_benchmark: Sequence[str] = (),
) -> None:
    """Compose `conf/config.yaml` with the command line, run a stage as the only writer, print its last line.

    What libraries say is kept in work/logs.

    Args:
        stage: Does the work; returns the line that says where to look next.
        lock_name: Names the outputs that the stage writes, such as `sweep-resnet50-fine_tuning`.
        chosen_by_benchmark: Groups of `conf/` that conf/benchmark.yaml chooses from and DVC does not pass; of weights,
            the backbone's own choice goes before.
    """
    quiet_libraries()

    @hydra.main(version_base=None, config_path=CONF, config_name="config")
    def composed(config: DictConfig) -> None:
        with refusing():
            check_names(config)
            _add_base(config)
            name = lock_name(config)
        with refusing(), only_writer(name), kept_in(paths.log(name)):
            started = time.monotonic()  # what waited for the lock did not work
            if "DVC_STAGE" in os.environ:  # DVC writes down that the recorded versions made the outputs
                require_recorded_versions()
                if "weights" in chosen_by_benchmark:
                    _require_recorded_backbone(config)
            last_line = stage(config)
            _write_spent(name, started)
        print(last_line, flush=True)

    with refusing():
        require_own_code(Path())
        _add_choices(chosen_by_benchmark)
        composed()

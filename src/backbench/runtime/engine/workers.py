"""What the engine is told of who runs tasks, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Launcher = Literal["local", "slurm", "queue"]
WORKER = "{worker}"


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who runs the tasks of a stage; without `launcher` and `scheduler` it is the stage's own process.

    `launcher` starts `num_workers` of them: processes on this machine (`local`), jobs of SLURM by submitit (`slurm`,
    with sbatch's options in `slurm`), or whatever the shell line `submit` starts (`queue`), in which `{worker}` stands
    for the command of a worker. `scheduler` is the folder of a scheduler that runs already.
    `host` is what a stage's scheduler listens on; None is the loopback device for `local`, else every device.
    A worker that says nothing for `lost_after_seconds` has lost its task.
    """

    name: str
    launcher: Launcher | None = None
    num_workers: int = 1
    scheduler: str | None = None
    host: str | None = None
    submit: str | None = None
    slurm: Mapping[str, Any] = field(default_factory=dict)
    lost_after_seconds: float = 60.0
    dashboard_port: int | None = None

    @property
    def is_this_process(self) -> bool:
        return self.launcher is None and self.scheduler is None


THIS_PROCESS = Workers(name="one")

"""What the engine is told of who runs tasks, as plain values."""

from dataclasses import dataclass

WORKER = "{worker}"


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who runs the tasks of a stage; without `start` and `scheduler` it is the stage's own process.

    `start` is the command that runs one of `num_workers`, and ends when it does; `{worker}` in it stands for a worker's
    own command. No shell reads it. `scheduler` is the folder of a scheduler that runs already.
    `host` is what a stage's scheduler listens on; None is every network device.
    A worker that says nothing for `lost_after_seconds` has lost its task.
    """

    name: str
    start: str | None = None
    num_workers: int = 1
    scheduler: str | None = None
    host: str | None = None
    lost_after_seconds: float = 60.0
    dashboard_port: int | None = None

    @property
    def is_this_process(self) -> bool:
        return self.start is None and self.scheduler is None

    @property
    def are_on_this_machine(self) -> bool:
        return self.start == WORKER


THIS_PROCESS = Workers(name="one")

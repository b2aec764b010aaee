"""Tasks that take as long as they are told, and say in files what became of them: what engines are tried with."""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backbench.runtime.errors import ConfigError
from backbench.runtime.interruption import Interrupted, is_asked_to_leave


@dataclass(frozen=True)
class Toy:
    """What was opened once in a process."""

    folder: Path

    def process(self) -> int:
        return os.getpid()

    def square(self, number: int) -> int:
        return number**2

    def variables(self, *prefixes: str) -> dict[str, str]:
        """Say what the environment says under these prefixes."""
        return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}

    def counted(
        self, number: int, num_epochs: int, seconds: float, signals: Mapping[int, signal.Signals] | None = None
    ) -> int:
        """Go through epochs, keeping how many in a file that never has fewer, and go on from there.

        `signals` are sent to the worker, each in the epoch that it stands for.
        """
        file = self.folder / f"{number}.epochs"
        begun = int(file.read_text()) if file.exists() else 0
        for epoch in range(begun + 1, num_epochs + 1):
            if signals and epoch in signals:
                os.kill(os.getppid(), signals[epoch])
            time.sleep(seconds)
            before = int(file.read_text()) if file.exists() else 0
            if epoch > before:
                temporary = file.with_name(f"{file.name}.{os.getpid()}")
                temporary.write_text(str(epoch))
                temporary.replace(file)
            with (self.folder / "epochs.txt").open("a") as epochs:
                epochs.write(f"{os.getpid()} {number} {epoch}\n")
            if is_asked_to_leave() and epoch < num_epochs:
                raise Interrupted(f"left after epoch {epoch}")
        return number * num_epochs

    def refuse(self) -> None:
        raise ConfigError("expected nothing, found a task", "and a second mistake")

    def fail(self) -> None:
        raise SystemExit("of its own")

    def die(
        self,
        name: str = "death",
        times: int = 1000,
        number: signal.Signals = signal.SIGKILL,
        who: Literal["process", "worker"] = "process",
    ) -> int:
        """Take down the process that it runs in, or its worker, so often; then return how often that was."""
        deaths = self.folder / f"{name}.deaths"
        num_deaths = deaths.stat().st_size if deaths.exists() else 0
        if num_deaths < times:
            with deaths.open("a") as file:
                file.write(".")
            os.kill(os.getpid() if who == "process" else os.getppid(), number)
            signal.pause()
        return num_deaths


def opened(folder: Path) -> Toy:
    return Toy(folder)


def epochs_of(folder: Path, number: int) -> list[tuple[int, int]]:
    """Return the process and the epoch of every epoch of a counted task, in order."""
    file = folder / "epochs.txt"
    lines = [tuple(map(int, line.split())) for line in file.read_text().splitlines()] if file.exists() else []
    return [(process, epoch) for process, of, epoch in lines if of == number]

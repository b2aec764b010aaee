"""Tasks that take as long as they are told, and say in files what became of them: what engines are tried with."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

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

    def counted(self, number: int, num_epochs: int, seconds: float) -> int:
        """Go through epochs, keeping how many in a file that never has fewer, and go on from there."""
        file = self.folder / f"{number}.epochs"
        begun = int(file.read_text()) if file.exists() else 0
        for epoch in range(begun + 1, num_epochs + 1):
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

    def die(self) -> None:
        os.kill(os.getpid(), 9)


def opened(folder: Path) -> Toy:
    return Toy(folder)

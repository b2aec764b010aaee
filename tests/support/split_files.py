"""Files of two classes, as if they had been examined."""

from pathlib import Path

from backbench.data.ingest.tree import Examined

CLASSES = ("cat", "dog")
FOLDER = Path("data")


def files_of(num_per_class: int, split: str = "", classes: tuple[str, ...] = CLASSES) -> list[Examined]:
    paths = [(f"{split}/{name}/{number}", name) for name in classes for number in range(num_per_class)]
    return [Examined(path, name, split, f"digest of {path}", path, 16, 16, "used") for path, name in paths]

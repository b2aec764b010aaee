"""A file that has come in part, and of which file it is a part."""

import json
from pathlib import Path

from backbench.runtime.atomic_files import put_in_place, write_text
from backbench.runtime.known_files import known_json


class PartFile:
    """`<name>.part` and the note beside it, kept so that a process may be killed at any point.

    `total` is the size of the whole file, None where the server has not said it. `validator` is the ETag or the date by
    which the server tells one version of the file from another, None where it has none.
    """

    def __init__(self, path: Path, source: str) -> None:
        """Take up what an earlier process left of the same source, or begin anew.

        Args:
            path: Where the whole file will lie.
            source: The address; the part of another one is dropped.
        """
        self.target = path
        self.path = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")
        self._source = source
        note = known_json(self._note)
        self.total: int | None = note.get("total")
        self.validator: str | None = note.get("validator")
        if note.get("source") != source:
            self.drop()

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def is_whole(self) -> bool:
        return self.total is not None and self.num_bytes == self.total

    def begin(self, start: int, total: int | None, validator: str | None) -> None:
        """Keep the first `start` bytes, then note of what: a note must never promise what is not there."""
        with self.path.open("ab") as file:
            file.truncate(start)
        self.total, self.validator = total, validator
        write_text(self._note, json.dumps({"source": self._source, "total": total, "validator": validator}))

    def drop(self) -> None:
        """Forget all that has come."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.total, self.validator = None, None

    def put_in_place(self) -> None:
        """Give the part the name of the whole file, at once."""
        put_in_place(self.path, self.target)
        self._note.unlink(missing_ok=True)

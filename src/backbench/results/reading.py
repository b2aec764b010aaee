"""Records from what files hold: every value of its type, every key there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from backbench.runtime.errors import ArtifactError

Record = TypeVar("Record")


def record_of(kind: type[Record], content: Mapping[str, Any], path: Path, stage: str) -> Record:
    """Read a record, and those within it, from what a file holds; `stage` is what `dvc repro` is to be told.

    Raises:
        ArtifactError: the file is not of this form.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ArtifactError(
            f"{path}: expected the keys of {kind.__name__}, found others ({wrong}); run `dvc repro {stage}`"
        ) from error

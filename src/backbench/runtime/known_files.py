"""Files that may or may not be there, such as the system's and what an earlier process noted."""

import json
from pathlib import Path
from typing import Any


def known_text(path: Path) -> str:
    """Read a text; an empty one where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def known_json(path: Path) -> dict[str, Any]:
    """Read an object of JSON; an empty one where there is none, or none that is whole."""
    try:
        content = json.loads(known_text(path))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}

"""What a cell was computed from, as one short digest: the key of its results."""

import hashlib
import json
from typing import Any


def fingerprint(*parts: Any) -> str:
    """Digest parts into 16 hexadecimal digits.

    Raises:
        TypeError: a part is not of JSON: an array or a path, say, which text would shorten or confuse with a string.
    """
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""What may be said of a web address, and the name of the file that it leads to."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit

SECRETS = re.compile(r"(?<=://)\S+(?=@)|(?<=password=)[^&\s]+|(?<=token=)[^&\s]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Replace user, password and token of every URI in a text by `***`."""
    return SECRETS.sub("***", text)


def public_url(url: str) -> str:
    """Return an address without user, password and query: each may hold a secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(url: str) -> str:
    """Return the last part of an address's path, such as `model.safetensors`; empty where there is none."""
    return PurePosixPath(unquote(urlsplit(url).path)).name

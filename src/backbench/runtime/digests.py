"""Digests as they are pinned, `sha256:…` or `md5:…`, and as people spell them."""

import hashlib
from pathlib import Path

ALGORITHMS = {"sha256": "SHA-256", "md5": "MD5"}


def algorithm_of(digest: str) -> str:
    """Return how people spell the algorithm of a digest: SHA-256."""
    return ALGORITHMS[digest.partition(":")[0]]


def spelled(digest: str) -> str:
    """Spell `sha256:3f0c…` as people do: SHA-256 3f0c…"""
    return f"{algorithm_of(digest)} {digest.partition(':')[2]}"


def digest_like(digest: str, path: Path) -> str:
    """Return a file's digest in the algorithm of another digest, and spelled as it is: `sha256:…`."""
    algorithm = digest.partition(":")[0]
    return f"{algorithm}:{file_digest(path, algorithm)}"


def file_sha256(path: Path) -> str:
    return file_digest(path, "sha256")


def file_digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file's bytes; `algorithm` is `sha256` or `md5`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()

"""What git says of the folder that a process runs in; no library is imported for it."""

import os
import subprocess
from pathlib import Path

PATIENCE_SECONDS = 30
ENGLISH = {"LC_ALL": "C"}


class GitError(Exception):
    """Git has no answer: the message says what was found, `advice` what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


def git(*words: str) -> str:
    """Return what git says.

    Raises:
        GitError: there is no git, no repository, or one that git refuses to read.
    """
    try:
        done = subprocess.run(
            ("git", *words),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            env={**os.environ, **ENGLISH},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise GitError("git does not answer", "install it: runs are named by their commit") from None
    if done.returncode == 0:
        return done.stdout.strip()
    if "dubious ownership" in done.stderr:
        advice = f"runs are named by their commit: run `git config --global --add safe.directory {Path.cwd()}`"
        raise GitError("the repository is another user's, and git does not read it", advice)
    raise GitError("this is no repository, or has no commit", "runs are named by their commit: use a clone")


def commit() -> str | None:
    """Return the commit that this folder is checked out from; None where git does not say, or has another folder."""
    try:
        # The second asks for this folder in that commit: it may lie untracked within a repository of something else.
        return git("rev-parse", "HEAD", "HEAD:./").split()[0]
    except GitError:
        return None

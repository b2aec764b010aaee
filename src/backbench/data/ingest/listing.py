"""List a folder: what is there, what systems left there, and what is never looked at. Nothing is opened.

What DVC does not hash must change no verdict and no byte of the manifest, which is one of its outputs: another clone
does not have it. So there are two kinds of names that are no images of anyone's. What systems write beside any file, as
soon as somebody looks at a folder, is ignored by DVC and passed over here (`PASSED_OVER`, as .dvcignore has it). All
else is hashed, and has a row in the manifest: a row for a folder of litter, not for each of its files.
"""

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

LITTER = "litter"
HIDDEN = "hidden"
SKIPPED = "skipped by skip_folders"

# As .dvcignore has it, and DVC by itself: macOS, Windows, KDE, network file systems, editors, version control.
PASSED_OVER = (
    *(".DS_Store", ".AppleDouble", "._*", ".Spotlight-V100", ".Trashes", ".fseventsd"),
    *("Thumbs.db", "ehthumbs.db", "desktop.ini", ".directory", ".nfs*", ".fuse_hidden*"),
    *(".#*", "*~", ".*.sw?", ".idea", ".vscode", "__pycache__", ".git", ".hg", ".dvc", ".gitignore"),
)
ANY_PASSED_OVER = re.compile("|".join(map(translate, PASSED_OVER)))
# In lower case. Sources: https://github.com/github/gitignore (Global/macOS, Windows, Linux), and what Synology's and
# QNAP's storage, ext4's fsck, chkdsk and NetApp put into a shared folder: thumbnails, trash and old states of images.
LITTER_FOLDERS = {
    *("__macosx", "network trash folder", "temporary items", "$recycle.bin", "system volume information", "found.000"),
    *("lost+found", ".ipynb_checkpoints", ".thumbnails", "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle"),
    *("@recently-snapshot", "@sharebin", ".@__thumb", "~snapshot"),
}
TRASH = ".trash"  # .Trash-1000, .Trash


@dataclass(frozen=True)
class Listing:
    """What stands in a folder, sorted; every path is the names that lead to it from there.

    `folders` are those that may hold images, and `files` what lies in them. `left_out` maps what is not entered, as
    text, with a `/` behind a folder, to the verdict on it. `unreadable` is a line for each folder that cannot be read.
    """

    folders: tuple[tuple[str, ...], ...]
    files: tuple[tuple[str, ...], ...]
    left_out: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


def shown(name: str) -> str:
    """Spell a name as text: bytes of a file name that are no UTF-8 become `\\x..`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _seen(names: Iterable[str]) -> list[str]:
    """Return, sorted, the names that DVC does not ignore."""
    return sorted(name for name in names if not ANY_PASSED_OVER.match(name))


def _verdict_on_folder(path: tuple[str, ...], skip_folders: Collection[str]) -> str:
    """Return why a folder is not entered, else nothing."""
    name = path[-1].lower()
    if "/".join(path) in skip_folders:
        return SKIPPED
    if name in LITTER_FOLDERS or name.startswith(TRASH):
        return LITTER
    return HIDDEN if name.startswith(".") else ""


def list_folder(folder: Path, skip_folders: Collection[str] = ()) -> Listing:
    """List every file below a folder; a linked folder is entered, but never twice.

    Those of `skip_folders` are not, such as `test` or `train/unknown`.
    """
    folders: list[tuple[str, ...]] = []
    files: list[tuple[str, ...]] = []
    left_out: dict[str, str] = {}
    unreadable: list[str] = []
    entered = {os.path.realpath(folder)}

    def refuse(error: OSError) -> None:
        unreadable.append(
            f"{error.filename}: expected a readable folder, found: {error.strerror}; allow reading it, or remove it"
        )

    for parent, inner, names in os.walk(folder, followlinks=True, onerror=refuse):
        above = Path(parent).relative_to(folder).parts
        found, inner[:] = _seen(inner), []
        for path in ((*above, name) for name in found):
            if verdict := _verdict_on_folder(path, skip_folders):
                left_out[f"{shown('/'.join(path))}/"] = verdict
                continue
            folders.append(path)
            real = os.path.realpath(folder.joinpath(*path))
            if real not in entered:
                entered.add(real)
                inner.append(path[-1])
        for path in ((*above, name) for name in _seen(names)):
            if path[-1].startswith("."):
                left_out[shown("/".join(path))] = HIDDEN
            else:
                files.append(path)
    return Listing(tuple(sorted(folders)), tuple(sorted(files)), left_out, tuple(unreadable))

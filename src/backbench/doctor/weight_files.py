"""Whether the weights of every backbone of the benchmark lie here, whole."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from backbench import catalog
from backbench.artifacts import READ_BLOCK_BYTES, file_sha256
from backbench.config import BackboneConfig, WeightsConfig
from backbench.doctor.finding import Finding, Verdict, missing, ready, warning
from backbench.units import size

PUBLISHED = ("imagenet", "published")


def weight_findings(backbones: Sequence[BackboneConfig], weights: WeightsConfig) -> Iterator[Finding]:
    """Yield one finding for all files that are as they should be, and one for each that is not."""
    if weights.name == "random":
        yield ready("weights", f"random, drawn from seed {weights.seed}: no file is needed")
        return
    findings = [(backbone, _finding(backbone, weights)) for backbone in backbones]
    good = [backbone for backbone, finding in findings if finding.verdict is Verdict.READY]
    if good:
        num_bytes = sum(catalog.weights_bytes(backbone) or 0 for backbone in good)
        in_memory = f"; {size(num_bytes)} in float32" if num_bytes else ""
        yield ready("weights", f"{weights.name}: {len(good)} of {len(findings)} files lie here, whole{in_memory}")
    yield from (finding for _, finding in findings if finding.verdict is not Verdict.READY)


def _finding(backbone: BackboneConfig, weights: WeightsConfig) -> Finding:
    if weights.name in PUBLISHED:
        return _published(backbone)
    if weights.name == "formula":
        if backbone.formula is None:
            advice = "name its slim twin, or set `weights:` in conf/benchmark.yaml to another kind"
            return missing("weights", f"no formula weights are shipped for {backbone.name}", advice)
        where = f"conf/backbone/{backbone.name}.yaml"
        return _pinned(Path(backbone.formula.file), f"sha256:{backbone.formula.sha256}", where)
    where = f"conf/weights/{weights.name}.yaml"
    if weights.path is None or backbone.name not in weights.sha256:
        return missing("weights", f"{where} has no path, or no digest of {backbone.name}", f"add them to {where}")
    return _pinned(Path(weights.path.format(backbone=backbone.name)), f"sha256:{weights.sha256[backbone.name]}", where)


def _pinned(file: Path, expected: str, where: str) -> Finding:
    if not file.is_file():
        return missing("weights", f"expected {file}, found nothing there", f"put it there, or correct {where}")
    found = _digest(file, expected)
    if found != expected:
        advice = f"fetch the file again, or pin the new digest in {where} if you trust it"
        return missing("weights", f"{file}: expected {expected}, found {found}", advice)
    return ready("weights", str(file))


def _digest(file: Path, expected: str) -> str:
    """Digest a file by the algorithm that `expected` names, such as `md5:…`."""
    if not expected.startswith("md5:"):
        return f"sha256:{file_sha256(file)}"
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(READ_BLOCK_BYTES):
            digest.update(block)
    return f"md5:{digest.hexdigest()}"


def cached_file(backbone: BackboneConfig) -> Path | None:
    """Return where published weights are kept once they were fetched, or None where their address is not known."""
    if backbone.pretrained is None:
        return None
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    return folder / Path(backbone.pretrained.url).name


def _published(backbone: BackboneConfig) -> Finding:
    if backbone.width != 1.0:
        advice = f"name {backbone.name.removesuffix('_slim')} in conf/benchmark.yaml, or set `weights: formula`"
        return missing("weights", f"no published weights fit {backbone.name}, which is {backbone.width} wide", advice)
    file, published = cached_file(backbone), backbone.pretrained
    if file is None or published is None:
        found = f"{backbone.name}: conf/backbone/{backbone.name}.yaml does not say where they are published"
        return warning("weights", found, "make sure that there is a network when its first stage runs")
    num_bytes = catalog.weights_bytes(backbone)
    about = f"{size(num_bytes)}, {published.licence}" if num_bytes else published.licence
    if not file.is_file():
        found = f"{backbone.name}: not fetched yet ({about}), from {published.url}"
        return warning("weights", found, f"the run fetches it; without a network, put it at {file}")
    if published.digest is not None and _digest(file, published.digest) != published.digest:
        found = f"{backbone.name}: {file} is not {published.digest}"
        return warning("weights", found, "remove it; the run fetches it again")
    return ready("weights", str(file))

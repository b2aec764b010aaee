"""Whether the weights of every backbone of the benchmark lie here, whole: what each stage asks before it loads them."""

from collections.abc import Iterator, Sequence

from backbench import catalog
from backbench.backbones.weight_files import RANDOM, WeightFile, verify, weight_file
from backbench.config import BackboneConfig, WeightsConfig
from backbench.doctor.finding import Finding, Verdict, missing_by, ready
from backbench.errors import WeightsError
from backbench.units import size


def weight_findings(backbones: Sequence[BackboneConfig], weights: WeightsConfig) -> Iterator[Finding]:
    """Yield one finding for all files that are as they should be, and one for each that is not."""
    if weights.name == RANDOM:
        yield ready("weights", f"random, drawn from seed {weights.seed}: no file is needed")
        return
    findings = [(backbone, _finding(backbone, weights)) for backbone in backbones]
    whole = [backbone for backbone, finding in findings if finding.verdict is Verdict.READY]
    if whole:
        num_bytes = sum(catalog.weights_bytes(backbone) or 0 for backbone in whole)
        in_memory = f"; {size(num_bytes)} in float32" if num_bytes else ""
        yield ready("weights", f"{weights.name}: {len(whole)} of {len(findings)} files are the pinned ones{in_memory}")
    yield from (finding for _, finding in findings if finding.verdict is not Verdict.READY)


def _finding(backbone: BackboneConfig, weights: WeightsConfig) -> Finding:
    file = None
    try:
        file = weight_file(backbone, weights)
        if file is not None:
            verify(file)
    except WeightsError as error:
        return missing_by("weights", error, about="" if file is None else _about(file, backbone))
    return ready("weights", backbone.name)


def _about(file: WeightFile, backbone: BackboneConfig) -> str:
    """Say what would have to be fetched: how large it is, and what it may be used for."""
    if file.url is None or file.path.is_file():
        return ""
    num_bytes = catalog.weights_bytes(backbone)
    facts = [*([f"about {size(num_bytes)}"] if num_bytes else []), *([file.licence] if file.licence else [])]
    return f" ({', '.join(facts)})" if facts else ""

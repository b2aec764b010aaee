"""Whether the weights of every backbone of the benchmark lie here, whole."""

from collections.abc import Iterator, Sequence

from backbench.backbones.weight_files import RANDOM, verify, weight_file
from backbench.cli.doctor.finding import Finding, Verdict, missing, missing_by, ready
from backbench.config import catalog
from backbench.config.backbone_config import BackboneConfig, WeightsConfig
from backbench.runtime.errors import WeightsError
from backbench.runtime.units import size
from backbench.runtime.web_address import public_url


def weight_findings(backbones: Sequence[BackboneConfig], weights: WeightsConfig) -> Iterator[Finding]:
    """Yield one finding for all files that are as they should be, and one for each that is not."""
    if weights.name == RANDOM:
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
    try:
        file = weight_file(backbone, weights)
        assert file is not None
        if file.url is not None and not file.path.is_file():
            num_bytes = catalog.weights_bytes(backbone)
            about = ", ".join([*([size(num_bytes)] if num_bytes else []), file.licence or "licence not stated"])
            found = f"{backbone.name}: not fetched yet ({about}), from {public_url(file.url)}"
            return missing("weights", found, f"run `make weights`; without a network, put it at {file.path}")
        verify(file)
    except WeightsError as error:
        return missing_by("weights", error)
    return ready("weights", str(file.path))

"""Which file holds a backbone's weights, where it comes from, and whether it is the pinned one."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backbench.config.backbone_config import BackboneConfig, PackageFile, ShippedWeights, WeightsConfig
from backbench.runtime.digests import digest_like, file_sha256, spelled
from backbench.runtime.errors import WeightsError
from backbench.runtime.web_address import file_name, public_url

FORMULA, IMAGENET, PUBLISHED, FILE, RANDOM = "formula", "imagenet", "published", "file", "random"
KINDS = (FORMULA, IMAGENET, PUBLISHED, FILE, RANDOM)
TRAINED_ON = {FORMULA: "images drawn by program (docs/formula-weights.md)", IMAGENET: "ImageNet-1k"}


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A backbone's weights as a file.

    `digest` is None where nobody pins one; `pinned_in` is the configuration that does, or should. It comes from `url`
    or `package`, or from neither: with the project, or as the user's to put there.
    """

    backbone: str
    path: Path
    digest: str | None
    pinned_in: str
    url: str | None = None
    package: PackageFile | None = None
    licence: str | None = None
    trained_on: str | None = None
    layout: str | None = None

    @property
    def source(self) -> str | None:
        """Where `make weights` gets it from, without secrets; None where it does not."""
        return str(self.package) if self.package else public_url(self.url) if self.url else None


def weight_file(config: BackboneConfig, weights: WeightsConfig) -> WeightFile | None:
    """Return the file of a backbone's weights, which need not be there; None for random weights, which have none.

    Raises:
        WeightsError: there are no such weights of this backbone, or the configuration does not say which.
    """
    if weights.name == RANDOM:
        return None
    if weights.name in (FORMULA, IMAGENET):
        return _shipped_file(config, weights.name)
    of_kind = {PUBLISHED: _published_file, FILE: _own_file}.get(weights.name)
    if of_kind is None:
        raise WeightsError(
            f"expected weights of a name out of {', '.join(KINDS)}, found {weights.name}; correct conf/weights"
        )
    return of_kind(config, weights)


def verify(file: WeightFile) -> None:
    """Compare a file with its pinned digest.

    Raises:
        WeightsError: there is no file, no digest is pinned, or the file has another one.
    """
    if not file.path.is_file():
        what_to_do = "put it there" if file.source is None else "run `make weights`, or put it there"
        raise WeightsError(
            f"expected a weight file at {file.path}, found nothing there; {what_to_do}, or correct {file.pinned_in}"
        )
    if file.digest is None:
        raise WeightsError(unpinned(file, file_sha256(file.path)))
    found = digest_like(file.digest, file.path)
    if found != file.digest:
        raise WeightsError(
            f"{file.path}: expected {spelled(file.digest)}, found {spelled(found)}; delete it and fetch it again, "
            f"or pin the new digest in {file.pinned_in} if you trust it"
        )


def unpinned(file: WeightFile, sha256: str) -> str:
    """Say which digest to pin where, for a file whose publisher pins none."""
    return (
        f"no digest is pinned for {file.backbone} (its publisher gives none); what came has SHA-256 {sha256}; if you "
        f"trust it, write `digest: sha256:{sha256}` in {file.pinned_in} and run `make weights` again, which fetches "
        "nothing twice"
    )


def file_sha256_of(config: BackboneConfig, weights: WeightsConfig) -> str | None:
    """Return the SHA-256 of the file that was verified before; None for random weights, which have none."""
    file = weight_file(config, weights)
    if file is None:
        return None
    algorithm, _, digits = (file.digest or "").partition(":")
    return digits if algorithm == "sha256" else file_sha256(file.path)


def _shipped_file(config: BackboneConfig, kind: str) -> WeightFile:
    source = f"conf/backbone/{config.name}.yaml"
    shipped: ShippedWeights | None = config.formula if kind == FORMULA else config.imagenet
    if shipped is None:
        raise WeightsError(
            f"expected `{kind}` in {source}, found none: no {kind} weights are shipped for {config.name}; "
            "use weights=published, file or random"
        )
    return WeightFile(
        backbone=config.name,
        path=Path(shipped.file),
        digest=f"sha256:{shipped.sha256}",
        pinned_in=source,
        licence=shipped.licence,
        trained_on=TRAINED_ON[kind],
        layout="timm" if kind == IMAGENET else None,
    )


def _published_file(config: BackboneConfig, weights: WeightsConfig) -> WeightFile:
    source = f"conf/backbone/{config.name}.yaml"
    published = config.pretrained
    if published is None or not config.has_own_width:
        raise WeightsError(
            f"expected `pretrained` and no `width` in {source}, found "
            f"{'no `pretrained`' if published is None else f'a width of {config.width}'}: nobody publishes weights of "
            f"{config.name}; use weights=formula, file or random"
        )
    name = PurePosixPath(published.package.file).name if published.package else file_name(published.url or "")
    return WeightFile(
        backbone=config.name,
        path=_filled(weights, backbone=config.name, file=name),
        digest=published.digest,
        pinned_in=source,
        url=published.url,
        package=published.package,
        licence=published.licence,
        trained_on=published.trained_on,
        layout=published.layout,
    )


def _own_file(config: BackboneConfig, weights: WeightsConfig) -> WeightFile:
    source = f"conf/weights/{weights.name}.yaml"
    if weights.path is None or config.name not in weights.sha256:
        raise WeightsError(
            f"expected `path` and `sha256.{config.name}` in {source}, found "
            f"path {weights.path} and digests of {sorted(weights.sha256)}; add them"
        )
    return WeightFile(
        backbone=config.name,
        path=_filled(weights, backbone=config.name),
        digest=f"sha256:{weights.sha256[config.name]}",
        pinned_in=source,
        url=None if weights.url is None else weights.url.replace("{backbone}", config.name),
        licence=weights.licence,
    )


def _filled(weights: WeightsConfig, **names: str) -> Path:
    """Put names into the pattern `path`."""
    try:
        return Path((weights.path or "{}").format(**names)).expanduser()
    except (LookupError, ValueError) as error:
        raise WeightsError(
            f"expected `path` in conf/weights/{weights.name}.yaml, with no names but "
            f"{', '.join(f'{{{name}}}' for name in names)}, found {weights.path}; correct it"
        ) from error

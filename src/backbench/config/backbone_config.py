"""What the configuration says of one backbone and of its weights."""

from dataclasses import field
from typing import Any, Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from backbench.config.value_types import (
    STRICT,
    Count,
    Digest,
    DottedPath,
    Name,
    PackageName,
    PackageVersion,
    PathInPackage,
    Positive,
    Seed,
    Sha256,
    Text,
    together,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ShippedWeights:
    """Weights that come with the project: a file, its SHA-256, and its licence."""

    file: Text
    sha256: Sha256
    licence: Text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PackageFile:
    """A file in a package of the user's own index: a wheel of this version, and the file's path in it."""

    name: PackageName
    version: PackageVersion
    file: PathInPackage

    def __str__(self) -> str:
        return f"package {self.name} {self.version}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedConfig:
    """Published weights: where they lie, what they must be, and what they may be used for.

    They lie at `url` or in `package`. `digest` is `sha256:…` or `md5:…` of the file, as the publisher pins it; null
    where the publisher pins none, of an address alone. `licence` is an SPDX identifier. `layout` says which names the
    file gives its arrays: `timm`, `efficientnet_pytorch`, or Keras's where it is null.
    """

    url: Text | None = None
    package: PackageFile | None = None
    digest: Digest | None = None
    layout: Literal["keras", "timm", "efficientnet_pytorch"] | None = None
    licence: Text
    trained_on: Text

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [name for name in ("url", "package") if getattr(self, name) is not None]
        is_pinned = (self.digest or "").startswith("sha256:")
        together(
            (len(given) != 1, f"url, package: expected one of them, found {' and '.join(given) or 'none'}"),
            (given == ["package"] and not is_pinned, f"digest: expected sha256:… of package.file, found {self.digest}"),
        )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BackboneConfig:
    """A pretrained network without classifier; `width` scales every convolution's filters, null leaves them.

    `weights` names a file of `conf/weights/`, null leaves the choice to the benchmark. `formula` and `imagenet` are
    shipped weights, trained on images drawn by program and on ImageNet.
    `constructor` takes the arguments of `keras.applications`, and `arguments` beside them. `num_parameters` and
    `num_macs` (multiply-accumulates for one image of `input_size_pixels`) are without the classifier.
    """

    name: Name
    family: Text
    constructor: DottedPath
    arguments: dict[str, Any] = field(default_factory=dict)
    preprocessor: DottedPath
    width: Positive | None = None
    input_size_pixels: Count
    min_size_pixels: Count
    feature_dim: Count
    num_parameters: Count | None = None
    num_macs: Count | None = None
    last_stage_boundary: Text
    weights: Name | None = None
    pretrained: PretrainedConfig | None = None
    formula: ShippedWeights | None = None
    imagenet: ShippedWeights | None = None

    @model_validator(mode="after")
    def _takes_its_input(self) -> Self:
        least = f"expected at least min_size_pixels {self.min_size_pixels}"
        found = f"input_size_pixels: {least}, found {self.input_size_pixels}"
        together((self.input_size_pixels < self.min_size_pixels, found))
        return self

    @property
    def has_own_width(self) -> bool:
        """Whether it has the filters that its constructor gives it."""
        return self.width in (None, 1.0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WeightsConfig:
    """Where a backbone's weights come from: formula, imagenet, published, file or random.

    For `published` and `file`: `path` may hold `{backbone}`, and for `published` `{file}`, the name in its address.
    For `file`: `sha256` maps a backbone's name to its digest; `url`, which may hold `{backbone}`, is where
    `make weights` fetches from, and `licence` is recorded. `seed` draws the values of `random`.
    """

    name: Name
    path: Text | None = None
    url: Text | None = None
    licence: Text | None = None
    sha256: dict[Name, Sha256] = field(default_factory=dict)
    seed: Seed

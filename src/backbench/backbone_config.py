"""What the configuration says of one backbone and of its weights."""

from dataclasses import field
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FormulaWeights:
    """Shipped weights, pretrained on images drawn by program: a file, its SHA-256, and the project's own licence."""

    file: str
    sha256: str
    licence: str = "MIT"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedConfig:
    """Published weights: where they lie, what they must be, and what they may be used for.

    `digest` is `sha256:…` or `md5:…`, as the publisher pins it; null where the publisher pins none. `licence` is an
    SPDX identifier. `layout` says which names the file gives its arrays.
    """

    url: str
    digest: str | None = Field(default=None, pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$")
    layout: Literal["keras", "timm"] = "keras"
    licence: str
    trained_on: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BackboneConfig:
    """A pretrained network without classifier; `width` below 1 scales every convolution's filters.

    `constructor` takes the arguments of `keras.applications`, and `arguments` beside them. `num_parameters` and
    `num_macs` (multiply-accumulates for one image of `input_size_pixels`) are without the classifier.
    """

    name: str
    family: str
    constructor: str
    arguments: dict[str, Any] = field(default_factory=dict)
    preprocessor: str
    width: float = 1.0
    input_size_pixels: int
    min_size_pixels: int
    feature_dim: int
    num_parameters: int | None = None
    num_macs: int | None = None
    last_stage_boundary: str
    pretrained: PretrainedConfig | None = None
    formula: FormulaWeights | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WeightsConfig:
    """Where a backbone's weights come from: published, file, random or formula.

    For `published` and `file`: `path` may hold `{backbone}`, and for `published` `{file}`, the name in its address.
    For `file`: `sha256` maps a backbone's name to its digest; `url`, which may hold `{backbone}`, is where
    `make weights` fetches from, and `licence` is recorded. For `random`: `seed` draws the initial values.
    """

    name: str
    path: str | None = None
    url: str | None = None
    licence: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    seed: int = 0

"""What the configuration says of the images: a folder, how it is split, and how far a training view may differ."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from backbench.config.value_types import (
    STRICT,
    Count,
    Float,
    FolderBelow,
    Int,
    Name,
    PartOf,
    Seed,
    Sha256,
    Share,
    Text,
    together,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AugmentationConfig:
    """How much a training view may differ from its image.

    Shifts are shares of the side, `scale` is a relative change, `brightness` and `contrast` are shares.
    """

    shift: Share
    rotate_degrees: Annotated[Float, Field(ge=0, le=180)]
    # A view that shows ten sides of a mirrored image shows nothing; it costs as much memory.
    scale: Annotated[Float, Field(ge=0, le=0.9)]
    horizontal_flip: bool
    brightness: Share
    contrast: Share


NO_AUGMENTATION = AugmentationConfig(
    shift=0.0, rotate_degrees=0.0, scale=0.0, horizontal_flip=False, brightness=0.0, contrast=0.0
)

Resize = Literal["crop", "pad", "squash"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DatasetConfig:
    """A folder of class folders, how its pictures become squares, and how it is split.

    `image_size_pixels` is the side of the stored squares; null is what the largest backbone of the benchmark takes,
    where the photographs have it. `resize` keeps the central square (`crop`), the whole picture on grey (`pad`), or the
    whole picture, both sides scaled apart (`squash`). `depth_bits` is how many bits the values of integer images deeper
    than 8 bits have; null is what the largest value of all of them takes.

    `val_per_class` and `train_per_class` may be null: then `val_fraction` and `test_fraction` decide.
    `layout` says what the top folders are; null finds it out. `skip_folders` are left out, such as `test` or
    `train/unknown`. Classes with fewer usable images than `min_per_class` are left out; null leaves out none.
    `digest` is the pinned SHA-256 of the folder's used content, or null where nothing is pinned.
    """

    name: Name
    path: Text
    layout: Literal["classes", "splits"] | None = None
    skip_folders: list[FolderBelow] | None = None
    min_per_class: Count | None = None
    digest: Sha256 | None = None
    image_size_pixels: Count | None
    resize: Resize
    depth_bits: Annotated[Int, Field(ge=8, le=16)] | None
    min_size_pixels: Count
    max_image_pixels: Count
    train_per_class: Count | None = None
    val_per_class: Count | None = None
    val_fraction: PartOf
    test_fraction: PartOf
    split_seed: Seed
    augmentation: AugmentationConfig

    @property
    def file(self) -> str:
        """The file that a message tells to change."""
        return f"conf/dataset/{self.name}.yaml"

    @model_validator(mode="after")
    def _leaves_images_to_train_on(self) -> Self:
        fractions = self.val_fraction + self.test_fraction
        together(
            (
                fractions >= 1,
                f"val_fraction, test_fraction: expected less than 1 together, the rest trains, found {fractions:g}",
            ),
            (
                self.min_size_pixels**2 > self.max_image_pixels,
                "min_size_pixels, max_image_pixels: expected room for a square of the smallest side, found "
                f"{self.min_size_pixels} and {self.max_image_pixels}",
            ),
        )
        return self

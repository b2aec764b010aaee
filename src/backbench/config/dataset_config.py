"""What the configuration says of the images: a folder, how it is split, and how far a training view may differ."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from backbench.config.value_types import (
    STRICT,
    Count,
    Float,
    FolderBelow,
    Int,
    LabelFiles,
    Name,
    PartOf,
    Pattern,
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
OPTIONAL_KEYS = ("labels", "columns", "group", "float_range", "folds", "near_duplicates")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ColumnsConfig:
    """What the columns of a file of labels are called; null is the usual name, or what the file itself says.

    The usual names are path, label and split, of which only the last may be missing. `path` may name a column that
    holds the images themselves.
    """

    path: Text | None = None
    label: Text | None = None
    split: Text | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GroupConfig:
    """What says which images belong together, and so stand in one split: exactly one of these.

    `column` is one of the file of labels. `folder` counts from `path`: 2 is `p7` in `cat/p7/a.jpg`. `pattern` is a
    regular expression that is searched in the path: what its groups match, or else all that it matches. `alone` says
    that every image stands for itself.
    """

    column: Text | None = None
    folder: Count | None = None
    pattern: Pattern | None = None
    alone: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        named = [name for name, value in vars(self).items() if value is not None]
        found = f"expected one of column, folder, pattern, alone, found {', '.join(named) or 'none'}"
        together((len(named) != 1, found))
        return self

    def __str__(self) -> str:
        (named,) = ((name, value) for name, value in vars(self).items() if value is not None)
        return f"{named[0]} {named[1]}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DatasetConfig:
    """A folder of class folders, or of images with a file of labels, how pictures become squares, and the split.

    `image_size_pixels` is the side of the stored squares; null is what the largest backbone of the benchmark takes,
    where the photographs have it. `resize` keeps the central square (`crop`), the whole picture on grey (`pad`), or the
    whole picture, both sides scaled apart (`squash`). `depth_bits` is how many bits the values of integer images deeper
    than 8 bits have; null is what the largest value of all of them takes. `float_range` is which of the values of
    floating-point images become black and white; null is 0 and 1.

    `val_per_class` and `train_per_class` may be null: then `val_fraction` and `test_fraction` decide. Where there are
    `folds`, these decide nothing: each fold is test once, the next one val, and the others train.
    `labels` is a file of labels in `path`, or several by `*`; null takes the class folders. `group` says which images
    stand in one split together; null is a column `group` of the file of labels, else no group at all.
    `near_duplicates` keeps resized, compressed or slightly cropped copies `together` in one split; null looks for none.
    `layout` says what the top folders are; null finds it out. `skip_folders` are left out, such as `test` or
    `train/unknown`. Classes with fewer usable images than `min_per_class` are left out; null leaves out none.
    `digest` is the pinned SHA-256 of the folder's used content, or null where nothing is pinned.
    """

    name: Name
    path: Text
    labels: LabelFiles | None = None
    columns: ColumnsConfig | None = None
    group: GroupConfig | None = None
    near_duplicates: Literal["together"] | None = None
    layout: Literal["classes", "splits"] | None = None
    skip_folders: list[FolderBelow] | None = None
    min_per_class: Count | None = None
    digest: Sha256 | None = None
    image_size_pixels: Count | None
    resize: Resize
    depth_bits: Annotated[Int, Field(ge=8, le=16)] | None
    float_range: tuple[Float, Float] | None = None
    min_size_pixels: Count
    max_image_pixels: Count
    train_per_class: Count | None = None
    val_per_class: Count | None = None
    val_fraction: PartOf
    test_fraction: PartOf
    folds: Annotated[Int, Field(ge=3)] | None = None
    split_seed: Seed
    augmentation: AugmentationConfig

    @property
    def file(self) -> str:
        """The file that a message tells to change."""
        return f"conf/dataset/{self.name}.yaml"

    @property
    def counts_per_class(self) -> dict[str, int]:
        """How many images of a class train and val have, by key, where that is said."""
        asked = {"train_per_class": self.train_per_class, "val_per_class": self.val_per_class}
        return {key: number for key, number in asked.items() if number is not None}

    @property
    def optional_keys(self) -> dict[str, Any]:
        """What only some data sets say, as JSON has it: of labels, of what belongs together, of floats and of folds."""
        said = {name: value for name, value in asdict(self).items() if name in OPTIONAL_KEYS and value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}

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
            (
                self.float_range is not None and self.float_range[0] >= self.float_range[1],
                f"float_range: expected two values of which the second is larger, found {self.float_range}",
            ),
            (
                self.folds is not None and any(self.counts_per_class.values()),
                f"folds, {', '.join(self.counts_per_class)}: expected no number per class where every image is trained "
                f"on, found {self.folds} folds",
            ),
            (
                self.labels is not None and self.layout is not None,
                f"labels, layout: expected one of them, found {self.labels} and {self.layout}",
            ),
            (
                self.labels is None and self.columns is not None,
                "labels, columns: expected a file of labels where its columns are named, found none",
            ),
            (
                self.labels is None and self.group is not None and self.group.column is not None,
                "labels, group.column: expected a file of labels that has the column, found none",
            ),
        )
        return self

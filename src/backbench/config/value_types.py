"""What a single value of a configuration may be: its form, and its range.

What only memory, disk or time bounds has no upper end here: that is a matter of the machine.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
COMBINATION = "combination"  # the type of an error of several keys, whose message names them
LARGEST_SEED = 2**31 - 1  # NumPy and Keras take one bit more; predictions are recorded with an int32
SMALLEST, LARGEST = 1e-37, 1e38  # within what float32 holds as normal numbers
Item = TypeVar("Item", bound=Hashable)


def refusal(expected: str, kind: str = "value") -> PydanticCustomError:
    """Return an error that `to_typed` tells, by what was expected; braces are spelled as they are."""
    return PydanticCustomError(kind, "{expected}", {"expected": f"expected {expected}"})


def together(*problems: tuple[bool, str]) -> None:
    """Refuse what only several keys together say, all at once.

    A problem is whether it is there, and the line that names its keys.
    """
    found = [line for is_there, line in problems if is_there]
    if found:
        raise PydanticCustomError(COMBINATION, "{found}", {"found": "; ".join(found)})


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise refusal("a number")
    return value


def _matching(pattern: str, expected: str) -> AfterValidator:
    def checked(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise refusal(expected)
        return value

    return AfterValidator(checked)


def _each_once(values: list[Item]) -> list[Item]:
    if not values:
        raise refusal("at least one")
    if len(set(values)) < len(values):
        raise refusal("each once")
    return values


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise refusal(f"a regular expression ({error})") from error
    return value


def _in_float32(value: float) -> float:
    if value and not SMALLEST <= value <= LARGEST:
        raise refusal(f"what float32 holds, {SMALLEST:g} to {LARGEST:g}")
    return value


Int = Annotated[int, BeforeValidator(_no_switch)]
Float = Annotated[float, BeforeValidator(_no_switch)]

Count = Annotated[Int, Field(ge=1)]
CountOrNone = Annotated[Int, Field(ge=0)]
Seed = Annotated[Int, Field(ge=0, le=LARGEST_SEED)]
Positive = Annotated[Float, Field(gt=0)]
NotNegative = Annotated[Float, Field(ge=0)]
Share = Annotated[Float, Field(ge=0, le=1)]
PartOf = Annotated[Float, Field(gt=0, lt=1)]
LearningRate = Annotated[Float, Field(gt=0), AfterValidator(_in_float32)]
WeightDecay = Annotated[Float, Field(ge=0), AfterValidator(_in_float32)]

Text = Annotated[str, _matching(r"(?s).*\S.*", "some text")]
FolderBelow = Annotated[
    str,
    _matching(
        r"(?!\.{1,2}(/|$))[^/]+(/(?!\.{1,2}(/|$))[^/]+)*", "a folder as seen from `path`, such as test or train/unknown"
    ),
]
LabelFiles = Annotated[
    str,
    _matching(
        r"(?!\.{1,2}/)[^/]+(/(?!\.{1,2}/)[^/]+)*\.(csv|parquet)",
        "a .csv or .parquet file as seen from `path`, such as labels.csv or data/*.parquet",
    ),
]
Pattern = Annotated[str, _matching(r"(?s).+", "a regular expression"), AfterValidator(_compiles)]
# It becomes a part of a path: nothing in it leads elsewhere.
NAME_PATTERN = r"\w[\w.+-]*"
NAME_FORM = "a name of letters, digits, _, -, + and ., a letter or digit first"
Name = Annotated[str, _matching(NAME_PATTERN, NAME_FORM)]
# Given to pip as an argument, and a digit or letter first is no option of its.
PackageName = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a package")]
PackageVersion = Annotated[str, _matching(r"\d[\w.+!-]*", "the version of a package, in quotes where it has one point")]
PathInPackage = Annotated[
    str, _matching(r"(?!\.{1,2}(/|$))[^/]+(/(?!\.{1,2}(/|$))[^/]+)*", "the path of a file in the package")
]
Sha256 = Annotated[str, _matching(r"[0-9a-f]{64}", "64 hexadecimal digits in lower case")]
Digest = Annotated[
    str, _matching(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", "sha256:… or md5:…, hexadecimal digits in lower case")
]
DottedPath = Annotated[str, _matching(r"[^\W\d]\w*(\.[^\W\d]\w*)+", "the dotted path of a function")]

EachOnce = AfterValidator(_each_once)
ONE, SEVERAL = Tag("one"), Tag("several")
# So that an error is told of the one that was meant, not of both.
ONE_OR_SEVERAL = Discriminator(lambda value: "several" if isinstance(value, list) else "one")


def spelled(key: Sequence[str | int], content: Any) -> str:
    """Spell the place of a value such as `learning_rate.low`; what a type adds to its place is left out."""
    words: list[str] = []
    for part in key:
        if part in content if isinstance(content, Mapping) else isinstance(content, list) and type(part) is int:
            content = content[part]
            words.append(str(part))
    return ".".join(words)

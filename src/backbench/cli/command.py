"""The command line: `backbench backbones`, `backbench doctor`; a user's mistakes are a line each and exit code 2."""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from backbench.config import catalog
from backbench.config.backbone_config import BackboneConfig
from backbench.config.catalog import Filter, SortKey, WeightsKind
from backbench.runtime.console import print_table
from backbench.runtime.errors import BackbenchError, ConfigError, tell
from backbench.runtime.installation import CHECKOUT, require_own_code
from backbench.runtime.units import UNKNOWN, count_of, short_count

HEADINGS = ("backbone", "family", "params", "MACs", "input", "MB", "weights", "licence")
NUMBERS = ("params", "MACs", "input", "MB")
MEGABYTE = 10**6
# Every mistake in options and arguments; typer has no public name for it.
UsageError: type[Exception] = typer.BadParameter.__base__ or Exception

app = typer.Typer(
    help="Which pretrained image backbone, adapted how, for these images? `make repro` runs the benchmark.",
    pretty_exceptions_enable=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command in the project of the working directory, or in the one that this package is installed from.

    Returns:
        The exit code: 2 where the user has something to do, which a line on stderr says of each mistake.
    """
    if not catalog.FOLDER.is_dir():
        os.chdir(CHECKOUT)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        require_own_code(Path())
        code = app(args=given or ["--help"], prog_name="backbench", standalone_mode=False)
    except (BackbenchError, UsageError) as error:
        # A usage error spells its message, with the option's name, in a method.
        spelled = getattr(error, "format_message", error.__str__)
        tell(*(error.lines if isinstance(error, BackbenchError) else [spelled()]))
        return 2
    return int(code or 0)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"backbench {importlib.metadata.version('backbench')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    # Its docstring would be shown instead of the help above.
    del version


def _completing(known: Callable[[], Sequence[str]]) -> Callable[[str], list[str]]:
    """Return what completes a word from what the catalogue holds; a broken catalogue completes nothing."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in known() if name.startswith(incomplete)]
        except BackbenchError:
            return []

    return complete


def _families() -> list[str]:
    return sorted({backbone.family for backbone in catalog.read_catalog()})


def _licences() -> list[str]:
    return sorted({licence for backbone in catalog.read_catalog() for licence in catalog.licences(backbone)})


Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        autocompletion=_completing(catalog.names),
        help="A part of the name, or a pattern such as 'resnet*'.",
        show_default=False,
    ),
]
Families = Annotated[
    list[str] | None,
    typer.Option("--family", autocompletion=_completing(_families), help="May be given several times."),
]
Limit = Annotated[str | None, typer.Option(metavar="COUNT", help="Such as 10M or 1.5G.", show_default=False)]
Pixels = Annotated[str | None, typer.Option(metavar="PIXELS", help="The side of the images, such as 224.")]
Weights = Annotated[WeightsKind | None, typer.Option(help="Pretrained weights there must be.", show_default=False)]
Licence = Annotated[
    str | None, typer.Option(autocompletion=_completing(_licences), help="Of the weights.", show_default=False)
]
Sort = Annotated[SortKey, typer.Option(help="The smallest first.")]


@app.command()
def backbones(
    name: Name = None,
    family: Families = None,
    max_parameters: Limit = None,
    max_macs: Limit = None,
    max_input: Pixels = None,
    weights: Weights = None,
    licence: Licence = None,
    sort: Sort = SortKey.PARAMETERS,
    json: Annotated[bool, typer.Option("--json", help="For machines, with exact counts.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="For tables, with exact counts.")] = False,
) -> None:
    """List the catalogue: what conf/benchmark.yaml may name. Sizes are without the classifier."""
    if json and csv:
        raise ConfigError("expected one of --json and --csv, found both; leave one out")
    filters: list[Filter] = [
        *([catalog.named(name)] if name is not None else []),
        *([catalog.of_families(family)] if family else []),
        *([catalog.with_weights(weights)] if weights is not None else []),
        *([catalog.with_licence(licence)] if licence is not None else []),
        *_limit(SortKey.PARAMETERS, max_parameters, "--max-parameters"),
        *_limit(SortKey.MACS, max_macs, "--max-macs"),
        *_limit(SortKey.INPUT, max_input, "--max-input"),
    ]
    found = catalog.ordered(catalog.chosen(catalog.read_catalog(), filters), sort)
    if json:
        print(dumps([_values(backbone) for backbone in found], indent=2, ensure_ascii=False))
    elif csv:
        print(_as_csv([_values(backbone) for backbone in found]))
    else:
        print_table(HEADINGS, [_cells(backbone) for backbone in found], Console(), numbers=NUMBERS)


def _limit(measure: SortKey, text: str | None, option: str) -> list[Filter]:
    return [] if text is None else [catalog.at_most(measure, count_of(text, where=option))]


def _cells(backbone: BackboneConfig) -> tuple[str, ...]:
    """Spell a line of the table; MB is the size of float32 weights."""
    num_bytes = catalog.weights_bytes(backbone)
    return (
        backbone.name,
        backbone.family,
        short_count(backbone.num_parameters),
        short_count(backbone.num_macs),
        str(backbone.input_size_pixels),
        UNKNOWN if num_bytes is None else f"{num_bytes / MEGABYTE:.1f}",
        ", ".join(catalog.weights_kinds(backbone)),
        ", ".join(catalog.licences(backbone)) or UNKNOWN,
    )


def _values(backbone: BackboneConfig) -> dict[str, Any]:
    """Return what is known of a backbone for machines; None where it is not."""
    return {
        "name": backbone.name,
        "family": backbone.family,
        "num_parameters": backbone.num_parameters,
        "num_macs": backbone.num_macs,
        "input_size_pixels": backbone.input_size_pixels,
        "feature_dim": backbone.feature_dim,
        "weights_bytes": catalog.weights_bytes(backbone),
        "weights": [str(kind) for kind in catalog.weights_kinds(backbone)],
        "licences": list(catalog.licences(backbone)),
    }


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Spell rows as CSV with a header; what is not known is empty, lists are parted by spaces."""
    from backbench.data.arrays.file_formats import csv_text

    for row in rows:
        row |= {key: " ".join(value) for key, value in row.items() if isinstance(value, list)}
    return csv_text(rows, tuple(rows[0])).rstrip("\n")


@app.command()
def doctor(
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Cells side by side; what `make repro` does unless said.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For machines; bytes and seconds.")] = False,
) -> None:
    """Say what is ready for conf/benchmark.yaml, and what a run would cost. Exit code 2 where something is missing."""
    from backbench.cli.doctor.examination import examine, print_examination

    examination = examine(jobs)
    if json:
        print(dumps(examination.as_json(), indent=2, ensure_ascii=False))
    else:
        print_examination(examination, Console())
    raise typer.Exit(0 if examination.is_ready else 2)


if __name__ == "__main__":
    sys.exit(main())

"""Write the table of docs/backbones.md from what `make test-all` found.

python -m tests.support.contract_table work/contract.xml docs/backbones.md

Of several reports, a later one overrules an earlier one.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from backbench.config.backbone_config import BackboneConfig
from backbench.runtime.atomic_files import write_text
from tests.support.configs import PROJECT, backbone_config

BEGIN, END = "<!-- contract: begin -->", "<!-- contract: end -->"
CONTRACT, BACKENDS = "tests.backbones.test_backbone_contract", "tests.pipelines.test_backends"
# A column each: its heading, and the test that fills it.
CHECKS = {
    "features": "test_images_become_features_of_the_declared_size",
    "scaling": "test_images_are_scaled_as_the_family_asks",
    "cut": "test_it_recomposes_wherever_it_is_cut",
    "step": "test_a_training_step_moves_the_suffix_and_nothing_else",
    "reload": "test_saved_weights_give_equal_features_in_another_model",
    "costs": "test_costs_are_those_of_the_catalogue_and_those_published",
}
OTHER_BACKENDS = ("jax", "torch")
ABSENT = "–"

Results = dict[str, dict[str, str]]


def read_results(reports: Iterable[Path]) -> Results:
    """Map each backbone to what stands in its columns, out of reports that pytest wrote."""
    results: Results = defaultdict(dict)
    for case in (case for report in reports for case in ElementTree.parse(report).iter("testcase")):
        properties = {item.get("name", ""): item.get("value", "") for item in case.iter("property")}
        if case.get("classname") == CONTRACT and "[" in case.get("name", ""):
            test, _, name = case.get("name", "").rstrip("]").partition("[")
            for column, filled_by in CHECKS.items():
                if test == filled_by:
                    results[name][column] = _outcome(case, properties)
        elif case.get("classname") == BACKENDS:
            for what, error in properties.items():
                name, _, backend = what.partition(" on ")
                results[name][backend] = f"{float(error):.0e}"
    return results


def _outcome(case: ElementTree.Element, properties: dict[str, str]) -> str:
    if any(case.find(kind) is not None for kind in ("failure", "error")):
        return "**no**"
    if case.find("skipped") is not None:
        return ABSENT
    return f"{float(properties['error']):.0e} at {properties['places']}" if "error" in properties else "yes"


def table(results: Results) -> str:
    """Return the table in Markdown, a row per backbone of the catalogue."""
    columns = [*CHECKS, *OTHER_BACKENDS]
    lines = [
        "| backbone | parameters | MACs | input | features |" + "".join(f" {column} |" for column in columns),
        "|---|---|---|---|---|" + "---|" * len(columns),
    ]
    for path in sorted((PROJECT / "conf/backbone").glob("*.yaml")):
        found = results.get(path.stem, {})
        cells = [*_declared(backbone_config(path.stem)), *(found.get(column, ABSENT) for column in columns)]
        lines.append(f"| {path.stem} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _declared(config: BackboneConfig) -> list[str]:
    parameters, macs = (config.num_parameters or 0) / 1e6, (config.num_macs or 0) / 1e9
    return [f"{parameters:.2f} M", f"{macs:.3g} G", str(config.input_size_pixels), str(config.feature_dim)]


def with_table(page: str, results: Results) -> str:
    """Put the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}"


def main() -> None:
    *reports, page = (Path(argument) for argument in sys.argv[1:])
    write_text(page, with_table(page.read_text(encoding="utf-8"), read_results(reports)))


if __name__ == "__main__":
    main()

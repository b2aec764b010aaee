"""Write the table of docs/reliability.md from what the tests of faults tried.

python -m tests.faults.table work/faults/*.xml docs/reliability.md

The reports are pytest's; the long scripts of this folder write theirs with `--report`. Of several tries at one fault
in one way, times are added and losses joined.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from backbench.runtime.atomic_files import write_text

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
PROPERTY = "fault"
HEADING = "| fault | how it was tried | times | lost |\n|---|---|---|---|"


@dataclass(frozen=True)
class Fault:
    """What was broken, how, how often, and what differed afterwards from an undisturbed run."""

    fault: str
    how: str
    times: int
    lost: tuple[str, ...]

    def and_also(self, other: "Fault") -> "Fault":
        return Fault(self.fault, self.how, self.times + other.times, tuple(sorted({*self.lost, *other.lost})))


def read_faults(reports: Iterable[Path]) -> list[Fault]:
    """Return what reports say was tried, in their order, each fault and way once."""
    found: dict[tuple[str, str], Fault] = {}
    for report in reports:
        for item in ElementTree.parse(report).iter("property"):
            if item.get("name") == PROPERTY:
                fault = _fault(json.loads(item.get("value", "")))
                earlier = found.get((fault.fault, fault.how))
                found[fault.fault, fault.how] = fault if earlier is None else earlier.and_also(fault)
    return sorted(found.values(), key=lambda fault: (fault.fault, fault.how))


def _fault(content: Mapping[str, Any]) -> Fault:
    return Fault(content["fault"], content["how"], content["times"], tuple(content["lost"]))


def write_report(report: Path, name: str, *, fault: str, how: str, times: int, lost: Iterable[str]) -> None:
    """Write what a script tried as pytest would."""
    value = json.dumps({"fault": fault, "how": how, "times": times, "lost": sorted(lost)})
    suite = ElementTree.Element("testsuite", name=name)
    case = ElementTree.SubElement(suite, "testcase", name=name)
    properties = ElementTree.SubElement(case, "properties")
    ElementTree.SubElement(properties, "property", name=PROPERTY, value=value)
    write_text(report, ElementTree.tostring(suite, encoding="unicode"))


def table(faults: Iterable[Fault]) -> str:
    """Return the table in Markdown."""
    rows = [(fault.fault, fault.how, str(fault.times), ", ".join(fault.lost) or "nothing") for fault in faults]
    lines = [" | ".join(text.replace("|", "\\|") for text in row) for row in rows]
    return "\n".join([HEADING, *(f"| {line} |" for line in lines)])


def with_table(page: str, faults: Iterable[Fault]) -> str:
    """Put the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(faults)}\n\n{END}{after}"


def main() -> None:
    *reports, page = (Path(argument) for argument in sys.argv[1:])
    write_text(page, with_table(page.read_text(encoding="utf-8"), read_faults(reports)))


if __name__ == "__main__":
    main()

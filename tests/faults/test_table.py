"""The table says what the tests of faults found, and nothing else."""

from pathlib import Path

from tests.faults.table import BEGIN, END, read_faults, with_table, write_report


def test_tries_are_added_up_and_what_was_lost_is_named(tmp_path: Path) -> None:
    write_report(tmp_path / "a.xml", "a", fault="disk full", how="under train", times=2, lost=[])
    write_report(tmp_path / "b.xml", "b", fault="disk full", how="under train", times=3, lost=["best.yaml"])
    write_report(tmp_path / "c.xml", "c", fault="a kill", how="of | make", times=1, lost=[])
    page = with_table(f"before\n\n{BEGIN}\nold\n{END}\nafter\n", read_faults(sorted(tmp_path.glob("*.xml"))))
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert [line for line in page.splitlines() if line.startswith("| ")][1:] == [
        "| a kill | of \\| make | 1 | nothing |",
        "| disk full | under train | 5 | best.yaml |",
    ]
    assert with_table(page, read_faults(sorted(tmp_path.glob("*.xml")))) == page

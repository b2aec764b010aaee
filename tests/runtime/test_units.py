import pytest

from backbench.runtime.errors import ConfigError
from backbench.runtime.units import count_of, duration, short_count, size


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("224", 224),
        ("10M", 10_000_000),
        ("10 m", 10_000_000),
        ("1.5G", 1_500_000_000),
        (".5k", 500),
        ("1_000", 1000),
        ("1,000", 1000),
        ("1B", 1_000_000_000),
        ("0", 0),
    ],
)
def test_counts_are_read_as_people_write_them(text: str, count: int) -> None:
    assert count_of(text, where="--max-macs") == count


@pytest.mark.parametrize("text", ["", "ten", "-1", "10MM", "M", "1.2.3", "1e6", "nan"])
def test_what_is_no_count_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="^--max-macs: expected a count such as 224, 10M or 1.5G, found"):
        count_of(text, where="--max-macs")


@pytest.mark.parametrize(
    ("count", "spelled"),
    [(0, "0"), (224, "224"), (23_587_712, "23.6M"), (3_857_973_248, "3.86G"), (10_000_000, "10M"), (None, "–")],
)
def test_counts_are_short(count: int | None, spelled: str) -> None:
    assert short_count(count) == spelled


def test_sizes_are_in_units_of_1000() -> None:
    assert [size(n) for n in (999, 94_350_848, 2 * 10**9)] == ["999 B", "94.4 MB", "2 GB"]


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (215, "3 min 35 s"),
        (7800, "2 h 10 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_have_two_units(seconds: float, spelled: str) -> None:
    assert duration(seconds) == spelled

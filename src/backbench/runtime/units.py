"""Counts, bytes and seconds as people write them: `10M`, `1.5 GB`, `3 min 35 s`."""

import re

from backbench.runtime.errors import ConfigError

FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
COUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgbt]?)", re.IGNORECASE)
PREFIXES = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
MINUTE, HOUR, DAY = 60, 3600, 86400
UNKNOWN = "–"


def count_of(text: str, *, where: str) -> int:
    """Read a count such as `10M`, `1.5G`, `500k` or `224`; capitals do not matter, `_` and `,` may part digits.

    Raises:
        ConfigError: the text is no count.
    """
    found = COUNT.fullmatch(text.strip().replace("_", "").replace(",", ""))
    if found is None:
        raise ConfigError(f"{where}: expected a count such as 224, 10M or 1.5G, found {text!r}; correct it")
    return round(float(found[1]) * FACTORS[found[2].lower()])


def short_count(count: float | None) -> str:
    """Spell a count with three digits and its unit: `23.6M`; a dash where it is not known."""
    return UNKNOWN if count is None else "".join(_in_thousands(count))


def size(num_bytes: float) -> str:
    """Spell a number of bytes in units of 1000: `94.2 MB`."""
    return " ".join(_in_thousands(num_bytes)) + "B"


def _in_thousands(number: float) -> tuple[str, str]:
    """Return three digits of a number, and the letter of the unit that they count: 94.2 and M."""
    factor, prefix = next(((factor, prefix) for factor, prefix in PREFIXES if number >= factor), (1, ""))
    value = number / factor
    if value >= 100 or value == int(value):
        return f"{value:.0f}", prefix
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}", prefix


def duration(seconds: float) -> str:
    """Spell seconds in the two largest units that they have: `12 s`, `3 min 35 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"

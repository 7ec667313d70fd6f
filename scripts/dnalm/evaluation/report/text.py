"""Numbers and settings as text."""

from typing import Any

import yaml

MISSING = "–"


def decimal(value: float | None, places: int = 3) -> str:
    """A number with fixed decimals and a true minus sign (`-0.000` is `0.000`); a dash for None."""
    return MISSING if value is None else f"{round(value, places) + 0.0:,.{places}f}".replace("-", "−")


def signed(value: float, places: int = 3) -> str:
    """Like `decimal`, with a plus sign for positive numbers."""
    text = decimal(value, places)
    return f"+{text}" if round(value, places) > 0 else text


def between(low: float, high: float, places: int = 3) -> str:
    """Two bounds as a range: `0.1–0.2`, or `−0.1 to 0.2` with a minus sign."""
    return (" to " if low < 0 else "–").join((decimal(low, places), decimal(high, places)))


def significant(value: float) -> str:
    """A number with four significant digits and a true minus: `0.01234`, `12.30`, `12,350`; integers as they are."""
    rounded = float(f"{value:.4g}") + 0.0
    whole = abs(rounded) < 1e7 and (abs(rounded) >= 1e3 or value == int(value))
    return (f"{rounded:,.0f}" if whole else f"{rounded:#.4g}").replace("-", "−")


def spanned(low: float, high: float) -> str:
    """Two bounds of any size as a range, as `between` writes one."""
    return (" to " if low < 0 else "–").join((significant(low), significant(high)))


def chance(p: float) -> str:
    """A p value as `p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {decimal(p)}"


def p_value(p: float | None) -> str:
    """A p value without its name, for a column; a dash for None."""
    return MISSING if p is None else chance(p).removeprefix("p").removeprefix(" = ").strip()


def per_cent(fraction: float) -> str:
    """A fraction in per cent with up to four significant digits: `95 %`, `0.1 %`."""
    return f"{100 * fraction:.4g} %"


def duration(seconds: float) -> str:
    """`3.2 s`, `2 min 5 s`, `3 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def energy(joules: float | None) -> str:
    """`12 Wh`, `3.4 kWh`; a dash for None."""
    if joules is None:
        return MISSING
    hours = joules / 3600
    return f"{hours:.3g} Wh" if hours < 1000 else f"{hours / 1000:.3g} kWh"


def count(value: int | None) -> str:
    """A whole number with thousands separators; a dash for None."""
    return MISSING if value is None else f"{value:,}"


def percent(part: float, whole: float) -> str:
    """A share in per cent with one decimal; a dash if the whole is 0."""
    return f"{100 * part / whole:.1f} %" if whole else MISSING


def plural(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


class _Dumper(yaml.CSafeDumper):
    """YAML in blocks, lists of plain values on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write no anchors: a value that occurs twice is written in full."""
        return True


_Dumper.add_representer(
    list,
    lambda dumper, items: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=not any(isinstance(item, dict | list) for item in items)
    ),
)


def as_yaml(value: dict[str, Any]) -> str:
    """JSON-like data as YAML text: nested mappings in blocks, lists of plain values on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30).removesuffix("\n")

"""Numbers and settings as text."""

import json
import re
from typing import Any

MISSING = "–"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _./@:+-]*[A-Za-z0-9_./@+-]|[A-Za-z]")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def decimal(value: float | None, places: int = 3) -> str:
    """A number with a fixed number of decimals and a true minus sign (`-0.000` is `0.000`); a dash for None."""
    return MISSING if value is None else f"{round(value, places) + 0.0:,.{places}f}".replace("-", "−")


def signed(value: float, places: int = 3) -> str:
    """Like `decimal`, with a plus sign before what is above 0."""
    text = decimal(value, places)
    return f"+{text}" if round(value, places) > 0 else text


def between(low: float, high: float, places: int = 3) -> str:
    """Two bounds as a range: `0.1–0.2`, and `−0.1 to 0.2` where a minus sign stands beside."""
    return (" to " if low < 0 else "–").join((decimal(low, places), decimal(high, places)))


def significant(value: float) -> str:
    """A number of any size with four significant digits and a true minus: `0.01234`, `12.30`, `12,350`; `12` as it is."""
    rounded = float(f"{value:.4g}") + 0.0
    whole = abs(rounded) < 1e7 and (abs(rounded) >= 1e3 or value == int(value))
    return (f"{rounded:,.0f}" if whole else f"{rounded:#.4g}").replace("-", "−")


def spanned(low: float, high: float) -> str:
    """Two bounds of any size as a range, as `between` writes one."""
    return (" to " if low < 0 else "–").join((significant(low), significant(high)))


def chance(p: float) -> str:
    """A p value as `p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {decimal(p)}"


def per_cent(fraction: float) -> str:
    """A fraction in per cent, without decimals that say nothing: `95 %`, `0.1 %`."""
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
    """A share in per cent with one decimal; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else MISSING


def plural(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def as_yaml(value: Any, indent: int = 0) -> str:
    """JSON-like data as YAML text: nested mappings in blocks, lists of plain values on one line."""
    lines = []
    pad = "  " * indent
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines += [f"{pad}{_scalar(key)}:", as_yaml(item, indent + 1)]
        elif isinstance(item, list) and any(isinstance(element, dict | list) for element in item):
            lines += [f"{pad}{_scalar(key)}:", *(f"{pad}- {_flow(element)}" for element in item)]
        else:
            lines.append(f"{pad}{_scalar(key)}: {_flow(item)}")
    return "\n".join(lines)


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """A string as it is where YAML reads it back as that string, else as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS and ": " not in value:
        return value
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e", 1)  # YAML 1.1 reads 1e-06 as a string
    return text

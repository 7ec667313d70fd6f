"""Whether numbers computed in two ways agree, relative to their size.

Floating point differs in its last bits between CPUs, so an absolute tolerance that holds on one machine fails on
another as soon as the numbers are large.
"""

import math
from collections.abc import Mapping

import numpy as np


class Agreement:
    """The outcome of a comparison: true or false, and shown by pytest with the sizes of what was compared."""

    def __init__(self, difference, scale, parts, where=""):
        self.difference, self.scale, self.parts, self.where = difference, scale, parts, where

    def __bool__(self):
        # written so that a NaN is never close
        return bool(self.difference <= self.parts * self.scale)

    def __repr__(self):
        found = self.difference / self.scale if self.scale else math.inf if self.difference else 0.0
        at = f" at {self.where}" if self.where else ""
        return f"<a difference{at} of {found:.3g} parts of {self.scale:.3g}; {self.parts:.3g} allowed>"


def close(found, expected, parts=1e-5, scale=None):
    """Whether the largest absolute difference is at most `parts` of the largest absolute value expected.

    Takes numbers, arrays, tensors (on any device), and sequences and mappings of them; each member of a mapping, and
    each tensor of a sequence of tensors, is judged by its own size. `scale` replaces that size where the expected
    value says nothing of it: sums that cancel to nearly zero, or metrics between -1 and 1.
    """
    pairs = [*_pairs(found, expected, "")]
    outcomes = [_compare(*pair, parts, scale) for pair in pairs]
    failed = [outcome for outcome in outcomes if not outcome]
    return (failed or outcomes or [Agreement(0.0, 0.0, parts)])[0]


def size(values):
    """The largest absolute value in a structure: the scale for its members where some cancel to nearly nothing."""
    return max(float(np.abs(_array(value)).max(initial=0.0)) for _, value, _ in _pairs(values, values, ""))


def _pairs(found, expected, where):
    """Every pair of plain numbers or arrays in two structures of the same shape."""
    if isinstance(expected, Mapping):
        assert set(found) == set(expected), f"{where or 'keys'}: {sorted(map(str, set(found) ^ set(expected)))}"
        for key, value in expected.items():
            yield from _pairs(found[key], value, f"{where}[{key!r}]")
    elif isinstance(expected, list | tuple) and not all(isinstance(one, int | float) for one in expected):
        assert len(found) == len(expected), f"{where or 'lengths'}: {len(found)} and {len(expected)}"
        for place, pair in enumerate(zip(found, expected, strict=True)):
            yield from _pairs(*pair, f"{where}[{place}]")
    else:
        yield found, expected, where


def _compare(found, expected, where, parts, scale):
    found, expected = _array(found), _array(expected)
    assert found.shape == expected.shape, f"{where or 'shapes'}: {found.shape} and {expected.shape}"
    if not expected.size:
        return Agreement(0.0, 0.0, parts, where)
    size = np.abs(expected[np.isfinite(expected)]).max(initial=0.0) if scale is None else scale
    with np.errstate(invalid="ignore"):  # equal infinities differ by nothing, NaN from everything
        differences = np.where(found == expected, 0.0, np.abs(found - expected))
    return Agreement(float(differences.max()), float(size), parts, where)


def _array(value):
    """As float64 on the CPU."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=np.float64)

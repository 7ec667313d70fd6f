"""How generated sequences differ from those that a model was trained on, with real held-out sequences beside them.

Every figure is given for the generated sequences and, if there are held-out ones, for a sample of these with as many
bases: a divergence between samples is above 0 even if both are drawn from one source, and more so from few bases.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.copies import longest_copies
from dnalm.sequence.kmers import encode, gc_counts, kmer_counts
from dnalm.sequence.low_complexity import DEFINITION, masked
from dnalm.sequence.periodicity import best_self_match

LONGEST_KMER = 6

TANDEM = 0.8
"""A sequence is counted as a tandem repeat if so many of its bases equal the base one period further on."""


def compared(
    generated: Sequence[str], train: Sequence[str], held_out: Sequence[str] | None = None, seed: int = 1
) -> dict[str, Any]:
    """Figures of `train`, and of `generated` and `held_out` (a sample of as many bases, drawn by `seed`) against it.

    Of each: `sequences`, `bases`; `gc` (mean, sd and quartiles over sequences), `low_complexity` (share of the bases),
    `tandem` (share of the sequences) and `self_match` (mean of the best match with itself at any period). Against
    train: `divergence` {k: Jensen-Shannon divergence of k-mer frequencies in bits, 0 to 1 (Lin 1991)}, `gc_distance`
    (largest difference of the cumulative distributions of GC: Kolmogorov-Smirnov) and, of the longest exact copy of a
    training sequence on either strand, `copies` (quartiles, maximum, and how many sequences are copies as a whole).
    """
    sides = {"generated": list(generated)}
    if held_out is not None:
        sides["held_out"] = _sample(held_out, sum(map(len, generated)), seed)
    found: dict[str, Any] = {"train": _figures(train), "low_complexity": DEFINITION, "tandem": TANDEM}
    spectra = _spectra(train)
    for name, sequences in sides.items():
        against = {
            "divergence": {str(k): jensen_shannon(counts, spectra[k]) for k, counts in _spectra(sequences).items()},
            "gc_distance": _largest_gap(_gc(sequences), _gc(train)),
            "copies": _copies(sequences, train),
        }
        found[name] = _figures(sequences) | against
    return found


def jensen_shannon(one: NDArray[np.int64], other: NDArray[np.int64]) -> float | None:
    """Jensen-Shannon divergence of two vectors of counts, in bits; None if one of them has no count."""
    if not one.sum() or not other.sum():
        return None
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2
    parts = [float((part[part > 0] * np.log2(part[part > 0] / middle[part > 0])).sum()) for part in (p, q)]
    return max(0.0, sum(parts) / 2)


def as_rows(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(figure, generated, held-out, train) of each number of `compared`; None where there is none."""
    sides = [_flat(found.get(side, {})) for side in ("generated", "held_out", "train")]
    return [(name, *(side.get(name) for side in sides)) for name in sides[0]]


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, part in value.items():
        flat |= _flat(part, f"{prefix}{key}.") if isinstance(part, dict) else {f"{prefix}{key}": part}
    return flat


def _spectra(sequences: Sequence[str]) -> dict[int, NDArray[np.int64]]:
    codes, offsets = encode(sequences)
    return {k: kmer_counts(codes, offsets, k) for k in range(1, LONGEST_KMER + 1)}


def _gc(sequences: Sequence[str]) -> NDArray[np.float64]:
    return np.asarray(gc_counts(sequences) / np.maximum([len(one) for one in sequences], 1))


def _figures(sequences: Sequence[str]) -> dict[str, Any]:
    gc, match = _gc(sequences), best_self_match(sequences)
    return {
        "sequences": len(sequences),
        "bases": sum(map(len, sequences)),
        "gc": {"mean": float(gc.mean()), "sd": float(gc.std()), **_quartiles(gc)},
        "low_complexity": float(masked(sequences).mean()),
        "tandem": float((match >= TANDEM).mean()),
        "self_match": float(match.mean()),
    }


def _copies(sequences: Sequence[str], train: Sequence[str]) -> dict[str, Any]:
    longest = longest_copies(sequences, train)
    whole = int((longest == [len(one) for one in sequences]).sum())
    return {**_quartiles(longest), "maximum": int(longest.max()), "whole_sequences": whole}


def _quartiles(values: NDArray[Any]) -> dict[str, float]:
    names = ("quartile_1", "median", "quartile_3")
    return dict(zip(names, np.quantile(values, [0.25, 0.5, 0.75]).tolist(), strict=True))


def _largest_gap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    places = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(side), places, side="right") / len(side) for side in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _sample(sequences: Sequence[str], bases: int, seed: int) -> list[str]:
    """Sequences at random until they have so many bases; the last is cut."""
    kept, left = [], bases
    for index in np.random.default_rng(seed).permutation(len(sequences)):
        if left <= 0:
            break
        kept.append(sequences[index][:left])
        left -= len(kept[-1])
    return kept

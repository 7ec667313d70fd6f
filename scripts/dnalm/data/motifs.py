"""Motifs of arrays whose catalogue gives none (a BED file never does)."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data.families import primitive
from dnalm.sequence.alphabet import BASES
from dnalm.sequence.kmers import decode, encode

LONGEST = 500
LOWEST = 0.6
MARGIN = 0.05
PENALTY = 4

DEFINITION = (
    f"where the catalogue gives no motif, the consensus of the array's period (up to {LONGEST} bases; none below "
    f"{LOWEST:.0%} self-match)"
)


def infer_motif(array: str) -> str | None:
    """The consensus motif of an array of A, C, G and T, or None if its best self-match is below .6.

    The self-match of period p is the fraction of bases equal to the base p further on. The period is the shortest (at
    most 500 bases and half the array) whose self-match is within .05 of the best, because multiples of the true period
    match as well. Unrelated DNA rarely reaches .6. The array's best stretch is laid out in rows of one period; the
    motif is the most frequent base of each column (ties: the first letter), made primitive. Indels are not modelled:
    an indel shifts the rows after it, so the stretch ends there. An array with many indels gets a noisy motif or none.
    """
    bases = encode([array])[0]
    periods = range(1, min(LONGEST, len(bases) // 2) + 1)
    match = np.array([np.mean(bases[period:] == bases[:-period]) for period in periods])
    if not len(match) or match.max() < LOWEST:
        return None
    period = int(np.argmax(match >= match.max() - MARGIN)) + 1
    return primitive(_consensus(bases[_in_phase(bases, period)], period))


def _in_phase(bases: NDArray[np.uint8], period: int) -> slice:
    """The stretch of highest score (1 for each self-match, -PENALTY for each mismatch) and one period after it."""
    score = np.cumsum(np.append(0, np.where(bases[period:] == bases[:-period], 1, -PENALTY)))
    gain = score - np.minimum.accumulate(score)
    end = int(gain.argmax())
    return slice(int(score[: end + 1].argmin()), end + period)


def _consensus(bases: NDArray[np.uint8], period: int) -> str:
    column = np.arange(len(bases)) % period
    counts = np.array([np.bincount(column[bases == code], minlength=period) for code in range(len(BASES))])
    return decode(counts.argmax(axis=0))


def fill_motifs(positives: pd.DataFrame, flank: int) -> tuple[pd.DataFrame, int]:
    """Infer missing motifs, fill in their missing lengths and copies, and count the inferred motifs.

    positives: a sequence table whose `sequence` has `flank` bases on both sides of the array.
    """
    missing = positives.loc[positives["motif"].isna(), "sequence"]
    cores = missing.str.slice(flank, -flank if flank else None)
    motifs = cores.map(infer_motif).dropna()
    result = positives.copy()
    result.loc[motifs.index, "motif"] = motifs
    lengths = motifs.str.len()
    result["motif_length"] = result["motif_length"].fillna(lengths.astype("Int64"))
    result["copies"] = result["copies"].fillna(cores[motifs.index].str.len() / lengths)
    return result, len(motifs)

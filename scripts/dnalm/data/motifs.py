"""Motifs of arrays whose catalogue gives none, as a BED file never does."""

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
    """The consensus motif of an array of A, C, G and T; None if it repeats too loosely to have one.

    The self-match of period p is the share of bases that are equal to the base p further. The period is the shortest of at
    most 500 bases and half the array whose self-match is within .05 of the best one's (multiples of a period match as
    well as it does), and the best must reach .6: unrelated DNA rarely does. The motif is the majority base of each column (ties: the first letter) of the
    array's best stretch laid out in rows of one period, made primitive. No indels are modelled: one shifts the rows behind
    it, so that the stretch ends there; an array of many indels has a noisy motif, or none.
    """
    bases = encode([array])[0]
    periods = range(1, min(LONGEST, len(bases) // 2) + 1)
    match = np.array([np.mean(bases[period:] == bases[:-period]) for period in periods])
    if not len(match) or match.max() < LOWEST:
        return None
    period = int(np.argmax(match >= match.max() - MARGIN)) + 1
    return primitive(_consensus(bases[_in_phase(bases, period)], period))


def _in_phase(bases: NDArray[np.uint8], period: int) -> slice:
    """The stretch whose sum over its bases of 1 for a self-match and -PENALTY for none is largest, and the period behind it."""
    score = np.cumsum(np.append(0, np.where(bases[period:] == bases[:-period], 1, -PENALTY)))
    gain = score - np.minimum.accumulate(score)
    end = int(gain.argmax())
    return slice(int(score[: end + 1].argmin()), end + period)


def _consensus(bases: NDArray[np.uint8], period: int) -> str:
    column = np.arange(len(bases)) % period
    counts = np.array([np.bincount(column[bases == code], minlength=period) for code in range(len(BASES))])
    return decode(counts.argmax(axis=0))


def fill_motifs(positives: pd.DataFrame, flank: int) -> tuple[pd.DataFrame, int]:
    """Infer the motifs that are missing, with their length and the copies where those are, too; and how many were.

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

"""Simulated arrays: tandem repeats of known divergence, whose units are cut from a genome and chosen by no repeat finder."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.config.catalogues import ArraySimulation
from dnalm.data.catalogues import catalogue_table
from dnalm.data.genomes import chromosome_lengths
from dnalm.data.positives import NOT_ACGT
from dnalm.errors import UserError
from dnalm.sequence.kmers import OTHER, decode, encode

if TYPE_CHECKING:
    import pysam

OFF_END = "runs off the chromosome"
REPETITIVE = "itself repetitive"

SELF_MATCH = 0.7
"""A unit is itself repetitive if this share of its bases, or more, are those that it has a shift further, round its end."""

ATTEMPTS = 10_000
"""Places tried for one unit."""

Bases = NDArray[np.uint8]
"""Bases as numbers 0 to 3 for A, C, G, T."""


def simulate_arrays(genome: "pysam.FastaFile", settings: ArraySimulation) -> tuple[pd.DataFrame, dict[str, int]]:
    """A catalogue's table of simulated arrays, without positions, and how many places were passed over for which reason.

    Of each array: its unit's length, its copies and its rate of changes are
    drawn uniformly from their ranges; the unit is cut from a place drawn uniformly from the genome, and another is tried where
    it would leave the chromosome, hold anything but A, C, G, T, or be repetitive itself (`SELF_MATCH`). The perfect array
    begins with the unit's first base. Changes hit different bases of it, as many as the rate says to the nearest whole number
    that keeps the range: each an insertion (behind the base) or deletion with the given share, half of either, or else a
    substitution. `divergence` is the true one: changes / (bases of the perfect array + insertions). Raises `UserError` if no
    unit is found.
    """
    rng = np.random.default_rng(settings.seed)
    ends = np.cumsum(list(chromosome_lengths(genome).values()))
    passed: Counter[str] = Counter({OFF_END: 0, NOT_ACGT: 0, REPETITIVE: 0})
    shortest, longest = settings.unit_length
    rows = []
    for number in tqdm(range(settings.arrays), desc="simulate", unit="array", mininterval=2):
        length = int(rng.integers(shortest, longest, endpoint=True))
        unit = _cut_unit(rng, genome, ends, length, passed)
        copies, rate = rng.uniform(*settings.copies), rng.uniform(*settings.divergence)
        perfect = np.resize(unit, round(copies * length))
        array, changes, inserted = _change(rng, perfect, rate, settings.divergence, settings.indels)
        rows.append(
            {
                "id": f"array{number + 1}",
                "sequence": decode(array),
                "motif": decode(unit),
                "motif_length": length,
                "copies": round(len(perfect) / length, 4),
                "divergence": round(changes / (len(perfect) + inserted), 4),
            }
        )
    return catalogue_table(rows), dict(passed)


def _cut_unit(
    rng: np.random.Generator, genome: "pysam.FastaFile", ends: NDArray[np.int64], length: int, passed: Counter[str]
) -> Bases:
    """A unit from the chromosomes laid end to end, which are told apart by where they end."""
    for _ in range(ATTEMPTS):
        place = int(rng.integers(ends[-1]))
        chromosome = int(np.searchsorted(ends, place, side="right"))
        name = genome.references[chromosome]
        start = place - (int(ends[chromosome - 1]) if chromosome else 0)
        unit = encode([genome.fetch(name, start, start + length)])[0]
        if len(unit) < length:
            passed[OFF_END] += 1
        elif unit.max() == OTHER:
            passed[NOT_ACGT] += 1
        elif is_repetitive(unit):
            passed[REPETITIVE] += 1
        else:
            return unit
    raise UserError(
        f"simulate: {ATTEMPTS:,} places of the genome gave no unit of {length} bases A, C, G, T that is not repetitive "
        "itself; change unit_length or give another genome"
    )


def is_repetitive(unit: Bases) -> bool:
    """Whether a unit nearly equals itself shifted by some of its bases, round its end; one base never does."""
    shifts = range(1, len(unit) // 2 + 1)
    return any(bool(np.mean(unit == np.roll(unit, shift)) >= SELF_MATCH) for shift in shifts)


def _change(
    rng: np.random.Generator, perfect: Bases, rate: float, limits: tuple[float, float], indels: float
) -> tuple[Bases, int, int]:
    """The array with changes at different bases, their number, and how many of them are insertions."""
    size = len(perfect)
    least, most = (int(np.ceil(limits[0] * size - 1e-9)), int(np.floor(limits[1] * size + 1e-9)))
    count = min(max(round(rate * size), least), most)
    places = rng.choice(size, count, replace=False)
    is_indel, is_insertion = rng.random(count) < indels, rng.random(count) < 0.5
    array = perfect.copy()
    substituted = places[~is_indel]
    array[substituted] = (array[substituted] + rng.integers(1, 4, len(substituted))) % 4
    times = np.ones(size, np.int64)
    times[places[is_indel & is_insertion]] = 2
    times[places[is_indel & ~is_insertion]] = 0
    changed = np.repeat(array, times)
    added = np.cumsum(times)[times == 2] - 1
    changed[added] = rng.integers(0, 4, len(added))
    return changed, count, len(added)

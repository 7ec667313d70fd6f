"""Simulated tandem arrays of known divergence: units cut from a genome, so that no repeat finder chose them."""

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
"""A unit is itself repetitive if, rotated by some shift, at least this fraction of its bases stays the same."""

ATTEMPTS = 10_000
"""Places tried for one unit."""

Bases = NDArray[np.uint8]
"""Bases as codes 0 to 3 for A, C, G, T."""


def simulate_arrays(genome: "pysam.FastaFile", settings: ArraySimulation) -> tuple[pd.DataFrame, dict[str, int]]:
    """A catalogue's table of simulated arrays, without positions, and the number of rejected units by reason.

    For each array, the unit's length, the number of copies and the rate of changes are drawn uniformly from their
    ranges. The unit is cut from a uniformly random place of the genome; another place is tried if the unit would run
    off the chromosome, has a letter other than A, C, G, T, or is repetitive itself (`SELF_MATCH`). The perfect array
    begins with the unit's first base. Then some of its bases are changed, each at most once: rate times length of them,
    rounded within the range of rates. With probability `indels` a change is an insertion after the base or a deletion
    of it (equally likely), otherwise a substitution. `divergence` is the true one: changes / (bases of the perfect
    array + insertions). Raises `UserError` if no unit is found.
    """
    rng = np.random.default_rng(settings.seed)
    ends = np.cumsum(list(chromosome_lengths(genome).values()))
    rejected: Counter[str] = Counter({OFF_END: 0, NOT_ACGT: 0, REPETITIVE: 0})
    shortest, longest = settings.unit_length
    rows = []
    for number in tqdm(range(settings.arrays), desc="simulate", unit="array", mininterval=2):
        length = int(rng.integers(shortest, longest, endpoint=True))
        unit = _cut_unit(rng, genome, ends, length, rejected)
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
    return catalogue_table(rows), dict(rejected)


def _cut_unit(
    rng: np.random.Generator, genome: "pysam.FastaFile", ends: NDArray[np.int64], length: int, rejected: Counter[str]
) -> Bases:
    """A unit from a random place; `ends` are where the chromosomes end when they are laid end to end."""
    for _ in range(ATTEMPTS):
        place = int(rng.integers(ends[-1]))
        chromosome = int(np.searchsorted(ends, place, side="right"))
        name = genome.references[chromosome]
        start = place - (int(ends[chromosome - 1]) if chromosome else 0)
        unit = encode([genome.fetch(name, start, start + length)])[0]
        if len(unit) < length:
            rejected[OFF_END] += 1
        elif unit.max() == OTHER:
            rejected[NOT_ACGT] += 1
        elif is_repetitive(unit):
            rejected[REPETITIVE] += 1
        else:
            return unit
    raise UserError(
        f"simulate: {ATTEMPTS:,} places of the genome gave no unit of {length} bases A, C, G, T that is not repetitive "
        "itself; change unit_length or give another genome"
    )


def is_repetitive(unit: Bases) -> bool:
    """Whether some rotation of a unit nearly equals the unit; a unit of one base is never repetitive."""
    shifts = range(1, len(unit) // 2 + 1)
    return any(bool(np.mean(unit == np.roll(unit, shift)) >= SELF_MATCH) for shift in shifts)


def _change(
    rng: np.random.Generator, perfect: Bases, rate: float, limits: tuple[float, float], indels: float
) -> tuple[Bases, int, int]:
    """The changed array, the number of changes, and how many of them are insertions."""
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

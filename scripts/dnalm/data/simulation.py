"""A simulated genome with the main features of a real one: background, interspersed repeats, tandem arrays, gaps.

The background is a Markov chain of order k whose GC content drifts along the chromosome. Interspersed repeats are
diverged, often truncated copies of a few families, on either strand, and soft-masked. Tandem arrays repeat a unit cut
from the same kind of background, so that they differ from it only by the repetition; some share their unit with other
arrays, and few are soft-masked, as in real genomes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnalm.config.genomes import Simulation
from dnalm.errors import UserError
from dnalm.sequence.kmers import decode, letters_of

Bases = NDArray[np.uint8]
"""Bases as codes 0 to 3 for A, C, G, T; a base and its complement sum to 3."""

_GC_SPREAD = 0.06  # standard deviation of the local GC fraction
_GC_STEP = 4_000  # bases between the points where it is drawn; linear in between
_LANES = 256  # stretches of the background that are drawn in parallel
_REPEAT_LENGTH = (300, 4_000)  # of a family of interspersed repeats, in bases
_REPEAT_DIVERGENCE = (0.05, 0.2)  # of a family's copies: substitutions a base
_REPEAT_INDELS = 0.01
_GAP_LENGTH = 2_500
_SHARED_UNITS = 0.4  # share of the arrays whose unit comes from an earlier array
_SHARED_UNIT_DIVERGENCE = 0.05
_SOFT_MASKED_ARRAYS = 0.12  # share; of the VNTR bases of human chr2, 9 % are soft-masked
_SINGLETONS = 0.07  # share with FILTER SC, as in real calls
_LEAST_SPACER = 10  # bases between two features
_SPACER_SHAPE = 0.3  # of a gamma distribution; below 1 features cluster, and most unique bases lie in long stretches


@dataclass(frozen=True)
class Array:
    """A tandem array of the simulated genome: where it starts (0-based), and what it is made of."""

    chrom: str
    start: int
    sequence: str
    unit: str
    copies: float
    alternative: str
    gained: int
    singleton: bool


@dataclass(frozen=True)
class _Feature:
    text: Bases  # ASCII codes
    array: tuple[Bases, Bases, float] | None = None  # sequence, unit, copies


def simulate(settings: Simulation) -> tuple[dict[str, bytes], list[Array]]:
    """Simulate a genome: the sequence of each chromosome, soft-masked, and its tandem arrays, in order.

    What does not fit on the chromosomes is a `UserError`.
    """
    rng = np.random.default_rng(settings.seed)
    chain = rng.uniform(0.25, 0.75, (4**settings.order, 2))
    stock = _background(rng, chain, settings, max(200_000, 4 * settings.unit_length[1]))
    units = _units(rng, stock, settings)
    families = [_cut(rng, stock, int(rng.integers(*_REPEAT_LENGTH, endpoint=True))) for _ in range(settings.families)]
    divergences = rng.uniform(*_REPEAT_DIVERGENCE, settings.families)
    genome: dict[str, bytes] = {}
    arrays: list[Array] = []
    for number in range(settings.chromosomes):
        name = f"chr{number + 1}"
        features = [
            *(_array(rng, unit, settings) for unit in units[number :: settings.chromosomes]),
            *_interspersed(rng, families, divergences, round(settings.interspersed * settings.length)),
            *_gaps(round(settings.gaps * settings.length)),
        ]
        background = letters_of(_background(rng, chain, settings, settings.length))
        starts = _layout(rng, [len(feature.text) for feature in features], settings.length, name)
        for index, start in starts:
            feature = features[index]
            background[start : start + len(feature.text)] = feature.text
            if feature.array is not None:
                arrays.append(_record(rng, name, start, *feature.array))
        genome[name] = background.tobytes()
    return genome, arrays


def _background(rng: np.random.Generator, chain: NDArray[np.float64], settings: Simulation, length: int) -> Bases:
    """Bases of a Markov chain with a drifting GC content, shape (length,).

    Whether a base is one of G and C depends on the local GC fraction; which of the two (or of A and T) depends on the
    bases before it. `chain` holds, for each context, the probabilities of T and of G; shape (4 ** order, 2).
    """
    knots = rng.normal(settings.gc, _GC_SPREAD, length // _GC_STEP + 2)
    knots = np.clip(knots - knots.mean() + settings.gc, 0.05, 0.95)
    gc = np.interp(np.arange(length) / _GC_STEP, np.arange(len(knots)), knots)
    # many stretches are drawn in parallel, each with its own context: a loop over single bases would be slow
    rows = -(-length // _LANES)
    strong = np.resize(rng.random(length) < gc, (_LANES, rows))
    draws = rng.random((_LANES, rows))
    context = rng.integers(0, len(chain), _LANES)
    bases = np.empty((_LANES, rows), np.uint8)
    for row in range(rows):
        is_strong = strong[:, row]
        second = draws[:, row] < chain[context, is_strong.astype(np.int64)]
        bases[:, row] = np.where(is_strong, 1 + second, 3 * second)
        context = (context * 4 + bases[:, row]) % len(chain)
    return bases.reshape(-1)[:length]


def _cut(rng: np.random.Generator, stock: Bases, length: int) -> Bases:
    start = int(rng.integers(0, len(stock) - length))
    return stock[start : start + length]


def _units(rng: np.random.Generator, stock: Bases, settings: Simulation) -> list[Bases]:
    """A unit for each array; some are diverged copies of an earlier one, on either strand."""
    units: list[Bases] = []
    for _ in range(settings.arrays):
        if units and rng.random() < _SHARED_UNITS:
            unit = _mutate(rng, units[int(rng.integers(len(units)))], _SHARED_UNIT_DIVERGENCE, 0.0)
            unit = 3 - unit[::-1] if rng.random() < 0.5 else unit
        else:
            shortest, longest = settings.unit_length
            unit = _cut(rng, stock, int(rng.integers(shortest, longest, endpoint=True)))
        units.append(unit)
    return units


def _array(rng: np.random.Generator, unit: Bases, settings: Simulation) -> _Feature:
    copies = rng.uniform(*settings.copies)
    perfect = np.resize(unit, round(copies * len(unit)))
    sequence = _mutate(rng, perfect, settings.substitutions, settings.indels)
    text = letters_of(sequence)
    if rng.random() < _SOFT_MASKED_ARRAYS:
        text |= np.uint8(0x20)
    return _Feature(text, (sequence, unit, len(perfect) / len(unit)))


def _interspersed(
    rng: np.random.Generator, families: list[Bases], divergences: NDArray[np.float64], total: int
) -> list[_Feature]:
    """Copies of the families, truncated at the 5' end as LINEs are, `total` bases of them."""
    features = []
    while total > 0:
        family = int(rng.integers(len(families)))
        whole = families[family]
        length = min(total, len(whole), int(len(whole) * rng.uniform(0.2, 1.5)) + 1)
        copy = _mutate(rng, whole[len(whole) - length :], divergences[family], _REPEAT_INDELS)
        copy = 3 - copy[::-1] if rng.random() < 0.5 else copy
        features.append(_Feature(letters_of(copy) | np.uint8(0x20)))
        total -= length
    return features


def _gaps(total: int) -> list[_Feature]:
    lengths = [_GAP_LENGTH] * (total // _GAP_LENGTH) + [total % _GAP_LENGTH]
    return [_Feature(np.full(length, ord("N"), np.uint8)) for length in lengths if length]


def _mutate(rng: np.random.Generator, bases: Bases, substitutions: float, indels: float) -> Bases:
    """Substitute each base, and delete it or insert one after it (equally likely), with the given probabilities."""
    changed = rng.random(len(bases)) < substitutions
    bases = np.where(changed, (bases + rng.integers(1, 4, len(bases))) % 4, bases).astype(np.uint8)
    copies = np.ones(len(bases), np.int64)
    hit = rng.random(len(bases)) < indels
    copies[hit] = rng.choice([0, 2], int(hit.sum()))
    ends = np.cumsum(copies)
    mutated = np.repeat(bases, copies)
    inserted = ends[copies == 2] - 1
    mutated[inserted] = rng.integers(0, 4, len(inserted))
    return mutated if len(mutated) else bases


def _layout(rng: np.random.Generator, lengths: list[int], total: int, name: str) -> list[tuple[int, int]]:
    """Place features without overlap, in random order: (index, start), left to right."""
    room = total - sum(lengths) - _LEAST_SPACER * (len(lengths) + 1)
    if room < 0:
        raise UserError(
            f"simulate: arrays, interspersed repeats and gaps need {total - room:,} bases of {name}, which has "
            f"{total:,}; "
            "raise length or chromosomes, or lower arrays, copies, unit_length, interspersed or gaps"
        )
    weights = rng.gamma(_SPACER_SHAPE, size=len(lengths) + 1)
    spacers = _LEAST_SPACER + (room * weights / weights.sum()).astype(np.int64)
    order = rng.permutation(len(lengths))
    sizes = np.array(lengths, np.int64)[order]
    starts = np.cumsum(spacers[:-1]) + np.cumsum(sizes) - sizes
    return list(zip(order.tolist(), starts.tolist(), strict=True))


def _record(rng: np.random.Generator, chrom: str, start: int, sequence: Bases, unit: Bases, copies: float) -> Array:
    """An array and the allele of a sample: one to three copies gained or lost, with at least one left."""
    most_lost = min(3, len(sequence) // len(unit) - 1)
    changes = [change for change in range(-most_lost, 4) if change]
    gained = int(rng.choice(changes))
    longer = np.concatenate([np.tile(unit, max(gained, 0)), sequence])
    alternative = longer[max(-gained, 0) * len(unit) :]
    return Array(
        chrom,
        start,
        decode(sequence),
        decode(unit),
        copies,
        decode(alternative),
        gained,
        bool(rng.random() < _SINGLETONS),
    )


_HEADER = """\
##fileformat=VCFv4.1
##source="dna-lm-finetuning simulation"
##numVNTRs="{count}"
##INFO=<ID=RC,Number=1,Type=Float,Description="Reference Copies">
##INFO=<ID=RPL,Number=1,Type=Integer,Description="Reference Pattern Length">
##INFO=<ID=RAL,Number=1,Type=Integer,Description="Reference Tandem Array Length">
##INFO=<ID=RCP,Number=1,Type=String,Description="Reference Consensus Pattern">
##FILTER=<ID=SC,Description="Reference is Singleton">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=CGL,Number=A,Type=Integer,Description="Copies Gained or Lost with respect to reference">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tsimulated
"""


def vcf(genome: Mapping[str, bytes], arrays: list[Array]) -> str:
    """The arrays in the VCF 4.1 that VNTRseek writes: REF and ALT are alleles with the base before them."""
    lines = [_HEADER.format(count=len(arrays))]
    for number, array in enumerate(arrays, 1):
        before = chr(genome[array.chrom][array.start - 1]).upper()
        info = f"RC={array.copies:.2f};RPL={len(array.unit)};RAL={len(array.sequence)};RCP={array.unit}"
        fields = (
            array.chrom, str(array.start), f"td{number}", before + array.sequence, before + array.alternative, ".",
            "SC" if array.singleton else "PASS", info, "GT:CGL", f"1/1:{array.gained}",
        )  # fmt: skip
        lines.append("\t".join(fields) + "\n")
    return "".join(lines)

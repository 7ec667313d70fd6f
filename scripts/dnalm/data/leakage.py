"""Leakage: records repeated, related or in conflict within and across splits. Facts only; the audit judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data import families
from dnalm.data.alignment import LONGEST
from dnalm.data.contradictions import APART, conflicting_targets
from dnalm.data.linkage import NEIGHBOURS, Indices, components
from dnalm.data.loci import Places, are_arrays, overlapped, places, without_flanks
from dnalm.data.relatives import (
    ARRAYS,
    LOCUS,
    MOST_FAILURES,
    MOST_RELATIVES,
    MOTIF,
    SAME,
    SAME_ARRAY,
    SEQUENCES,
    SIMILAR,
    SIMILAR_ARRAY,
)
from dnalm.data.relatives_by_split import EXAMPLES, RelativesBySplit
from dnalm.names import LABEL, SPLITS, TARGET, TRF_PARAMETERS
from dnalm.tables.sequences import truth_column

Mask = NDArray[np.bool_]
Pairs = list[tuple[int, int]]
"""Examples, as indices of records."""


def compare(
    tables: Mapping[str, pd.DataFrame],
    relatives: pd.DataFrame,
    catalogues: Sequence[pd.DataFrame],
    called: NDArray[np.bool_] | None,
    kind: str,
) -> dict[str, Any]:
    """The content of leakage.json: records repeated, similar, overlapping or in conflict, within and across splits.

    tables: the sequence table of each split. relatives: the result of `find_relatives` for these records, and possibly
    others. catalogues: columns chrom, start, end (0-based, half-open) of tandem repeats on the data set's genome.
    called: whether TRF calls a repeat in each record, in the order of the splits, shape (n,); None if unknown. kind:
    repeats or table. `definitions` in the result explains each number.
    """
    records = pd.concat([tables[split] for split in SPLITS], ignore_index=True)
    splits = np.repeat(np.arange(len(SPLITS)), [len(tables[split]) for split in SPLITS])
    where = places(records)
    located = np.logical_or.reduce([place.known for place in where])
    kin = _kin(records, splits, located, kind, relatives)
    within, examples = _within(kin, splits)
    across = {}
    for here, there in combinations(range(len(SPLITS)), 2):
        pair = f"{SPLITS[here]}/{SPLITS[there]}"
        across[pair], found = _across(kin, here, there)
        places_of = {"located_left": located & (splits == here), "located_right": located & (splits == there)}
        across[pair]["locus"] |= {side: int(np.count_nonzero(mask)) for side, mask in places_of.items()}
        examples |= {f"{name} {pair}": pairs for name, pairs in found.items()}
    name, conflicts, pairs = _contradictions(records, kin)
    examples[name] = pairs
    ids = records["id"].astype(str).to_numpy(object)
    named = {name: [[ids[a], ids[b]] for a, b in pairs[:EXAMPLES]] for name, pairs in examples.items() if pairs}
    return {
        "splits": {
            split: {"records": len(tables[split]), "sequences": int(tables[split]["sequence"].nunique())}
            for split in SPLITS
        },
        "within": within,
        "across": across,
        name: {**conflicts, "examples": [pair[0] for pair in named.get(name, [])]},
        "negatives": _negatives(records, where[0], catalogues, called, kind),
        "definitions": definitions(kind, name),
        "examples": named,
    }


@dataclass(frozen=True)
class _Kin:
    """The relations of records. For repeats, arrays are in `arrays` and all other records in `near`."""

    exact: RelativesBySplit
    strands: RelativesBySplit
    near: RelativesBySplit
    arrays: RelativesBySplit | None
    motifs: RelativesBySplit | None
    locus: RelativesBySplit
    too_long: Mask
    """Arrays that are not aligned; shape (n,)."""
    alike: tuple[Indices, Indices]
    """Pairs of similar sequences that are not arrays, as clusters of `strands`."""

    def similar(self) -> list[RelativesBySplit]:
        """The relations of similar sequences."""
        return [one for one in (self.near, self.arrays) if one is not None]


def _kin(records: pd.DataFrame, splits: Indices, located: Mask, kind: str, relatives: pd.DataFrame) -> _Kin:
    size = len(records)
    # the splits' records come first; then those of `relatives` in no split, which can still connect a cluster
    numbers, known = pd.factorize(pd.concat([records["id"], relatives["id_a"], relatives["id_b"]], ignore_index=True))
    left, right = numbers[size:].reshape(2, -1)
    of_kind = relatives["kind"].to_numpy(object)

    def pairs(name: str) -> tuple[Indices, Indices]:
        return left[of_kind == name], right[of_kind == name]

    def clusters(name: str) -> Indices:
        return components(len(known), *pairs(name))

    def related(chosen: Mask, found: Indices, linked: str | None = None) -> RelativesBySplit:
        """Relatives among the chosen records: those of one cluster, and of clusters with a link of kind `linked`."""
        result = RelativesBySplit(np.where(chosen, found[:size], -1), splits, len(known))
        if linked:
            a, b = pairs(linked)
            result.link(found[a], found[b])
        return result

    same, is_array = clusters(SAME), are_arrays(records)
    similar_a, similar_b = pairs(SIMILAR)
    code, distinct = pd.factorize(records["sequence"])
    arrays = motifs = None
    named = records["motif"].notna().to_numpy(bool)
    lengths = np.fromiter(map(len, without_flanks(records)), np.int64, size)
    if kind == "repeats":
        arrays = related(is_array, clusters(SAME_ARRAY), SIMILAR_ARRAY)
        motifs = related(named, clusters(MOTIF)) if named.any() else None
    return _Kin(
        RelativesBySplit(code, splits, len(distinct)),
        related(np.ones(size, bool), same),
        related(~is_array, same, SIMILAR),
        arrays,
        motifs,
        related(located, np.arange(len(known)), LOCUS),
        is_array & (lengths > LONGEST),
        (same[similar_a], same[similar_b]),
    )


def _within(kin: _Kin, splits: Indices) -> tuple[dict[str, dict[str, int]], dict[str, Pairs]]:
    """Records that repeat an earlier one of their split, each counted once, as its closest kind; and examples."""
    exact, strands = kin.exact.again(), kin.strands.again()
    near = np.logical_or.reduce([one.again() for one in kin.similar()])
    masks = {"exact": exact, "reverse_complement": strands & ~exact, "near": near & ~strands}
    facts: dict[str, dict[str, int]] = {}
    examples: dict[str, Pairs] = {}
    for number, split in enumerate(SPLITS):
        facts[split] = {name: int(np.count_nonzero(mask & (splits == number))) for name, mask in masks.items()}
        similar = [pair for one in kin.similar() for pair in one.examples(number, number)]
        examples |= {
            f"exact {split}": kin.exact.examples(number, number),
            f"reverse_complement {split}": _firsts(kin.strands, masks["reverse_complement"], number, number),
            f"near {split}": [pair for pair in similar if masks["near"][pair[1]]],
        }
    return facts, examples


def _across(kin: _Kin, here: int, there: int) -> tuple[dict[str, Any], dict[str, Pairs]]:
    """What two splits share; and examples."""

    def sides(one: RelativesBySplit) -> dict[str, int]:
        left, right = one.beside(here, there), one.beside(there, here)
        return {"records_left": int(np.count_nonzero(left)), "records_right": int(np.count_nonzero(right))}

    turned = kin.strands.beside(there, here) & ~kin.exact.beside(there, here)
    facts: dict[str, Any] = {
        "exact": kin.exact.shared(here, there),
        "reverse_complement": len(np.unique(kin.exact.clusters[turned])),
        "near": sides(kin.near),
        "locus": sides(kin.locus),
        "motif_family": None,
        "array_identity": None,
    }
    examples = {
        "exact": kin.exact.examples(here, there),
        "reverse_complement": _firsts(kin.strands, turned, here, there),
        "near": kin.near.examples(here, there),
        "locus": kin.locus.examples(here, there),
    }
    if kin.motifs is not None:
        facts["motif_family"] = {**sides(kin.motifs), "families": kin.motifs.shared(here, there)}
        examples["motif_family"] = kin.motifs.examples(here, there)
    if kin.arrays is not None:
        left_out = kin.too_long & np.isin(kin.arrays.splits, (here, there))
        facts["array_identity"] = {**sides(kin.arrays), "not_aligned": int(np.count_nonzero(left_out))}
        examples["array_identity"] = kin.arrays.examples(here, there)
    return facts, examples


def _firsts(relatives: RelativesBySplit, chosen: Mask, here: int, there: int) -> Pairs:
    """Some chosen records of split `there`, each paired with the first record of its cluster in split `here`."""
    second = np.flatnonzero(chosen & (relatives.splits == there))[:EXAMPLES]
    return list(zip(relatives.first(second, here).tolist(), second.tolist(), strict=True))


def _contradictions(records: pd.DataFrame, kin: _Kin) -> tuple[str, dict[str, Any], Pairs]:
    """The name of the check, conflicting labels or conflicting targets; its facts; and examples."""
    form_of = kin.strands.clusters
    if truth_column(records) == LABEL:
        return "conflicting_labels", *_conflicts(form_of, records[LABEL].to_numpy())
    return "conflicting_targets", *conflicting_targets(form_of, *kin.alike, records[TARGET].to_numpy(np.float64))


def _conflicts(form: Indices, labels: NDArray[np.int64]) -> tuple[dict[str, int], Pairs]:
    """Sequences (either strand) with several labels, and their records; examples pair records of different labels."""
    order = np.lexsort((np.arange(len(form)), form))
    starts = np.flatnonzero(np.diff(form[order], prepend=-1))
    if not len(starts):
        return {"sequences": 0, "records": 0}, []
    counts = np.diff(starts, append=len(order))
    ordered = labels[order]
    several = np.minimum.reduceat(ordered, starts) != np.maximum.reduceat(ordered, starts)
    pairs = []
    for start, count in zip(starts[several][:EXAMPLES], counts[several][:EXAMPLES], strict=True):
        members = order[start : start + count]
        other = members[labels[members] != labels[members[0]]][0]
        pairs.append((int(members[0]), int(other)))
    return {"sequences": int(np.count_nonzero(several)), "records": int(counts[several].sum())}, pairs


def _negatives(
    records: pd.DataFrame,
    where: Places,
    catalogues: Sequence[pd.DataFrame],
    called: NDArray[np.bool_] | None,
    kind: str,
) -> dict[str, Any]:
    """Negatives that lie in a catalogue (None without one), or are called by TRF (None if unknown)."""
    facts: dict[str, Any] = {"n": 0, "in_catalogue": None, "called_by_trf": None}
    if kind != "repeats":
        return facts
    negative = (records[LABEL] == 0).to_numpy(bool)
    sources = records["source"].to_numpy(object)[negative]
    facts["n"] = int(np.count_nonzero(negative))
    if catalogues:
        table = pd.concat([catalogue[["chrom", "start", "end"]] for catalogue in catalogues], ignore_index=True)
        intervals = Places(table["chrom"], *(table[name].to_numpy(np.float64) for name in ("start", "end")))
        facts["in_catalogue"] = _by_source(sources, overlapped(where.only(negative), intervals)[negative] >= 0)
    if called is not None:
        facts["called_by_trf"] = _by_source(sources, called[negative])
    return facts


def _by_source(sources: NDArray[np.object_], chosen: Mask) -> dict[str, Any]:
    counts = {
        str(source): {"number": int(np.count_nonzero(chosen[sources == source])), "of": int(np.sum(sources == source))}
        for source in sorted(set(sources))
    }
    return {"number": int(np.count_nonzero(chosen)), "of": len(chosen), "by_source": counts}


_CONFLICTS = {
    "conflicting_labels": "distinct sequences (a reverse complement is the same) that have several labels",
    "conflicting_targets": f"targets that differ by more than {APART} standard deviations of all targets; same: "
    "distinct sequences (a reverse complement is the same) with such targets, and their records; near: other records "
    f"with such targets, of two sequences whose {SEQUENCES}",
}


def definitions(kind: str, conflicts: str) -> dict[str, str]:
    """One sentence on the meaning of each number in leakage.json, for a kind of data set.

    conflicts: conflicting_labels or conflicting_targets, whichever was checked.
    """
    arrays = kind == "repeats"
    failures = f"two arrays with {MOST_FAILURES} failed alignments each are not aligned; " if arrays else ""
    which = "records that are not arrays (neither positives nor shuffles)" if arrays else "records"
    near = f"{which} whose {SEQUENCES}, identical ones included"
    result = {
        "exact": "within a split: records with the sequence of an earlier one; across: distinct sequences in both",
        "reverse_complement": "the same for the reverse complement; within: records that are not exact repeats; "
        "across: distinct sequences of the second split whose reverse complement is in the first, and which are not in "
        "it themselves",
        "near": f"{near}; within: records with such an earlier relative"
        + (", or arrays with a similar earlier array," if arrays else "")
        + " that are neither exact nor reverse-complement repeats",
        "records_left, records_right": "records of the first and of the second split of a pair that have such a "
        "relative in the other one",
        "locus": "records that share a base of the genome, flanks included, or, without a genome, of the catalogue's "
        "own assembly; located: records with a position",
        conflicts: _CONFLICTS[conflicts],
        "search": f"similar pairs are found by MinHash, comparing each record with the next {NEIGHBOURS} in each of 32 "
        f"buckets, and then verified; two records of a group with {MOST_RELATIVES} relatives each are not compared; "
        f"{failures}no count is too high, and a count may miss records whose only relatives are near the threshold",
    }
    if arrays:
        result |= {
            "motif_family": f"positives with a motif of one family (single linkage): {families.DEFINITION}",
            "array_identity": f"positives and shuffles: {ARRAYS}; identical ones included",
            "in_catalogue": "negatives that share a base (flanks included) with an interval of the masked catalogues",
            "called_by_trf": "negatives in which Tandem Repeats Finder "
            f"({' '.join(map(str, TRF_PARAMETERS))}) finds a repeat",
        }
    return result

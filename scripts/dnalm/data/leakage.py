"""Leakage: records repeated, related or in conflict within and across splits. Facts only; the audit judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.config.stages.data import CompareSplitsSettings
from dnalm.data import families, homology
from dnalm.data.contradictions import APART, conflicting_labels, conflicting_targets
from dnalm.data.linkage import Indices, components
from dnalm.data.loci import Places, overlapped, places
from dnalm.data.relatives import GIVEN, LOCUS, MOTIF, SAME, SAME_ARRAY, SIMILAR
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
    settings: CompareSplitsSettings,
) -> dict[str, Any]:
    """The content of leakage.json: records repeated, similar, overlapping or in conflict, within and across splits.

    tables: the sequence table of each split. relatives: the result of `find_relatives` for these records, and possibly
    others. catalogues: columns chrom, start, end (0-based, half-open) of tandem repeats on the data set's genome.
    called: whether TRF calls a repeat in each record, in the order of the splits, shape (n,); None if unknown.
    `definitions` in the result explains each number.
    """
    kind = settings.kind
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
        "definitions": definitions(settings, name),
        "examples": named,
    }


@dataclass(frozen=True)
class _Kin:
    """The relations of records."""

    exact: RelativesBySplit
    strands: RelativesBySplit
    near: RelativesBySplit
    motifs: RelativesBySplit | None
    locus: RelativesBySplit
    given: RelativesBySplit | None
    alike: tuple[Indices, Indices]
    """Pairs of similar sequences, as clusters of `near`."""


def _kin(records: pd.DataFrame, splits: Indices, located: Mask, kind: str, relatives: pd.DataFrame) -> _Kin:
    size = len(records)
    # the splits' records come first; then those of `relatives` in no split, which can still connect a cluster
    numbers, known = pd.factorize(pd.concat([records["id"], relatives["id_a"], relatives["id_b"]], ignore_index=True))
    left, right = numbers[size:].reshape(2, -1)
    of_kind = relatives["kind"].to_numpy(object)

    def pairs(name: str) -> tuple[Indices, Indices]:
        return left[of_kind == name], right[of_kind == name]

    def clusters(*names: str) -> Indices:
        return components(len(known), *(np.concatenate(side) for side in zip(*map(pairs, names), strict=True)))

    def related(chosen: Mask, found: Indices, linked: str | None = None) -> RelativesBySplit:
        """Relatives among the chosen records: those of one cluster, and of clusters with a link of kind `linked`."""
        result = RelativesBySplit(np.where(chosen, found[:size], -1), splits, len(known))
        if linked:
            a, b = (found[side] for side in pairs(linked))
            result.link(a[a != b], b[a != b])
        return result

    everyone, alone = np.ones(size, bool), np.arange(len(known))
    same_motif = (of_kind == MOTIF) & (relatives["identity"].to_numpy() == 1)
    motifs = components(len(known), left[same_motif], right[same_motif])
    near, (similar_a, similar_b) = clusters(SAME, SAME_ARRAY), pairs(SIMILAR)
    code, distinct = pd.factorize(records["sequence"])
    named = records["motif"].notna().to_numpy(bool)
    return _Kin(
        RelativesBySplit(code, splits, len(distinct)),
        related(everyone, clusters(SAME)),
        related(everyone, near, SIMILAR),
        related(named, motifs, MOTIF) if kind == "repeats" and named.any() else None,
        related(located, alone, LOCUS),
        related(everyone, clusters(GIVEN)) if (of_kind == GIVEN).any() else None,
        (near[similar_a], near[similar_b]),
    )


def _within(kin: _Kin, splits: Indices) -> tuple[dict[str, dict[str, int]], dict[str, Pairs]]:
    """Records that repeat an earlier one of their split, each counted once, as its closest kind; and examples."""
    exact, strands = kin.exact.again(), kin.strands.again()
    masks = {"exact": exact, "reverse_complement": strands & ~exact, "near": kin.near.again() & ~strands}
    facts: dict[str, dict[str, int]] = {}
    examples: dict[str, Pairs] = {}
    for number, split in enumerate(SPLITS):
        facts[split] = {name: int(np.count_nonzero(mask & (splits == number))) for name, mask in masks.items()}
        similar = kin.near.examples(number, number)
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
        "given_group": None,
    }
    examples = {
        "exact": kin.exact.examples(here, there),
        "reverse_complement": _firsts(kin.strands, turned, here, there),
        "near": kin.near.examples(here, there),
        "locus": kin.locus.examples(here, there),
    }
    if kin.motifs is not None:
        facts["motif_family"] = sides(kin.motifs)
        examples["motif_family"] = kin.motifs.examples(here, there)
    if kin.given is not None:
        facts["given_group"] = {**sides(kin.given), "groups": kin.given.shared(here, there)}
        examples["given_group"] = kin.given.examples(here, there)
    return facts, examples


def _firsts(relatives: RelativesBySplit, chosen: Mask, here: int, there: int) -> Pairs:
    """Some chosen records of split `there`, each paired with the first record of its cluster in split `here`."""
    second = np.flatnonzero(chosen & (relatives.splits == there))[:EXAMPLES]
    return list(zip(relatives.first(second, here).tolist(), second.tolist(), strict=True))


def _contradictions(records: pd.DataFrame, kin: _Kin) -> tuple[str, dict[str, Any], Pairs]:
    """The name of the check, conflicting labels or conflicting targets; its facts; and examples."""
    form_of = kin.near.clusters
    if truth_column(records) == LABEL:
        return "conflicting_labels", *conflicting_labels(form_of, *kin.alike, records[LABEL].to_numpy())
    return "conflicting_targets", *conflicting_targets(form_of, *kin.alike, records[TARGET].to_numpy(np.float64))


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


def definitions(settings: CompareSplitsSettings, conflicts: str) -> dict[str, str]:
    """One sentence on the meaning of each number in leakage.json, for a kind of data set.

    conflicts: conflicting_labels or conflicting_targets, whichever was checked.
    """
    apart = (
        "several labels"
        if conflicts == "conflicting_labels"
        else f"targets that differ by more than {APART} standard deviations of all targets"
    )
    result = {
        "exact": "within a split: records with the sequence of an earlier one; across: distinct sequences in both",
        "reverse_complement": "the same for the reverse complement; within: records that are not exact repeats; "
        "across: distinct sequences of the second split whose reverse complement is in the first, and which are not in "
        "it themselves",
        "near": f"records with {homology.definition(settings.related)}; identical ones included"
        + ("; arrays without their flanks" if settings.kind == "repeats" else "")
        + "; within: records with such an earlier relative that are neither exact nor reverse-complement repeats",
        "records_left, records_right": "records of the first and of the second split of a pair that have such a "
        "relative in the other one",
        "locus": "records that share a base of the genome, flanks included, or, without a genome, of the catalogue's "
        "own assembly; located: records with a position",
        "given_group": "records of one group of the table (`group_column`)",
        conflicts: f"same: distinct sequences (a reverse complement is the same) that have {apart}, and their records; "
        f"near: other records that have {apart} together with a similar sequence (see near)",
    }
    if settings.kind == "repeats":
        result |= {
            "motif_family": f"positives with a motif of one family: {families.DEFINITION}",
            "in_catalogue": "negatives that share a base (flanks included) with an interval of the masked catalogues",
            "called_by_trf": "negatives in which Tandem Repeats Finder "
            f"({' '.join(map(str, TRF_PARAMETERS))}) finds a repeat",
        }
    return result

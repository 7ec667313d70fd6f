"""Groups: related records, which must never be in different splits."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.config.datasets import Related
from dnalm.data import families, homology, motifs
from dnalm.data.linkage import Indices, components, first_members
from dnalm.data.relatives import GIVEN, LOCUS, SAME, SAME_ARRAY
from dnalm.errors import UserError

ALWAYS = (SAME, SAME_ARRAY, LOCUS, GIVEN)
"""Relatives that are in one group whatever its size."""


def definition(kind: str, related: Related, largest: float, inferred: bool = False) -> list[str]:
    """What puts two records of a data set of this kind (repeats or table) into one group, by single linkage.

    inferred: whether motifs were inferred from the arrays.
    """
    similar = f"similar sequences: {homology.definition(related)}"
    bound = (
        f"links are made in order of identity, and one that would make a group of more than {largest:.0%} of the "
        "records is refused, but for the same sequence, the same locus, a given group, and pairs of positive and "
        "negative"
    )
    if kind == "table":
        return ["the table's own groups, if it has them", similar, bound]
    return [
        "a negative and the positive it was drawn for",
        f"motif family: {families.DEFINITION}" + (f"; {motifs.DEFINITION}" if inferred else ""),
        "overlapping locus, flanks included; without a genome, on the catalogue's own assembly",
        f"{similar}; arrays without their flanks",
        bound,
    ]


@dataclass(frozen=True)
class Grouping:
    """The group of each record, and links that were refused because a group would have become too large."""

    groups: list[str]
    refused: dict[str, int]
    """By kind of relative."""


def group_records(records: pd.DataFrame, relatives: pd.DataFrame, largest: float = 1.0) -> Grouping:
    """Group records, each group named after its alphabetically first id; row order does not matter.

    Two records are linked by the same value of the column `positive` (if there is one) or as relatives of any kind
    (what `relatives.find_relatives` returns for these records). Groups are the connected components (single linkage),
    but links that are not `ALWAYS` made are added in order of decreasing identity (Kruskal 1956), and none is that
    would make a group of more than `largest` of the records.
    """
    names = np.sort(records["id"].to_numpy(str)).astype(object)
    place = pd.Series(np.arange(len(names)), index=names)
    absent = ~relatives["id_a"].isin(place.index) | ~relatives["id_b"].isin(place.index)
    if absent.any():
        raise UserError(
            f"relatives: found among other records ('{relatives['id_a'][absent].iloc[0]}'); run relate again"
        )
    a, b = (place[relatives[column]].to_numpy() for column in ("id_a", "id_b"))
    always = relatives["kind"].isin(ALWAYS).to_numpy(bool)
    labels = components(len(names), a[always], b[always])
    row = place[records["id"]].to_numpy()
    if "positive" in records:
        twins = first_members(pd.factorize(records["positive"])[0])
        labels = components(len(names), row, row[twins], labels)
    order = np.flatnonzero(~always)
    order = order[np.lexsort((b[order], a[order], -relatives["identity"].to_numpy()[order]))]
    labels, refused = _linked(labels, a[order], b[order], largest * len(names))
    kinds, counts = np.unique(relatives["kind"].to_numpy(str)[order][refused], return_counts=True)
    return Grouping(list(names[labels[row]]), dict(zip(kinds.tolist(), counts.tolist(), strict=True)))


def _linked(labels: Indices, left: Indices, right: Indices, most: float) -> tuple[Indices, NDArray[np.bool_]]:
    """The groups after links, in this order, that keep each at `most` records; and which links were refused."""
    refused = np.zeros(len(left), bool)
    free = components(len(labels), left, right, labels)
    size = np.bincount(free, minlength=len(labels))
    if size.max(initial=0) <= most:
        return free, refused
    crowded = size[free[left]] > most
    labels = components(len(labels), left[~crowded], right[~crowded], labels)
    # the few large groups are linked one by one
    parent, members = labels.tolist(), np.bincount(labels, minlength=len(labels)).tolist()

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for link in np.flatnonzero(crowded).tolist():
        one, other = sorted((root(int(left[link])), root(int(right[link]))))
        if one == other:
            continue
        if members[one] + members[other] > most:
            refused[link] = True
        else:
            parent[other] = one
            members[one] += members[other]
    final = np.array([root(node) for node in range(len(parent))], np.int64)
    refused &= final[left] != final[right]  # later links may have joined the two
    return final, refused

"""Relatives: records with the same or similar sequences, motif family or locus, found once before the split."""

import numpy as np
import pandas as pd

from dnalm.config.datasets import Related
from dnalm.data import families
from dnalm.data.homology import either_strand, similar_sequences
from dnalm.data.linkage import Indices, first_members
from dnalm.data.loci import are_arrays, overlapping, places, without_flanks
from dnalm.tables.sequences import GIVEN_GROUP

SAME, SAME_ARRAY, SIMILAR = "same_sequence", "same_array", "similar_sequence"
MOTIF, LOCUS, GIVEN = "motif_family", "locus", "given_group"
"""Kinds of relatives. Arrays are compared without their flanks."""

TABLE = ("id_a", "id_b", "kind", "identity")
"""Columns of a table of relatives; identity is 1 but for `SIMILAR` and `MOTIF`."""


def find_relatives(records: pd.DataFrame, related: Related) -> pd.DataFrame:
    """The relatives among the records of a data set, before it is split: pairs of ids with the columns `TABLE`.

    records: a sequence table, optionally with the columns `loci.LOCUS` and `GIVEN_GROUP`; row order does not matter.

    Transitive kinds (`SAME`, `SAME_ARRAY`, `GIVEN`) pair each record with the first of its cluster, by id. The others
    list pairs: `SIMILAR` between the first records of two sequences, `MOTIF` between the first records of two motifs
    and of each motif with the first of the same motif, `LOCUS` between all records that share a base.
    """
    table = records.iloc[np.argsort(records["id"].to_numpy(str), kind="stable")]
    whole, array = table["sequence"].to_numpy(object), are_arrays(table)
    compared = np.where(array, without_flanks(table), whole)
    everyone, forms = np.arange(len(table)), either_strand(compared.tolist())
    edges: dict[str, tuple[Indices, Indices, np.ndarray | float]] = {
        SAME: (*_clustered(everyone, either_strand(whole.tolist())[1]), 1.0),
        SAME_ARRAY: (*_clustered(everyone[array], forms[1][array]), 1.0),
    }
    first = np.unique(forms[1], return_index=True)[1]
    left, right, identity = similar_sequences(forms[0], related)
    edges[SIMILAR] = first[left], first[right], identity
    named = np.flatnonzero(table["motif"].notna())
    left, right, identity = families.family_links(table["motif"].iloc[named].tolist())
    edges[MOTIF] = named[left], named[right], identity
    a, b = (np.concatenate(side) for side in zip(*map(overlapping, places(table)), strict=True))
    edges[LOCUS] = a, b, 1.0
    if GIVEN_GROUP in table:
        given = np.flatnonzero(table[GIVEN_GROUP].notna())
        edges[GIVEN] = (*_clustered(given, pd.factorize(table[GIVEN_GROUP].iloc[given])[0]), 1.0)
    ids = table["id"].to_numpy(object)
    parts = [
        pd.DataFrame({"id_a": ids[a], "id_b": ids[b], "kind": kind, "identity": identity})
        for kind, (a, b, identity) in edges.items()
    ]
    result = pd.concat(parts, ignore_index=True)
    return result.astype({"id_a": "str", "id_b": "str", "kind": "str", "identity": "float64"}).drop_duplicates(
        ["id_a", "id_b", "kind"], ignore_index=True
    )


def _clustered(rows: Indices, clusters: Indices) -> tuple[Indices, Indices]:
    """Pairs of rows: the first of each cluster with each of the others."""
    first = rows[first_members(clusters)]
    return first[first != rows], rows[first != rows]

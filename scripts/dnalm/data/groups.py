"""Groups: related records, which must never be in different splits."""

import numpy as np
import pandas as pd

from dnalm.data import families, motifs, similarity
from dnalm.data.linkage import components, first_members
from dnalm.data.relatives import ARRAYS, SEQUENCES
from dnalm.errors import UserError


def definition(kind: str, inferred: bool = False) -> list[str]:
    """What puts two records of a data set of this kind (repeats or table) into one group, by single linkage.

    inferred: whether motifs were inferred from the arrays.
    """
    if kind == "table":
        return [f"near-identical sequences: {similarity.DEFINITION}", f"similar sequences: {SEQUENCES}"]
    return [
        "a negative and the positive it was drawn for",
        f"motif family: {families.DEFINITION}" + (f"; {motifs.DEFINITION}" if inferred else ""),
        "overlapping locus, flanks included; without a genome, on the catalogue's own assembly",
        f"near-identical sequences: {similarity.DEFINITION}",
        f"similar arrays: {ARRAYS}",
        f"similar sequences, of records that are not arrays: {SEQUENCES}",
    ]


def group_records(records: pd.DataFrame, relatives: pd.DataFrame) -> list[str]:
    """The group of each record, named after its alphabetically first id; row order does not matter.

    Two records are linked by the same value of the column `positive` (if there is one) or as relatives of any kind
    (columns id_a, id_b; what `relatives.find_relatives` returns for these records). Groups are the connected components
    (single linkage).
    """
    names = np.sort(records["id"].to_numpy(str)).astype(object)
    place = pd.Series(np.arange(len(names)), index=names)
    absent = ~relatives["id_a"].isin(place.index) | ~relatives["id_b"].isin(place.index)
    if absent.any():
        raise UserError(
            f"relatives: found among other records ('{relatives['id_a'][absent].iloc[0]}'); run relate again"
        )
    labels = components(len(names), place[relatives["id_a"]].to_numpy(), place[relatives["id_b"]].to_numpy())
    row = place[records["id"]].to_numpy()
    if "positive" in records:
        twins = first_members(pd.factorize(records["positive"])[0])
        labels = components(len(names), row, row[twins], labels)
    return list(names[labels[row]])

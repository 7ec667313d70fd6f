import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dnalm.data.loci import Places, flanks, overlapped, places
from dnalm.tables.sequences import LOCUS, sequence_table

rows = st.lists(
    st.tuples(st.sampled_from(["chr1", "chr2"]), st.none() | st.integers(0, 20), st.integers(1, 6)), max_size=12
)


def as_places(rows):
    start = np.array([np.nan if start is None else start for _, start, _ in rows], float)
    size = np.array([size for *_, size in rows], float)
    return Places(pd.Series([chrom for chrom, *_ in rows], dtype=object), start, start + size)


def meet(one, other):
    (chrom, start, size), (other_chrom, other_start, other_size) = one, other
    if start is None or other_start is None or chrom != other_chrom:
        return False
    return start < other_start + other_size and other_start < start + size


@given(rows, rows)
def test_a_partner_shares_a_base_and_is_found_if_there_is_one(mine, others):
    partners = overlapped(as_places(mine), as_places(others)).tolist()
    for row, partner in zip(mine, partners, strict=True):
        assert meet(row, others[partner]) if partner >= 0 else not any(meet(row, other) for other in others)


def test_places_have_the_flanks_and_the_catalogues_own_assembly():
    table = {"id": ["a", "b"], "sequence": ["A" * 10, "A" * 10], "label": [1, 1], "chrom": ["chr1", None]}
    table |= {"start": [100, None], "end": [106, None]}
    records = sequence_table({**table, **dict(zip(LOCUS, [[None, "chr7"], [None, 5], [None, 15]], strict=True))}, LOCUS)
    genome, own = places(records)
    assert (genome.start[0], genome.end[0]) == (98, 108)
    assert genome.known.tolist() == [True, False] and own.known.tolist() == [False, True]
    assert (own.start[1], own.end[1]) == (5, 15)
    assert flanks(records)[0] == 2 and np.isnan(flanks(records)[1])
    assert not genome.only(np.array([False, True])).known.any()
    assert len(places(records.drop(columns=list(LOCUS)))) == 1

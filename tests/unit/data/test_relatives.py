import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_splits import mutated, random_sequences
from with_relatives import RELATED

from dnalm.data.loci import Places, overlapping
from dnalm.data.relatives import find_relatives
from dnalm.data.relatives_by_split import EXAMPLES, RelativesBySplit
from dnalm.sequence.alphabet import reverse_complement
from dnalm.tables.sequences import sequence_table

RNG = np.random.default_rng(1)

cases = st.integers(1, 6).flatmap(
    lambda number: st.tuples(
        st.just(number),
        st.lists(st.tuples(st.integers(-1, number - 1), st.integers(0, 2)), min_size=1, max_size=15),
        st.lists(st.tuples(*[st.integers(0, number - 1)] * 2), max_size=8),
    )
)


def linked_records(number, records, links):
    relatives = RelativesBySplit(*np.array(records, np.int64).reshape(-1, 2).T, number)
    links = np.array([pair for pair in links if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    relatives.link(links[:, 0], links[:, 1])
    return relatives


@given(cases)
@settings(max_examples=300)
def test_counts_are_those_of_all_pairs_of_records(case):
    _, records, links = case
    relatives = linked_records(*case)

    def related(i, j):
        a, b = records[i][0], records[j][0]
        return i != j and min(a, b) >= 0 and (a == b or (a, b) in links or (b, a) in links)

    everyone = range(len(records))
    for here in range(3):
        for there in range(3):
            if here == there:
                continue
            expected = [
                records[i][1] == here and any(related(i, j) and records[j][1] == there for j in everyone)
                for i in everyone
            ]
            assert relatives.beside(here, there).tolist() == expected
            if here > there or there > max(split for _, split in records):
                continue
            pairs = relatives.examples(here, there)
            assert all(related(i, j) and (records[i][1], records[j][1]) == (here, there) for i, j in pairs)
            assert bool(pairs) == any(expected) and len(pairs) <= EXAMPLES
    again = [any(related(i, j) and records[i][1] == records[j][1] for j in range(i)) for i in everyone]
    assert relatives.again().tolist() == again
    for here in range(1 + max(split for _, split in records)):
        assert all(i < j and related(i, j) for i, j in relatives.examples(here, here))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(1, 30)), max_size=12))
def test_overlaps_are_those_of_all_pairs(places):
    ends = np.array([(start, start + size) for _, start, size in places], float).reshape(-1, 2).T
    where = Places(pd.Series([chrom for chrom, _, _ in places], dtype="str"), *ends)
    found = list(zip(*map(np.ndarray.tolist, overlapping(where)), strict=True))
    meet = {
        (i, j)
        for j, (chrom, start, size) in enumerate(places)
        for i, (other, first, length) in enumerate(places[:j])
        if chrom == other and first < start + size and start < first + length
    }
    assert set(found) == meet and len(found) == len(meet)


def test_every_kind_of_relative_is_named_by_ids_whatever_the_row_order():
    unit, window, other = random_sequences(RNG, [20, 150, 150])
    array = {"label": 1, "source": "trf", "motif": unit}
    rows = [
        {"id": "d", "sequence": unit * 6, **array},
        {"id": "c", "sequence": reverse_complement(unit * 6), **array},
        {"id": "e", "sequence": mutated(RNG, unit * 6, 0.06), **array},
        {"id": "b", "sequence": window, "chrom": "chr1", "start": 100, "end": 250},
        {"id": "a", "sequence": reverse_complement(window)},
        {"id": "f", "sequence": mutated(RNG, window, 0.02)},
        {"id": "g", "sequence": other, "chrom": "chr1", "start": 249, "end": 399},
    ]
    records = sequence_table(pd.DataFrame([{"label": 0, "source": "unique"} | row for row in rows]))
    records["given_group"] = ["one", None, None, None, None, None, "one"]
    found = find_relatives(records, RELATED)
    assert list(found) == ["id_a", "id_b", "kind", "identity"]
    named = {kind: {*zip(part["id_a"], part["id_b"], strict=True)} for kind, part in found.groupby("kind")}
    assert named == {
        "same_sequence": {("a", "b"), ("c", "d")},
        "similar_sequence": {("a", "f"), ("c", "e")},
        "same_array": {("c", "d")},
        "given_group": {("d", "g")},
        "motif_family": {("c", "d"), ("c", "e")},
        "locus": {("b", "g")},
    }
    same = found["kind"].isin(["same_sequence", "same_array", "locus", "given_group"])
    assert (found["identity"][same] == 1).all() and found["identity"].between(0.8, 1).all()
    again = find_relatives(records.sample(frac=1, random_state=1), RELATED)
    pd.testing.assert_frame_equal(found, again)

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_splits import mutated, random_sequences

from dnalm.data import relatives as module
from dnalm.data.loci import Places, overlapping
from dnalm.data.relatives import Pairs, find_relatives, link_similar_arrays, link_similar_sequences
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


def linked(link, sequences):
    """Pairs of sequences that are linked."""
    pairs = Pairs(len(sequences))
    link(pairs, sequences)
    return set(zip(*map(np.ndarray.tolist, pairs.found()), strict=True))


def test_similar_sequences_of_either_strand_and_overlapping_windows():
    one, other, third = random_sequences(RNG, [300, 300, 500])
    copy = reverse_complement(mutated(RNG, one, 0.02))
    sequences = [one, other, third[:300], copy, third[80:380], third[200:]]
    assert linked(link_similar_sequences, sequences) == {(0, 3), (2, 4)}


def test_a_third_of_another_sequence_is_not_similar():
    long = random_sequences(RNG, [300])[0]
    assert linked(link_similar_sequences, [long, long[:100], "ACG", ""]) == set()


def test_similar_arrays_are_alike_in_whole():
    """A far copy, a shorter array of the unit and an array of another unit are not."""
    unit, other = random_sequences(RNG, [20, 20])
    array = unit * 6
    near, far = mutated(RNG, array, 0.08), mutated(RNG, array, 0.35)
    shifted = reverse_complement(array[3:] + unit[:1])
    arrays = [array, near, shifted, far, unit * 4, other * 6]
    assert linked(link_similar_arrays, arrays) == {(0, 1), (0, 2), (1, 2)}


def test_low_complexity_alone_makes_no_arrays_alike():
    assert linked(link_similar_arrays, ["ATTTT" * 20, "ATTTTT" * 16, "AC" * 50, "AG" * 50]) == set()
    assert linked(link_similar_arrays, ["AC" * 50, "CA" * 52, "GT" * 47]) == {(0, 1), (0, 2), (1, 2)}


def test_nearly_all_arrays_at_the_threshold_are_found():
    arrays = random_sequences(RNG, [100] * 400)
    copies = []
    for array in arrays:
        places = set(RNG.choice(100, 10, replace=False).tolist())
        copies.append("".join("ACGT"["ACGT".index(x) - 1] if i in places else x for i, x in enumerate(array)))
    found = linked(link_similar_arrays, arrays + copies)
    assert found <= {(row, row + 400) for row in range(400)} and len(found) >= 370


@given(st.lists(st.lists(st.tuples(*[st.integers(0, 5)] * 2), max_size=6), max_size=6))
def test_pairs_are_kept_once_and_found_again_by_nobody(batches):
    pairs, kept = Pairs(6), set()
    for batch in batches:
        left, right = np.array([pair for pair in batch if pair[0] != pair[1]], np.int64).reshape(-1, 2).T
        new = pairs.wanted(left, right)
        expected = [tuple(sorted(pair)) not in kept for pair in zip(left.tolist(), right.tolist(), strict=True)]
        assert new.tolist() == expected
        pairs.link(left[new], right[new])
        kept |= {tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)}
    assert set(zip(*map(np.ndarray.tolist, pairs.found()), strict=True)) == kept


def test_a_record_with_many_relatives_is_compared_with_other_groups_only(monkeypatch):
    monkeypatch.setattr(module, "MOST_RELATIVES", 2)
    pairs = Pairs(6)
    pairs.link(np.array([0, 0, 1, 1]), np.array([2, 3, 2, 3]))
    assert pairs.wanted(np.array([0, 0, 4]), np.array([1, 4, 5])).tolist() == [False, True, True]


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
    found = find_relatives(records)
    assert list(found) == ["id_a", "id_b", "kind"]
    named = {kind: {*zip(part["id_a"], part["id_b"], strict=True)} for kind, part in found.groupby("kind")}
    assert named == {
        "same_sequence": {("a", "b"), ("c", "d")},
        "near_identical": {("a", "b"), ("a", "f"), ("c", "d")},
        "similar_sequence": {("a", "f")},
        "same_array": {("c", "d")},
        "similar_array": {("c", "e")},
        "motif_family": {("c", "d"), ("c", "e")},
        "locus": {("b", "g")},
    }
    again = find_relatives(records.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(found, again)

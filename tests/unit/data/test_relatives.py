import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_splits import mutated, random_sequences

from dnalm.data.relatives import EXAMPLES, Relatives, link_similar_arrays, link_similar_sequences
from dnalm.sequence.alphabet import reverse_complement

RNG = np.random.default_rng(1)

cases = st.integers(1, 6).flatmap(
    lambda number: st.tuples(
        st.just(number),
        st.lists(st.tuples(st.integers(-1, number - 1), st.integers(0, 2)), min_size=1, max_size=15),
        st.lists(st.tuples(*[st.integers(0, number - 1)] * 2), max_size=8),
    )
)


def linked_records(number, records, links):
    relatives = Relatives(*np.array(records, np.int64).reshape(-1, 2).T, number)
    for left, right in links:
        if left != right and relatives.wanted(np.array([left]), np.array([right]))[0]:
            relatives.link(np.array([left]), np.array([right]))
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
    """Pairs of sequences that are linked: each is a record of a split of its own."""
    relatives = Relatives(np.arange(len(sequences)), np.arange(len(sequences)), len(sequences))
    link(relatives, sequences)
    numbers = range(len(sequences))
    return {(i, j) for i in numbers for j in numbers if i < j and relatives.beside(i, j).any()}


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
    relatives = Relatives(np.arange(800), np.repeat([0, 1], 400), 800)
    link_similar_arrays(relatives, arrays + copies)
    assert 370 <= relatives.beside(1, 0).sum() <= 400

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.sequence import copies
from dnalm.sequence.alphabet import reverse_complement

DNA = st.text(alphabet="ACGTN", max_size=30)


def by_hand(query, collection):
    """The longest substring of ACGT alone, of either strand, that a sequence of the collection holds."""
    best = 0
    for strand in (query, reverse_complement(query)):
        for i in range(len(strand)):
            for j in range(i + best + 1, len(strand) + 1):
                if "N" not in strand[i:j] and any(strand[i:j] in one for one in collection):
                    best = max(best, j - i)
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(DNA, max_size=5), st.lists(DNA, max_size=6))
def test_as_by_hand(queries, collection):
    assert copies.longest_copies(queries, collection).tolist() == [by_hand(query, collection) for query in queries]


def test_blocks_of_the_collection_do_not_matter(monkeypatch):
    random = np.random.default_rng(1)
    collection = ["".join(random.choice(list("ACGT"), 300)) for _ in range(40)]
    queries = ["TTTT" + collection[3][40:90] + "GGG", reverse_complement(collection[7]), collection[9][:120] + "N"]
    found = copies.longest_copies(queries, collection)
    assert 50 <= found[0] < 58 and found[1:].tolist() == [300, 120]
    monkeypatch.setattr(copies, "_BLOCK", 100)
    assert copies.longest_copies(queries, collection).tolist() == found.tolist()

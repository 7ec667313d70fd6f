import numpy as np
import pytest
from closeness import close

from dnalm.sequence.markov import bits_per_base


def test_the_formula_by_hand():
    """After A come C twice and G once; after C comes A once: p(C|A) = 3/7, p(A|C) = 2/5."""
    assert close(bits_per_base(["ACAC", "AG"], ["AC"], 1), -np.log2(3 / 7))
    assert close(bits_per_base(["ACAC", "AG"], ["ACA"], 1), -np.log2([3 / 7, 2 / 5]).mean())


def test_other_letters_and_the_ends_of_sequences_are_no_context():
    assert bits_per_base(["ACGT"], ["AC", "GT"], 3) is None
    assert bits_per_base(["ACGT"], ["ACNGT", ""], 3) is None
    assert close(bits_per_base(["ACGTNACG"], ["NACGTN"], 3), -np.log2(2 / 5))


@pytest.mark.parametrize("order", [0, 2, 3])
def test_what_is_random_has_two_bits_and_what_repeats_next_to_none(order):
    random = np.random.default_rng(1)
    draw = ["".join(random.choice(list("ACGT"), 5000)) for _ in range(4)]
    assert 1.99 < bits_per_base(draw[:3], draw[3:], order) < 2.02
    if order > 1:
        assert bits_per_base(["ACG" * 500], ["ACG" * 50], order) < 0.05

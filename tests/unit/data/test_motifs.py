import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnalm.data.families import canonical, primitive
from dnalm.data.motifs import fill_motifs, infer_motif
from dnalm.tables.sequences import sequence_table


@given(st.text("ACGT", min_size=1, max_size=40), st.integers(0, 39), st.integers(2, 6))
def test_a_perfect_array_has_its_motif(unit, rest, copies):
    """Unless a shorter period is nearly as good: then that one."""
    array = unit * copies + unit[: rest % len(unit)]
    motif = infer_motif(array)
    assert motif is not None
    assert len(motif) <= len(primitive(unit))
    if len(motif) == len(primitive(unit)):
        assert motif == primitive(unit)


def test_by_hand():
    assert infer_motif("AAG" * 9) == "AAG"
    assert infer_motif("A" * 30) == "A"
    assert infer_motif("ACGTTGCATC" * 3 + "ACGTTGAATC" + "ACGTT") == "ACGTTGCATC"
    assert infer_motif("A") is None
    assert infer_motif("") is None


def test_a_few_substitutions_leave_the_motif():
    rng = np.random.default_rng(1)
    same = 0
    for _ in range(50):
        unit = rng.choice(list("ACGT"), 25)
        array = np.tile(unit, 8)
        changed = rng.choice(200, 10, replace=False)
        array[changed] = rng.choice(list("ACGT"), 10)
        same += canonical(infer_motif("".join(array))) == canonical("".join(unit))
    assert same >= 45


def test_an_indel_ends_the_stretch_that_the_motif_is_taken_from():
    unit = "ACGTTGCATCAGGTA"
    assert canonical(infer_motif(unit * 5 + unit[:7] + unit[9:] + unit * 3)) == canonical(unit)


@pytest.mark.parametrize("length", [26, 60, 200, 2000])
def test_unrelated_dna_has_no_motif(length):
    rng = np.random.default_rng(2)
    found = [infer_motif("".join(rng.choice(list("ACGT"), length))) for _ in range(100)]
    assert sum(motif is not None for motif in found) <= 10


@pytest.mark.parametrize("flank", [0, 3])
def test_only_what_is_missing_is_filled(flank):
    sides = "T" * flank
    rows = [
        {"id": "a", "sequence": "AACCG" * 4 + "AA"},
        {"id": "b", "sequence": "AACCG" * 4, "motif": "AACCGAACCG", "motif_length": 10, "copies": 2.0},
        {"id": "c", "sequence": "AACCG" * 4, "copies": 7.0},
        {"id": "d", "sequence": "ACGTTGCATCAGG"},
    ]
    table = pd.DataFrame(rows).assign(label=1, sequence=lambda t: sides + t["sequence"] + sides)
    filled, inferred = fill_motifs(sequence_table(table), flank)
    assert inferred == 2
    assert filled["motif"].tolist()[:3] == ["AACCG", "AACCGAACCG", "AACCG"]
    assert filled["motif_length"].tolist()[:3] == [5, 10, 5]
    assert filled["copies"].tolist()[:3] == [4.4, 2.0, 7.0]
    assert filled.loc[3, ["motif", "motif_length", "copies"]].isna().all()
    assert canonical(filled["motif"][0]) == "AACCG"
    pd.testing.assert_series_equal(filled.dtypes, sequence_table(table).dtypes)

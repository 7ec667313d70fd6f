import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data.families import canonical, families, primitive
from dnalm.sequence.alphabet import reverse_complement

motifs = st.text("ACGT", min_size=1, max_size=12)


@given(motifs, st.integers(1, 4))
@settings(deadline=None)
def test_primitive_undoes_repetition(motif, copies):
    unit = primitive(motif * copies)
    assert unit == primitive(motif)
    assert unit * (len(motif) // len(unit)) == motif


def test_primitive_by_hand():
    assert primitive("AAGGAAGG") == "AAGG"
    assert primitive("AAAA") == "A"
    assert primitive("ACACA") == "ACACA"


@given(motifs, st.integers(0, 11), st.booleans(), st.integers(1, 3))
@settings(deadline=None)
def test_canonical_knows_no_rotation_strand_or_repetition(motif, turn, other_strand, copies):
    turned = motif[turn % len(motif) :] + motif[: turn % len(motif)]
    turned = reverse_complement(turned) if other_strand else turned
    assert canonical(turned * copies) == canonical(motif)


@given(motifs)
@settings(deadline=None)
def test_canonical_is_the_least_of_all_forms(motif):
    unit = primitive(motif)
    forms = [one[i:] + one[:i] for one in (unit, reverse_complement(unit)) for i in range(len(unit))]
    assert canonical(motif) == min(forms)


def test_families_by_hand():
    motif = "ACGTTGCAAGCTTACCGATTGG"
    changed = "ACGTTGCAAGCTTACCGATTGC"  # 8 of 22 8-mers differ: Jaccard 14 / 30
    longer = motif + "TTAGGCATCCTAGAACTCGTGACAGTCTCA"  # holds 15 of the 22: containment is no link
    close = motif + "A"  # 8 new 8-mers, 7 lost: Jaccard 15 / 30
    rotated = reverse_complement(motif[5:] + motif[:5])
    assert families([motif, changed, rotated, close, longer]).tolist() == [0, 1, 0, 0, 4]


def test_short_motifs_have_families():
    assert families(["AAGG", "CCTT", "AAGGAAGG", "GGAA", "AAGC", "A", "T"]).tolist() == [0, 0, 0, 0, 4, 5, 5]


def test_no_motifs():
    assert families([]).tolist() == []


def test_families_of_na19240(shared):
    calls = (shared / "data/vntr_hg38_chr2/VNTRseek_NA19240_ERX283215.vcf").read_text()
    found = families(re.findall(r"RCP=([ACGT]+)", calls))
    assert len(found) == 3737
    assert len(np.unique(found)) == 2692
    assert np.bincount(found).max() == 534

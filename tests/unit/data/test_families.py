import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_splits import mutated, random_sequences

from dnalm.data.families import IDENTITY, canonical, family_links, primitive
from dnalm.sequence.alphabet import reverse_complement

RNG = np.random.default_rng(11)

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


def linked(*motifs):
    left, right, identity = family_links(motifs)
    return {
        (a, b): round(value, 3) for a, b, value in zip(left.tolist(), right.tolist(), identity.tolist(), strict=True)
    }


def test_links_by_hand():
    motif = "ACGTTGCAAGCTTACCGATTGG"
    changed = "ACGTTGCAAGATTACCGATTGG"
    rotated = reverse_complement(motif[5:] + motif[:5])
    shortened = motif[:11] + motif[12:]
    doubled = motif + changed
    longer = motif + "TTAGGCATCCTAGAACTCGTGACAGTCTCA"  # holds the motif, but the other 30 bases do not repeat it
    found = linked(motif, changed, rotated, longer, doubled, shortened)
    assert found == {
        (0, 1): 0.955,  # 2 edits in two copies of 22 bases
        (0, 2): 1.0,
        (0, 4): 0.977,  # 2 edits in 88 bases
        (0, 5): 0.955,
        (1, 4): 0.977,
        (1, 5): 0.909,
        (4, 5): 0.932,
    }


def test_equal_forms_are_paired_with_the_first_of_them():
    assert linked("AAGG", "CCTT", "AAGGAAGG", "GGAA", "AAGC", "A", "T") == {
        (0, 1): 1.0, (0, 2): 1.0, (0, 3): 1.0, (5, 6): 1.0,
    }  # fmt: skip


def test_no_motifs():
    assert linked() == {}
    assert linked("ACG") == {}


def substituted(unit, count=1):
    bases = list(unit)
    for place in RNG.choice(len(unit), count, replace=False):
        bases[place] = RNG.choice([base for base in "ACGT" if base != bases[place]])
    return "".join(bases)


def tenth(unit):
    """A copy with one base of ten changed."""
    return substituted(unit, len(unit) // 10)


PLANTED = {
    "one substitution": ((7, 23), substituted),
    "two substitutions": ((14, 23), lambda unit: substituted(unit, 2)),
    "one deletion": ((7, 23), lambda unit: unit[1:]),
    "one insertion, other strand and rotation": ((7, 23), lambda unit: reverse_complement(unit[2:] + "A" + unit[:2])),
    "13 % substitutions": ((16, 60), lambda unit: substituted(unit, int(0.13 * len(unit)))),
    "two diverged copies": ((10, 30), lambda unit: tenth(unit) + tenth(unit)),
    "three diverged copies, other strand": ((10, 30), lambda unit: reverse_complement("".join(map(tenth, [unit] * 3)))),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_relatives_are_linked(kind):
    (shortest, longest), change = PLANTED[kind]
    units = random_sequences(RNG, RNG.integers(shortest, longest, 200, endpoint=True).tolist())
    left, right, _ = family_links([*units, *map(change, units)])
    assert len({*zip(left.tolist(), right.tolist(), strict=True)} & {(i, i + 200) for i in range(200)}) >= 198


@pytest.mark.parametrize(("lengths", "most"), [((7, 8), 0.015), ((8, 12), 0.005), ((13, 60), 0.0005)])
def test_random_motifs_are_rarely_linked(lengths, most):
    motifs = random_sequences(RNG, RNG.integers(*lengths, 400, endpoint=True).tolist())
    assert len(family_links(motifs)[0]) <= most * 400 * 399 / 2


def edits_by_hand(shorter, longer):
    """Fewest edits of the longer text against any stretch of the shorter one's repetition: a row per base."""
    endless = shorter * (len(longer) // len(shorter) + 3) * 2
    row = np.zeros(len(endless) + 1, int)
    for base in longer:
        step = np.minimum(row[1:] + 1, row[:-1] + (np.array(list(endless)) != base))
        step = np.concatenate(([row[0] + 1], step))
        row = np.minimum.accumulate(step - np.arange(len(step))) + np.arange(len(step))
    return int(row.min())


def test_all_pairs_of_short_motifs_are_found_with_their_identity():
    """Below 16 bases no pair is missed; every pair is aligned here without a search for candidates."""
    rng = np.random.default_rng(3)
    units = random_sequences(rng, rng.integers(1, 16, 60).tolist())
    forms = sorted({canonical(unit) for unit in (*units, *(mutated(rng, unit, 0.1) for unit in units))})
    forms.sort(key=len)
    expected = {}
    for right, longer in enumerate(forms):
        for left, shorter in enumerate(forms[:right]):
            edits = min(edits_by_hand(shorter, text) for text in (longer * 2, reverse_complement(longer * 2)))
            identity = 1 - edits / len(longer * 2)
            expected |= {(left, right): round(identity, 3)} if identity >= IDENTITY else {}
    assert len(expected) > 15
    assert linked(*forms) == expected


def test_links_of_na19240(shared):
    calls = (shared / "data/vntr_hg38_chr2/VNTRseek_NA19240_ERX283215.vcf").read_text()
    motifs = re.findall(r"RCP=([ACGT]+)", calls)
    identity = family_links(motifs)[2]
    assert len(motifs) == 3737
    assert len({canonical(motif) for motif in motifs}) == 3737 - np.count_nonzero(identity == 1)

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from with_relatives import RELATED, grouped

from dnalm.data.groups import definition, group_records
from dnalm.tables.sequences import sequence_table


def unrelated(count, length=60, seed=1):
    return ["".join(row) for row in np.random.default_rng(seed).choice(list("ACGT"), (count, length))]


def table(rows):
    """Rows are dicts; each gets a sequence of its own unless it brings one."""
    own = unrelated(len(rows))
    rows = [{"id": f"r{n}", "sequence": own[n], "label": 0, "source": "x"} | row for n, row in enumerate(rows)]
    extra = ["positive"] if any("positive" in row for row in rows) else []
    return sequence_table(pd.DataFrame(rows), extra)


def test_unrelated_records_are_groups_of_their_own():
    assert grouped(table([{}, {}, {}])) == ["r0", "r1", "r2"]


def test_twins_motifs_and_sequences_link_and_chains_count():
    same = "ACGTTGACCATGATTACAGGCATTCGAC"
    records = table(
        [
            {"id": "b", "positive": "b", "motif": "AAGGC"},
            {"id": "c", "positive": "c", "motif": "GCCTTGCCTT"},  # reverse complement, twice
            {"id": "a", "positive": "c", "sequence": same},
            {"id": "d", "positive": "d", "motif": "TACCCG", "sequence": same},
            {"id": "e", "positive": "e", "motif": "ATTTAC"},
        ]
    )
    assert grouped(records) == ["a", "a", "a", "a", "e"]


def locus(chrom, start, end, flank=0):
    seed = start + 1000 * ord(chrom)
    return {"chrom": chrom, "start": start, "end": end, "sequence": unrelated(1, end - start + 2 * flank, seed)[0]}


def test_overlapping_loci_link():
    records = table(
        [locus("a", 0, 100), locus("a", 99, 140), locus("a", 140, 180), locus("b", 0, 100), locus("a", 20, 60), {}]
    )
    assert grouped(records) == ["r0", "r0", "r2", "r3", "r0", "r5"]


def test_a_locus_has_its_flanks():
    records = table([locus("a", 100, 140, 20), locus("a", 179, 219, 20), locus("a", 260, 300, 20)])
    assert grouped(records) == ["r0", "r0", "r2"]


loci = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(26, 40)), min_size=1, max_size=12)


@given(loci, st.randoms())
@settings(deadline=None, max_examples=50)
def test_overlaps_are_those_of_all_pairs_in_any_order(places, random):
    rows = [locus(chrom, start, start + size) for chrom, start, size in places]
    for n, row in enumerate(rows):
        row["id"] = f"r{n:02d}"
        row["sequence"] = unrelated(1, row["end"] - row["start"], 100 + n)[0]
    label = list(range(len(rows)))
    for _ in rows:
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                if a["chrom"] == b["chrom"] and a["start"] < b["end"] and b["start"] < a["end"]:
                    label[i] = label[j] = min(label[i], label[j])
    order = random.sample(range(len(rows)), len(rows))
    groups = grouped(table([rows[n] for n in order]))
    assert groups == [f"r{label[n]:02d}" for n in order]


def pairs(*rows):
    return pd.DataFrame(rows, columns=["id_a", "id_b", "kind", "identity"])


def test_a_link_that_would_make_too_large_a_group_is_refused_the_strongest_come_first():
    records = table([{} for _ in range(10)])
    chain = [(f"r{n}", f"r{n + 1}", "similar_sequence", 0.8 + n / 100) for n in range(6)]
    whole = group_records(records, pairs(*chain), 1.0)
    assert whole.groups == ["r0"] * 7 + ["r7", "r8", "r9"] and whole.refused == {}
    bounded = group_records(records, pairs(*chain), 0.4)  # r5-r6 is the best link
    assert bounded.groups == ["r0", "r0", "r0", *["r3"] * 4, "r7", "r8", "r9"]
    assert bounded.refused == {"similar_sequence": 1}
    shuffled = group_records(records, pairs(*chain[::-1]), 0.4)
    assert shuffled == bounded


def test_same_sequences_loci_and_given_groups_are_never_refused():
    records = table([{} for _ in range(6)])
    links = [("r0", "r1", "same_sequence", 1.0), ("r1", "r2", "locus", 1.0), ("r2", "r3", "given_group", 1.0)]
    found = group_records(records, pairs(*links, ("r3", "r4", "motif_family", 1.0)), 0.2)
    assert found.groups == ["r0"] * 4 + ["r4", "r5"] and found.refused == {"motif_family": 1}


def test_what_a_later_link_joins_is_not_counted_as_refused():
    records = table([{} for _ in range(8)])
    links = [("r0", "r1", "similar_sequence", 0.9), ("r0", "r2", "similar_sequence", 0.85), ("r3", "r4", "locus", 1.0)]
    links += [("r2", "r3", "similar_sequence", 0.84), ("r1", "r2", "similar_sequence", 0.83)]
    found = group_records(records, pairs(*links), 0.4)
    assert found.groups[:5] == ["r0", "r0", "r0", "r3", "r3"] and found.refused == {"similar_sequence": 1}


def test_the_definition_says_what_is_done():
    assert len(definition("repeats", RELATED, 0.1)) == 5 and "10%" in definition("repeats", RELATED, 0.1)[-1]
    assert "80%" in definition("table", RELATED, 0.1)[1] and "30 exact" in definition("table", RELATED, 0.1)[1]

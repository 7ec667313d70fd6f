"""Wraparound alignment: by hand, against a plain implementation, and against what TRF measures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from needed import needs
from script_runs import run

from dnalm.data import divergence as module
from dnalm.data.catalogue_formats import read_catalogue
from dnalm.data.divergence import align, divergence, fill_divergence
from dnalm.sequence.trf import find_repeats
from dnalm.tables.sequences import sequence_table

DNA = st.text("ACGT", min_size=1, max_size=25)


def path(array, motif):
    """Columns (base of the motif or None, letter or -) of the alignment with the fewest edits, then the most matches.

    One cell after the other, with a way back; edits and matches are kept apart.
    """
    size = len(motif)
    costs, ways = [[(0, 0)] * size], [[""] * size]
    for letter in array:
        above, row, way = costs[-1], [], []
        for at in range(size):
            edits, gain = above[at - 1]
            aligned = (edits, gain - 1) if motif[at] == letter else (edits + 1, gain)
            best = min((aligned, "aligned"), ((above[at][0] + 1, above[at][1]), "inserted"))
            row.append(best[0])
            way.append(best[1])
        for _ in range(2):
            for at in range(size):
                skipped = (row[at - 1][0] + 1, row[at - 1][1])
                if skipped < row[at]:
                    row[at], way[at] = skipped, "skipped"
        costs.append(row)
        ways.append(way)
    at, row, columns = costs[-1].index(min(costs[-1])), len(array), []
    while row:
        way = ways[row][at]
        columns.append((None if way == "inserted" else at, "-" if way == "skipped" else array[row - 1]))
        row -= way != "skipped"
        at = at if way == "inserted" else (at - 1) % size
    return columns[::-1]


def counts(columns, motif):
    return sum(at is not None and motif[at] == letter for at, letter in columns), len(columns)


@pytest.mark.parametrize(
    ("array", "motif", "matches", "columns"),
    [
        ("ACGACGACG", "ACG", 9, 9),
        ("GACGACGA", "ACG", 8, 8),  # begins and ends within the motif
        ("CG", "ACGT", 2, 2),  # shorter than it
        ("ACGATGACG", "ACG", 8, 9),  # a substitution
        ("ACGAGACG", "ACG", 8, 9),  # a deletion
        ("ACGATCGACG", "ACG", 9, 10),  # an insertion
        ("ACGCG", "ACG", 5, 6),  # the motif's first base is skipped, round its end
        ("ACGTACACGT", "ACGT", 10, 12),  # its last two
        ("TTTT", "A", 0, 4),
        ("A", "A", 1, 1),
    ],
)
def test_by_hand(array, motif, matches, columns):
    aligned = align([array], [motif])
    assert (aligned.matches.item(), aligned.columns.item()) == (matches, columns)
    assert divergence([array], [motif]).tolist() == [1 - matches / columns]
    assert counts(path(array, motif), motif) == (matches, columns)


@given(
    st.lists(st.tuples(DNA, DNA), min_size=1, max_size=12),
    st.sampled_from([1, 16, 1 << 16]),
    st.sampled_from([0, 1 << 30]),
)
def test_as_a_plain_implementation_whatever_the_batches(pairs, cells, small):
    arrays, motifs = map(list, zip(*pairs, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CELLS", cells)
        patch.setattr(module, "_SMALL", small)
        aligned = align(arrays, motifs)
    assert list(zip(*map(np.ndarray.tolist, aligned), strict=True)) == [counts(path(*pair), pair[1]) for pair in pairs]


@given(DNA, st.integers(0, 24), st.integers(1, 4), st.integers(0, 24))
def test_a_perfect_array_diverges_from_no_rotation_of_its_motif(motif, turn, copies, rest):
    turn, rest = turn % len(motif), rest % len(motif)
    array = motif * copies + motif[:rest]
    assert divergence([array], [motif[turn:] + motif[:turn]]).item() == 0


@given(DNA, st.integers(2, 5), st.integers(0, 5), st.integers(0, 1000))
def test_never_more_edits_than_were_made(motif, copies, edits, seed):
    rng = np.random.default_rng(seed)
    array = list(motif * copies)
    for _ in range(min(edits, len(array) - 1)):
        at = int(rng.integers(len(array)))
        array[at : at + 1] = rng.choice(["", "A", "C", "G", "T", "AC", "GT"])
    aligned = align(["".join(array) or "A"], [motif])
    assert aligned.columns.item() - aligned.matches.item() <= 2 * edits


def test_nothing_to_align():
    assert divergence([], []).tolist() == []


def neighbours(columns, period):
    """Share of mismatches and indels between each base and the one aligned a motif further, as TRF counts them."""
    inserted = sum(at is None for at, _ in columns)
    letters = [letter for at, letter in columns if at is not None]
    pairs = [pair for pair in zip(letters, letters[period:], strict=False) if pair != ("-", "-")]
    return 1 - sum(a == b for a, b in pairs) / (len(pairs) + 2 * inserted)


@needs("trf")
def test_the_alignment_has_the_matches_between_copies_that_trf_counts(tmp_path):
    """TRF's per-cent matches, cut off to a whole number, are between neighbouring copies; so are those counted here."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(80):
        unit = rng.choice(list("ACGT"), int(rng.integers(8, 50)))
        array = np.tile(unit, int(rng.integers(5, 12)))
        rate = rng.uniform(0, 0.15)
        fate = rng.choice(4, len(array), p=[1 - rate, 0.8 * rate, 0.1 * rate, 0.1 * rate])
        changes = {0: "{}", 1: "X", 2: "", 3: "{}X"}
        text = "".join(
            changes[one].format(base).replace("X", str(rng.choice(list("ACGT"))))
            for one, base in zip(fate, array, strict=True)
        )
        (tmp_path / "a.dat").write_bytes(find_repeats("a", text.encode()))
        whole = [
            repeat for _, repeat in read_catalogue(tmp_path / "a.dat", "trf")
            if len(repeat.sequence) > 0.9 * len(text) and abs(repeat.motif_length - len(unit)) <= 1
        ]  # fmt: skip
        if whole:
            repeat = whole[0]
            columns = path(repeat.sequence, repeat.motif)
            aligned = align([repeat.sequence], [repeat.motif])
            assert counts(columns, repeat.motif) == (aligned.matches.item(), aligned.columns.item())
            own = 1 - aligned.matches.item() / aligned.columns.item()
            rows.append((repeat.divergence, neighbours(columns, repeat.motif_length), own))
    by_trf, between_copies, own = np.array(rows).T
    assert len(rows) > 70
    # TRF weighs substitutions 5 and indels 7, so a few of its alignments are others.
    assert np.quantile(np.abs(by_trf - between_copies), 0.9) < 0.011
    assert np.abs(by_trf - between_copies).max() < 0.04
    assert np.corrcoef(by_trf, own)[0, 1] > 0.98
    # Two copies differ where one of them does.
    assert np.abs(by_trf - (1 - (1 - own) ** 2)).max() < 0.07


@pytest.mark.parametrize("flank", [0, 3])
def test_only_what_is_missing_is_filled(flank):
    sides = "T" * flank
    rows = [
        {"id": "a", "sequence": "AACCG" * 4 + "AACGG", "motif": "AACCG"},
        {"id": "b", "sequence": "AACCG" * 4 + "AACGG", "motif": "AACCG", "divergence": 0.1},
        {"id": "c", "sequence": "ACGTTGCATCAGG"},
    ]
    table = sequence_table(pd.DataFrame(rows).assign(label=1, sequence=lambda t: sides + t["sequence"] + sides))
    filled, measured = fill_divergence(table, flank)
    assert measured == 1
    assert filled["divergence"].tolist()[:2] == [0.04, 0.1]
    assert pd.isna(filled["divergence"][2])
    pd.testing.assert_series_equal(filled.dtypes, table.dtypes)
    assert table["divergence"].isna().tolist() == [True, False, True]


def test_vntrseek_arrays_get_one(shared, tmp_path):
    calls = shared / "data/vntr_hg38_chr2/VNTRseek_NA19240_ERX283215.vcf"
    spec = {"catalogue": "NA19240", "format": "vntrseek", "filters": None}
    imported = {"output": tmp_path / "c.parquet", "ledger": tmp_path / "c.json"}
    assert run("import_catalogue", spec, files=calls, **imported).returncode == 0
    spec = {"format": "vntrseek", "min_length": 26, "flank": 0, "deduplicate": True, "located": False}
    outputs = {"output": tmp_path / "p.parquet", "ledger": tmp_path / "p.json"}
    done = run("extract", spec, catalogue=imported["output"], **outputs)
    assert done.returncode == 0, done.stderr
    positives = pd.read_parquet(outputs["output"])
    assert positives["divergence"].between(0, 0.4).all()
    assert 0.01 < positives["divergence"].median() < 0.15
    assert '"divergences_measured": 3716' in outputs["ledger"].read_text()

"""Corpora: windows of genomes and sequences of tables, divided and counted."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpora import cut, random_dna, write_genome
from small_corpora import settings as corpus

from dnalm.data.corpus_splits import assign
from dnalm.data.corpus_tables import divide_table
from dnalm.errors import UserError
from dnalm.names import SPLITS
from dnalm.sequence.alphabet import reverse_complement

LETTERS = "ACGTacgtN"


def pieces_of_dna(letters=LETTERS):
    """Sequences with runs of N and of soft-masked bases, as genomes have."""
    run = st.builds(
        lambda length, seed, kind: random_dna(length, seed, kind),
        st.integers(1, 150), st.integers(0, 99), st.sampled_from(["ACGT", "acgt", "ACGTacgt", "N"]),
    )  # fmt: skip
    return st.lists(run, min_size=8, max_size=20).map("".join)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(pieces_of_dna(), min_size=1, max_size=3),
    st.integers(10, 40),
    st.integers(1, 50),
    st.sampled_from(["stretch", "random"]),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.5, 1.0]),
    st.integers(0, 3),
)
def test_every_window_is_where_it_says_and_counted_once(sequences, window, stride, method, both, unknown, soft, seed):
    genome = {f"chr{number}": sequence for number, sequence in enumerate(sequences, 1)}
    asked = corpus(
        {"method": method, "stretch": 100, "seed": seed},
        window=window, stride=stride, both_strands=both, max_unknown=unknown, max_soft_masked=soft,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        try:
            tables, manifest = cut(Path(name), {"g": genome}, asked)
        except UserError as error:
            assert "window" in str(error) or "stretch" in str(error) or "empty" in str(error)
            return
        other = Path(name) / "other"
        other.mkdir()
        again, _ = cut(other, {"g": genome}, asked, step=137)  # read in other pieces
        for split in SPLITS:
            assert (Path(name) / f"{split}.parquet").read_bytes() == (other / f"{split}.parquet").read_bytes()
            pd.testing.assert_frame_equal(tables[split], again[split])

    every = pd.concat(tables.values())
    assert every["id"].is_unique and len(every) == sum(line["kept"] for line in manifest["ledger"])
    forward = every[every["strand"] == "+"]
    line = manifest["ledger"][0]
    assert line["in"] == sum(-(-len(sequence) // stride) for sequence in sequences) and line["kept"] == len(forward)
    for row in every.itertuples():
        cutout = genome[row.chrom][row.start : row.end]
        cutout = reverse_complement(cutout) if row.strand == "-" else cutout
        assert row.sequence == cutout.upper() and len(cutout) == window and row.start % stride == 0
        marks = np.zeros(window, bool)
        for start, end in row.soft_masked.reshape(-1, 2):
            marks[start:end] = True
        assert marks.tolist() == [letter.islower() for letter in cutout]
        assert sum(letter not in "ACGT" for letter in row.sequence) <= unknown * window
        assert marks.sum() <= soft * window
        assert row.group == f"{row.chrom}:{row.start // 100}"
    if method == "stretch":
        assert (every["start"] // 100 == (every["end"] - 1) // 100).all()  # none straddles a border
        assert every.groupby("group")["id"].count().sum() == len(every)
        homes = pd.concat([table["group"].to_frame().assign(split=split) for split, table in tables.items()])
        assert (homes.groupby("group")["split"].nunique() == 1).all()
    turned = tables["train"][tables["train"]["strand"] == "-"]
    assert len(turned) == (len(tables["train"]) // 2 if both else 0)
    assert not any((tables[split]["strand"] == "-").any() for split in ("validation", "test"))
    for split, table in tables.items():
        stated = manifest["splits"][split]
        assert stated["records"] == len(table) > 0 and stated["bases"] == window * len(table)
        assert stated["soft_masked_bases"] == sum(
            int(marks[1::2].sum() - marks[::2].sum()) for marks in table["soft_masked"]
        )
        assert stated["groups"] == table["group"].nunique()


def test_dropped_windows_are_counted_by_reason(tmp_path):
    genome = {"a": "ACGTA" * 100 + "N" * 30 + "acgta" * 50 + "ACG", "b": "ACGTA" * 80, "c": "AC" * 50}
    split = {"method": "chromosome", "chromosomes": {"train": ["a"], "validation": ["b"], "test": ["c"]}}
    del split["chromosomes"]["test"]
    split["chromosomes"]["test"] = ["b2"]
    genome["b2"] = "TTACG" * 20
    _, manifest = cut(tmp_path, {"g": genome}, corpus(split, max_soft_masked=0.5, caps={"validation": 7}))
    (line,) = manifest["ledger"]
    # a: 40 windows of which 2 have N (500-530), 12 are soft-masked and one is short; c lies in no split
    assert line["dropped"] == {
        "chromosome in no split": 5, "max_records": 13, "shorter than the window": 1,
        "too many unknown letters": 2, "too soft-masked": 12,
    }  # fmt: skip
    assert line["in"] == 40 + 20 + 5 + 5
    assert [manifest["splits"][one]["records"] for one in SPLITS] == [25, 7, 5]


def test_windows_across_a_border_are_dropped(tmp_path):
    tables, manifest = cut(tmp_path, {"g": {"a": random_dna(1000, 0)}}, corpus(window=30, stride=30))
    assert manifest["ledger"][0]["dropped"] == {"across the border of a stretch": 6, "shorter than the window": 1}
    assert sum(map(len, tables.values())) == 27


def test_a_sample_of_max_records_is_spread_and_depends_on_the_seed(tmp_path):
    genome = {"g": {"a": random_dna(60_000, 1)}}
    starts = {}
    for seed in (1, 2):
        tables, _ = cut(tmp_path, genome, corpus({"seed": seed}, {"train": 300}, both_strands=seed == 2))
        assert len(tables["train"]) == 300
        starts[seed] = tables["train"].loc[tables["train"]["strand"] == "+", "start"].to_numpy()
        assert len(starts[seed]) == 300 // seed  # with both strands a window is two records
    assert set(starts[1]) != set(starts[2])
    # uniform: 300 of 60,000 positions have a mean of 30,000 and a standard error of 17,320 / sqrt(300) = 1,000
    assert abs(starts[1].mean() - 30_000) < 4_000


def test_ids_of_several_genomes_differ(tmp_path):
    same = {"chr1": random_dna(2000, 3)}
    tables, manifest = cut(tmp_path, {"g": same, "h": same}, corpus(genomes=["g", "h"]))
    every = pd.concat(tables.values())
    assert every["id"].is_unique and set(every["source"]) == {"g", "h"}
    assert every["id"].str.startswith("g:chr1:").sum() == 100
    assert [line["source"] for line in manifest["ledger"]] == ["g", "h"]


@pytest.mark.parametrize("stretches", [3, 7, 20, 40, 400])
def test_fractions_are_met_as_closely_as_stretches_allow(stretches):
    rng = np.random.default_rng(stretches)
    fractions = np.array([0.9, 0.05, 0.05])
    for seed in range(5):
        sizes = rng.integers(1, 500, stretches)
        home = assign(sizes, fractions.tolist(), seed)
        shares = np.bincount(home, sizes, 3)
        assert (shares > 0).all()  # each split has a stretch
        if stretches >= 40:
            assert (np.abs(shares - fractions * sizes.sum()) <= sizes.max()).all()
        if stretches == 400:
            assert np.abs(shares / sizes.sum() - fractions).max() < 0.002
    equal = np.full(20, 500)
    assert sorted(np.bincount(assign(equal, fractions.tolist(), 0))) == [1, 1, 18]
    assert len({assign(equal, fractions.tolist(), seed).argmax() for seed in range(20)}) > 5


@pytest.mark.parametrize(
    ("genome", "changes", "split", "message"),
    [
        ({"a": "N" * 500}, {}, {}, "g: no window of 20 bases is left .25 too many unknown letters.; raise max_unknown"),
        ({"a": "acgt" * 100}, {"max_soft_masked": 0.2}, {}, "20 too soft-masked.; raise max_unknown or max_soft_masked"),
        ({"a": "ACGT" * 9, "b": "AC"}, {"window": 60}, {}, "window: 60 bases are more than any chromosome has .the longest, a: 36"),
        ({"a": "ACGT" * 50}, {}, {}, "split.stretch: windows are left in 2 only.*each of the 3 splits.*shorter split"),
        ({"a": "ACGT" * 10}, {}, {"method": "random"}, r"split \(random\): validation would be empty"),
        (
            {"a": "ACGT" * 50, "b": "N" * 80, "c": "ACGT" * 50}, {},
            {"method": "chromosome", "chromosomes": {"train": ["a"], "validation": ["b"], "test": ["c"]}},
            r"split \(chromosome\): validation would be empty; list more chromosomes in split.chromosomes",
        ),
        (
            {"a": "ACGT" * 50, "b": "ACGT"}, {},
            {"method": "chromosome", "chromosomes": {"train": ["a"], "validation": ["b"], "test": ["x"]}},
            r"split.chromosomes: g has no chromosome 'x' \(it has a, b\)",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path, genome, changes, split, message):
    changes.setdefault("stride", changes.get("window", 20))
    with pytest.raises(UserError, match=message):
        cut(tmp_path, {"g": genome}, corpus(split, **changes))
    assert not list(tmp_path.glob("*.parquet"))


def divided(tmp_path, text, **changes):
    path = tmp_path / "given.csv"
    path.write_text(text)
    places = {split: tmp_path / f"{split}.parquet" for split in SPLITS}
    manifest = divide_table(path, corpus(genomes=[], **changes), places)
    return {split: pd.read_parquet(place) for split, place in places.items()}, manifest


@pytest.mark.parametrize("method", ["stretch", "random"])
def test_sequences_of_a_table(tmp_path, method):
    rows = [random_dna(30 + number % 7, number, "ACGTacgt") for number in range(200)]
    rows[5], rows[6] = "ACGTNACGTA", "acgtaCGTAc"
    split = {"method": method, "fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}}
    tables, manifest = divided(
        tmp_path, "name,sequence\n" + "\n".join(f"x, {row} " for row in rows) + "\n", split=split,
        max_soft_masked=0.9, caps={"train": 20, "validation": None, "test": None}, both_strands=True,
    )  # fmt: skip
    every = pd.concat(tables.values())
    assert every["id"].is_unique and (every["source"] == "table").all() and every["chrom"].isna().all()
    assert len(tables["train"]) == 20 and len(tables["validation"]) == pytest.approx(40, abs=3)
    assert manifest["ledger"][0]["dropped"]["too many unknown letters"] == 1
    assert manifest["ledger"][0]["in"] == 200
    for row in every.itertuples():
        given = rows[int(row.group.removeprefix("table-")) - 1]
        given = reverse_complement(given) if row.strand == "-" else given
        assert row.sequence == given.upper()
        lower = [at for start, end in row.soft_masked.reshape(-1, 2) for at in range(start, end)]
        assert lower == [at for at, letter in enumerate(given) if letter.islower()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,seq\nx,ACGT\n", "given.csv, line 1: no column 'sequence'; did you mean 'seq'"),
        ("sequence\nACGT\nACXT\nAC\n", "given.csv, line 3: 'X' is no nucleotide"),
        ("name,sequence\nx,ACGT\ny,\n", "given.csv, line 3: empty sequence"),
        ("sequence\nACGT\nNNNN\nNN\n", "1 of 3 sequences are left .2 too many unknown letters., and each of the 3"),
        ("sequence\n", "given.csv: the table has no rows"),
    ],
)
def test_a_mistake_in_a_table_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        divided(tmp_path, text)
    assert not list(tmp_path.glob("*.parquet"))


def test_the_script_writes_what_the_library_does(tmp_path):
    from script_runs import refused, run

    place = write_genome(tmp_path / "g.fa.gz", {"a": random_dna(3000, 5)})
    outputs = {split: tmp_path / f"{split}.parquet" for split in SPLITS}
    more = {"manifest": tmp_path / "manifest.json"}
    done = run("window_corpus", corpus(), genomes=place, **outputs, **more)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(more["manifest"].read_text())
    assert manifest["splits"]["test"]["records"] == len(pd.read_parquet(outputs["test"])) > 0
    assert len(manifest["splits"]["test"]["sha256"]) == 64
    missing = run("window_corpus", corpus(), genomes=tmp_path / "h.fa.gz", **outputs, **more)
    refused(missing, "h.fa.gz: not an indexed FASTA")

"""Windows of the background: off every record, off each other, and drawn evenly."""

import numpy as np
import pandas as pd
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from script_runs import run_script

from dnalm.config.datasets import Related
from dnalm.data.background import CROWDED, MOST_COVERED, NO_ROOM, _draw, between, draw_background, group_windows
from dnalm.errors import UserError
from dnalm.names import SEQUENCE_COLUMNS
from dnalm.sequence.alphabet import reverse_complement
from dnalm.tables.sequences import sequence_table

CHROMOSOMES = {"chrB": 700, "chrA": 500}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    text = {name: "".join(rng.choice(list("ACGTacgt"), size)) for name, size in CHROMOSOMES.items()}
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in text.items()))
    pysam.faidx(str(path))
    return path


@pytest.fixture(scope="module")
def genome(fasta):
    with pysam.FastaFile(str(fasta)) as opened:
        yield opened


def records(rows, flank=0):
    """Sequence table of (label, chrom or None, start, end); the sequences only have the right lengths."""
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("label", "chrom", "start", "end"))}
    placed = [row[1] is not None for row in rows]
    columns["sequence"] = ["A" * (row[3] - row[2] + 2 * flank) for row in rows]
    columns["start"] = [row[2] if there else None for row, there in zip(rows, placed, strict=True)]
    columns["end"] = [row[3] if there else None for row, there in zip(rows, placed, strict=True)]
    columns |= {"id": [f"r{n}" for n in range(len(rows))], "group": "g", "source": "trf"}
    return sequence_table(columns)


def splits(rows, flank=0):
    return {
        "train": records(rows[::3], flank),
        "validation": records(rows[1::3], flank),
        "test": records(rows[2::3], flank),
    }


def intervals(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


@st.composite
def worlds(draw):
    flank = draw(st.integers(0, 6))
    rows = [(1, None, 0, draw(st.integers(1, 20))) for _ in range(3)]
    for chrom, size in CHROMOSOMES.items():
        for _ in range(draw(st.integers(0, 12))):
            start = draw(st.integers(flank, size - flank - 1))
            rows.append((draw(st.integers(0, 1)), chrom, start, min(start + draw(st.integers(1, 60)), size - flank)))
    context = []
    for chrom, size in CHROMOSOMES.items():
        cuts = sorted(draw(st.sets(st.integers(0, size), max_size=8)))
        context += [(chrom, a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    return splits(rows, flank), intervals(*draw(st.permutations(context))), flank, draw(st.integers(0, 25))


@given(worlds(), st.integers(0, 5))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_window_overlaps_a_record_or_another_or_leaves_the_context(genome, world, seed):
    tables, context, flank, number = world
    found, ledger = draw_background(tables, context, genome, number, flank, seed)
    assert found.columns.tolist() == list(SEQUENCE_COLUMNS)
    free = {chrom: np.zeros(size, bool) for chrom, size in CHROMOSOMES.items()}
    for row in context.itertuples():
        free[row.chrom][row.start : row.end] = True
    for table in tables.values():
        for row in table[table["start"].notna()].itertuples():
            free[row.chrom][row.start - flank : row.end + flank] = False
    lengths = set(tables["test"].loc[tables["test"]["label"] == 1, "sequence"].str.len())
    for row in found.itertuples():
        whole = slice(row.start - flank, row.end + flank)
        assert whole.start >= 0 and free[row.chrom][whole].all() and len(free[row.chrom][whole]) == len(row.sequence)
        free[row.chrom][whole] = False
        assert row.sequence == genome.fetch(row.chrom, whole.start, whole.stop).upper()
        assert len(row.sequence) in lengths and row.id == row.group == f"background:{row.chrom}:{row.start}-{row.end}"
    assert (found["label"] == 0).all() and (found["source"] == "background").all() and found["id"].is_unique
    (line,) = ledger["ledger"]
    assert line["in"] == number and line["kept"] == len(found) == number - sum(line["dropped"].values())
    assert set(line["dropped"]) <= {NO_ROOM, CROWDED}
    assert ledger["records"]["without_place"] == 3
    if line["dropped"].get(NO_ROOM) and not line["dropped"].get(CROWDED):  # no window that was refused would fit now
        lost = ledger["kept_vs_dropped"]["length"]["dropped"]["minimum"]
        edges = np.flatnonzero(np.diff(np.concatenate([[0, *part.astype(int), 0] for part in free.values()])))
        assert not len(edges) or (edges[1::2] - edges[::2]).max() < lost


def test_a_small_genome_keeps_the_lengths_and_gives_fewer(genome):
    """450 free bases: the first windows that cover 225 of them at most, long ones too, all have a place."""
    context = intervals(("chrA", 0, 200), ("chrB", 0, 250))
    tables = splits([(1, None, 0, length) for length in (60, 60, 60, 4, 4, 4, 20, 20, 20, 5, 5, 5)])
    found, ledger = draw_background(tables, context, genome, 100, 0, 1)
    covered = found["sequence"].str.len().sum()
    assert MOST_COVERED * 450 - 60 < covered <= MOST_COVERED * 450
    assert ledger["ledger"][0]["dropped"] == {CROWDED: 100 - len(found)}
    assert set(found["sequence"].str.len()) == {60, 4, 20, 5}


def test_rows_and_seed_alone_decide(genome):
    rows = [(1, "chrA", 10, 20), (0, "chrB", 30, 40), (1, "chrB", 100, 112)] * 2
    context = intervals(("chrA", 0, 500), ("chrB", 0, 350), ("chrB", 360, 700))
    first, _ = draw_background(splits(rows), context, genome, 20, 0, 1)
    again, _ = draw_background({k: v.iloc[::-1] for k, v in splits(rows).items()}, context.iloc[::-1], genome, 20, 0, 1)
    pd.testing.assert_frame_equal(first, again)
    other, _ = draw_background(splits(rows), context, genome, 20, 0, 2)
    assert set(first["id"]) != set(other["id"])
    assert first["chrom"].tolist() == sorted(first["chrom"], key=list(CHROMOSOMES).index)


def test_every_place_is_as_likely():
    """Starts of one window of 10 bases: 11 in a piece of 20, 1 in a piece of 10, none in a piece of 9."""
    free = intervals(("chrA", 100, 120), ("chrA", 200, 210), ("chrB", 50, 59))
    places = _draw(np.full(12_000, 10), free, np.random.default_rng(1))
    counts = places["start"].astype(int).value_counts()
    assert set(counts.index) == {*range(100, 111), 200} and counts.min() > 880 and counts.max() < 1120
    assert (places["end"] - places["start"] == 10).all() and set(places["chrom"]) == {"chrA"}


def test_what_lies_between_the_intervals_is_acgt(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(">c\n" + "ACGTacgtNN" * 3 + "\n>d\nNNNN\n")
    pysam.faidx(str(path))
    with pysam.FastaFile(str(path)) as genome:
        found = between(genome, intervals(("c", 5, 12), ("c", 3, 6)))
        assert found.to_numpy().tolist() == [["c", 0, 3], ["c", 12, 18], ["c", 20, 28]]
        with pytest.raises(UserError, match="catalogues: the genome has no chromosome 'e'"):
            between(genome, intervals(("e", 0, 2)))
        with pytest.raises(UserError, match="catalogues: one reaches beyond the end of 'd'"):
            between(genome, intervals(("d", 0, 5)))


def test_no_room_at_all(genome):
    found, ledger = draw_background(splits([(1, None, 0, 10)] * 3), intervals(("chrA", 0, 9)), genome, 5, 0, 1)
    assert found.empty and ledger["ledger"][0]["dropped"] == {CROWDED: 5}
    short = intervals(*(("chrA", at, at + 9) for at in range(0, 200, 10)))
    found, ledger = draw_background(splits([(1, None, 0, 10)] * 3), short, genome, 5, 0, 1)
    assert found.empty and ledger["ledger"][0]["dropped"] == {NO_ROOM: 5}
    found, ledger = draw_background(splits([(1, None, 0, 10)] * 3), intervals(), genome, 0, 0, 1)
    assert found.empty and found.columns.tolist() == list(SEQUENCE_COLUMNS) and ledger["ledger"][0]["in"] == 0


def test_a_test_split_without_positives_is_refused(genome):
    with pytest.raises(UserError, match="test: no record has label 1"):
        draw_background(splits([(0, "chrA", 1, 5)] * 3), intervals(("chrA", 0, 100)), genome, 5, 0, 1)


def call(data, fasta, catalogues, folder):
    places = ["--data", data, "--genome", fasta, "--catalogues", *catalogues]
    outputs = ["--output", folder / "b.parquet", "--ledger", folder / "b.json"]
    return run_script(
        "draw_background.py", *places, *outputs, spec={"number": 12, "seed": 1, "flank": 2, "related": {}}
    )


def test_the_script_writes_the_same_bytes_or_one_line(tmp_path, fasta):
    rows = [(1, "chrA", 10, 20), (0, "chrB", 30, 40), (1, "chrB", 100, 112)] * 2
    for split, table in splits(rows, 2).items():
        table.to_parquet(tmp_path / f"{split}.parquet")
    intervals(("chrA", 40, 90)).to_parquet(tmp_path / "0.parquet")
    intervals(("chrB", 200, 300), ("chrA", 80, 99)).to_parquet(tmp_path / "1.parquet")
    catalogues = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    made = [call(tmp_path, fasta, catalogues[::step], tmp_path / f"out{step}") for step in (1, -1)]
    assert [done.returncode for done in made] == [0, 0], made[0].stderr
    for name in ("b.parquet", "b.json"):
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out-1" / name).read_bytes()
    found = pd.read_parquet(tmp_path / "out1/b.parquet")
    assert len(found) == 12
    assert not ((found["chrom"] == "chrA") & (found["start"] < 101) & (found["end"] > 38)).any()
    intervals(("chr1", 0, 700)).to_parquet(tmp_path / "1.parquet")
    failed = call(tmp_path, fasta, catalogues, tmp_path / "bad")
    assert failed.returncode == 1 and "Traceback" not in failed.stderr and not (tmp_path / "bad").exists()
    assert failed.stderr.splitlines()[-1].startswith("error: catalogues: the genome has no chromosome 'chr1'")


def test_windows_of_one_repeat_family_are_one_group():
    rng = np.random.default_rng(1)
    unit, *others = ("".join(rng.choice(list("ACGT"), 120)) for _ in range(4))
    copy = reverse_complement("".join("ACGT"["ACGT".index(b) - 1] if at % 9 == 4 else b for at, b in enumerate(unit)))
    table = pd.DataFrame({"id": list("abcdef"), "sequence": [others[0], unit, others[1], copy, others[2], unit]})
    assert group_windows(table, Related())["group"].tolist() == ["a", "b", "c", "b", "e", "b"]

import numpy as np
import pandas as pd
import pysam
import pytest

from dnalm.data.intervals import clip_to_context
from dnalm.data.matching import Wanted, draw_pieces, find_windows


def gc(text):
    return sum(text.upper().count(base) for base in "GC")


def write_genome(path, chromosomes):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in chromosomes.items()))
    pysam.faidx(str(path))
    return pysam.FastaFile(str(path))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    rng = np.random.default_rng(5)
    chromosomes = {
        name: "".join(rng.choice(list("ACGT"), size, p=p))
        for name, size, p in [("c1", 4000, [0.25] * 4), ("c2", 3000, [0.4, 0.1, 0.1, 0.4]), ("c3", 2000, [0.25] * 4)]
    }
    cuts = {name: np.sort(rng.choice(len(text), 20, replace=False)) for name, text in chromosomes.items()}
    rows = [(name, a, b) for name, at in cuts.items() for a, b in zip(at[::2], at[1::2], strict=True)]
    pieces = pd.DataFrame(rows, columns=["chrom", "start", "end"])
    genome = write_genome(tmp_path_factory.mktemp("genome") / "g.fa", chromosomes)
    return chromosomes, pieces, genome


def wanted(count, seed=1, zones=("",)):
    rng = np.random.default_rng(seed)
    length = rng.integers(10, 80, count)
    return Wanted(
        np.full(count, "unique", object), rng.choice(np.array(zones, object), count), length, rng.binomial(length, 0.4)
    )


def check(found, want, world, tolerance, ratio, flank=0):
    chromosomes, pieces, _ = world
    assert (found.groupby("positive").size() == ratio).all()
    for row in found.itertuples():
        text = chromosomes[row.chrom]
        assert row.sequence == text[row.start - flank : row.end + flank]
        assert row.end - row.start == want.length[row.positive]
        share = gc(text[row.start : row.end]) / want.length[row.positive]
        assert abs(share - want.gc[row.positive] / want.length[row.positive]) <= tolerance + 1e-9
        inside = pieces[pieces["chrom"] == row.chrom]
        assert ((inside["start"] <= row.start) & (row.end <= inside["end"])).any()
    for _, here in found.groupby("chrom"):
        here = here.sort_values("start")
        assert (here["start"].to_numpy()[1:] >= here["end"].to_numpy()[:-1]).all()


@pytest.mark.parametrize("ratio", [1, 3])
def test_windows_match_and_are_disjoint(world, ratio):
    _, pieces, genome = world
    want = wanted(60)
    found = find_windows(want, {"unique": pieces}, {"": genome.references}, genome, 0.05, ratio, 0, 7)
    check(found, want, world, 0.05, ratio)
    assert found["positive"].nunique() > (15 if ratio == 3 else 30)


def test_leftovers_try_every_chromosome(world):
    """What fits on one chromosome only is found there, wherever its home is."""
    chromosomes, pieces, genome = world
    for chrom in chromosomes:
        row = pieces[pieces["chrom"] == chrom].iloc[0]
        want = Wanted(
            np.array(["unique"] * 3, object), np.array([""] * 3, object), np.array([30] * 3), np.array([0, 0, 0])
        )
        marked = {name: "G" * len(text) for name, text in chromosomes.items()} | {chrom: "A" * len(chromosomes[chrom])}
        assert row["end"] - row["start"] > 0
        with write_genome(pysam_path(genome).parent / f"{chrom}.fa", marked) as other:
            found = find_windows(want, {"unique": pieces}, {"": other.references}, other, 0.0, 1, 0, 3)
        assert found["chrom"].tolist() == [chrom] * 3


def pysam_path(genome):
    from pathlib import Path

    return Path(genome.filename.decode())


def test_a_zone_takes_windows_from_its_chromosomes_only(world):
    _, pieces, genome = world
    want = wanted(40, zones=("train", "test"))
    zones = {"train": ["c1", "c2"], "test": ["c3"]}
    found = find_windows(want, {"unique": pieces}, zones, genome, 0.1, 1, 0, 7)
    zone = want.zone[found["positive"]]
    assert set(found["chrom"][zone == "test"]) == {"c3"}
    assert set(found["chrom"][zone == "train"]) == {"c1", "c2"}


def test_the_order_and_sharding_of_pieces_play_no_part(world):
    _, pieces, genome = world
    want = wanted(40)
    shuffled = pieces.sample(frac=1, random_state=3)
    first, second = (
        find_windows(want, {"unique": table}, {"": genome.references}, genome, 0.05, 1, 0, 7)
        for table in (pieces, shuffled)
    )
    pd.testing.assert_frame_equal(first, second)


def test_no_pieces_no_windows(world):
    _, pieces, genome = world
    found = find_windows(wanted(3), {"unique": pieces.iloc[:0]}, {"": genome.references}, genome, 0.05, 1, 0, 7)
    assert found.empty
    assert found["positive"].dtype == np.int64


def intervals(rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def test_clip_to_context_by_hand():
    context = intervals([("c", 0, 30), ("c", 40, 60), ("d", 5, 100)])
    pieces = intervals([("c", 0, 12), ("c", 20, 30), ("c", 44, 55), ("c", 56, 60), ("d", 20, 80)])
    clipped = clip_to_context(pieces, context, 5)
    assert clipped.to_numpy().tolist() == [["c", 5, 12], ["c", 20, 25], ["c", 45, 55], ["d", 20, 80]]
    assert clip_to_context(pieces, context, 5, whole=True).to_numpy().tolist() == [["d", 20, 80]]


def test_draw_pieces(world):
    chromosomes, pieces, genome = world
    pieces = pieces[(pieces["start"] > 2) & (pieces["chrom"] != "c2")]
    drawn = draw_pieces(pieces, 5, genome, 2, np.random.default_rng(1))
    assert len(drawn) == len(drawn.drop_duplicates()) == 5
    assert drawn["sequence"].tolist() == [
        chromosomes[chrom][start - 2 : end + 2]
        for chrom, start, end in zip(drawn["chrom"], drawn["start"], drawn["end"], strict=True)
    ]
    assert len(draw_pieces(pieces, 500, genome, 0, np.random.default_rng(1))) == len(pieces)

import numpy as np
import pandas as pd
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data import placement as windows_module
from dnalm.data.intervals import clip_to_context
from dnalm.data.matching import Wanted, draw_pieces, find_windows
from dnalm.data.placement import WindowSampler


def cut(text, starts_and_ends):
    starts, ends = np.array(starts_and_ends, np.int64).reshape(-1, 2).T
    return np.frombuffer(text.encode(), np.uint8), starts, ends


def gc(text):
    return sum(text.upper().count(base) for base in "GC")


def sampler_of(text, pieces, longest, seed=0):
    return WindowSampler(*cut(text, pieces), longest, np.random.default_rng(seed))


pieces_of_40 = st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).map(
    lambda cuts: list(zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False))
)
requests = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 3), st.integers(1, 3)), max_size=12)


@given(st.text("ACGTacgt", min_size=40, max_size=40), pieces_of_40, requests, st.integers(0, 3))
@settings(deadline=None)
def test_draws_fit_are_disjoint_and_are_found_whenever_there_is_one(text, pieces, asked, seed):
    sampler = sampler_of(text, pieces, 9, seed)
    free = np.zeros(41, bool)
    for start, end in pieces:
        free[start:end] = True
    edges = {start for start, _ in pieces}

    def fitting(length, low, high):
        return [
            at
            for at in range(40 - length + 1)
            if free[at : at + length].all()
            and not edges & set(range(at + 1, at + length))
            and low <= gc(text[at : at + length]) <= high
        ]

    for length, low, width, count in asked:
        high = low + width
        there = fitting(length, low, high)
        assert sampler.count(length, np.array([low]), np.array([high])).tolist() == [len(there)]
        before = free.copy()
        found = sampler.draw(length, low, high, count)
        if count == 1:
            assert (found is None) == (not there)
        for start in found or []:
            assert start in fitting(length, low, high)
            free[start : start + length] = False
        if found is None:
            assert (free == before).all()
            assert sampler.count(length, np.array([low]), np.array([high])).tolist() == [len(there)]


def test_windows_drawn_before_are_not_free():
    sampler = sampler_of("ACGT" * 5, [(0, 8), (10, 20)], 6)
    sampler.take(12, 6)
    assert sampler.draw(4, 0, 4, 3) is None
    assert sorted(sampler.draw(4, 0, 4, 2) or []) == [0, 4]


def test_every_window_is_equally_likely():
    drawn = [sampler_of("A" * 20, [(2, 6), (10, 15)], 3, seed).draw(3, 0, 0, 1) for seed in range(2000)]
    counts = np.bincount([start for starts in drawn for start in starts or []])
    assert counts.nonzero()[0].tolist() == [2, 3, 10, 11, 12]
    assert counts[counts > 0] == pytest.approx(400, abs=90)


def test_a_rare_window_is_found_among_many(monkeypatch):
    monkeypatch.setattr(windows_module, "SAMPLE", 4)
    text = "A" * 5000 + "G" * 10 + "A" * 5000
    assert sampler_of(text, [(0, 10010)], 10).draw(10, 10, 10, 1) == [5000]
    monkeypatch.setattr(windows_module, "EXHAUSTIVE", 1000)
    monkeypatch.setattr(windows_module, "STRIDED", 2000)  # every fifth window
    found = sampler_of(text, [(0, 10010)], 10).draw(10, 5, 10, 1)
    assert found is not None
    assert 4995 <= found[0] <= 5005


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

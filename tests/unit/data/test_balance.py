import json

import pandas as pd
import pytest
from balanced import CONTEXT, PIECES, PLAIN, gc, positives, small_genome, sums_hold, with_  # noqa: F401 (the fixture `genome`)

from dnalm.data.balance import balance
from dnalm.errors import UserError
from dnalm.names import SEQUENCE_COLUMNS


@pytest.mark.parametrize("ratio", [1, 2])
def test_each_positive_has_its_twins(genome, ratio):
    arrays = positives(genome)
    records, ledger = balance(arrays, PIECES, None, genome, with_(ratio=ratio))
    assert list(records.columns) == [*SEQUENCE_COLUMNS, "positive"]
    assert records["id"].is_unique
    sums_hold(ledger, records)
    for positive, twins in records.groupby("positive"):
        own, negatives = twins[twins["label"] == 1], twins[twins["label"] == 0]
        assert own["id"].tolist() == [positive]
        assert negatives["id"].tolist() == [f"{positive}:unique-{n + 1}" for n in range(ratio)]
        assert (negatives["sequence"].str.len() == len(own["sequence"].item())).all()
        assert (negatives["sequence"].map(gc) - gc(own["sequence"].item())).abs().max() <= 0.05 + 1e-9
        assert (negatives["source"] == "unique").all()
        assert (negatives["strand"] == "+").all()
        assert negatives["motif"].isna().all()


def test_sources_by_weight(genome):
    weights = {"unique": 1.0, "interspersed": 1.0, "shuffled": 2.0}
    records, ledger = balance(positives(genome), PIECES, None, genome, with_(negatives=weights, gc_tolerance=0.3))
    asked = {line["source"]: line["in"] for line in ledger["ledger"]}
    assert asked == {"vntrseek": 30, "interspersed": 8, "unique": 7, "shuffled": 15}
    sums_hold(ledger, records)
    negatives = records[records["label"] == 0].set_index("positive")
    assert negatives.loc[negatives["source"] == "shuffled", ["chrom", "start", "end", "strand"]].isna().all(axis=None)
    assert (negatives.loc[negatives["source"] == "interspersed", "start"] >= 3000).all()
    cores = records[records["label"] == 1].set_index("positive")["sequence"]
    for name, shuffled in negatives.loc[negatives["source"] == "shuffled", "sequence"].items():
        assert sorted(shuffled) == sorted(cores[name])
        assert shuffled != cores[name]


def test_dropped_positives_are_counted_and_compared(genome):
    arrays = positives(genome)
    arrays.loc[:9, "sequence"] = ["AT" * 40] * 10  # nothing like it in the genome
    records, ledger = balance(arrays, PIECES, None, genome, PLAIN)
    lines = {line["source"]: line for line in ledger["ledger"]}
    assert lines["vntrseek"]["dropped"]["no matching negative (unique)"] >= 10
    assert lines["unique"]["in"] == 30
    sums_hold(ledger, records)
    compared = ledger["kept_vs_dropped"]
    assert set(compared) == {"gc", "length", "motif_length", "copies", "divergence"}
    assert compared["gc"]["dropped"]["quartile_1"] == 0
    assert compared["gc"]["ks"] > 0.5
    assert compared["length"]["kept"]["n"] + compared["length"]["dropped"]["n"] == 30


def test_flanks_are_real_and_free_of_catalogue_intervals(genome):
    flank = 20
    arrays = positives(genome, flank=flank)
    weights = {"unique": 1.0, "shuffled": 1.0}
    records, ledger = balance(arrays, PIECES, CONTEXT, genome, with_(negatives=weights, flank=flank, gc_tolerance=0.2))
    sums_hold(ledger, records)
    own = records[records["label"] == 1].set_index("id")
    windows = records[records["source"] == "unique"]
    assert len(windows) > 5
    for row in windows.itertuples():
        start, end = row.start - flank, row.end + flank
        assert row.sequence == genome.fetch(row.chrom, start, end)
        assert len(row.sequence) == len(own.loc[row.positive, "sequence"])
        context = CONTEXT[CONTEXT["chrom"] == row.chrom]
        assert ((context["start"] <= start) & (end <= context["end"])).any()
        assert abs(gc(row.sequence[flank:-flank]) - gc(own.loc[row.positive, "sequence"][flank:-flank])) <= 0.2 + 1e-9
    shuffles = records[records["source"] == "shuffled"]
    assert len(shuffles) == 15
    for row in shuffles.itertuples():
        positive = own.loc[row.positive, "sequence"]
        assert row.sequence[:flank] == positive[:flank]
        assert row.sequence[-flank:] == positive[-flank:]
        assert row.sequence != positive


@pytest.mark.parametrize("match", [["length", "gc"], ["length"], []])
def test_zones(genome, match):
    zones = {"train": ["c1"], "test": ["c3"]}
    records, ledger = balance(
        positives(genome), PIECES, None, genome, with_(zones=zones, match=match, gc_tolerance=0.3)
    )
    assert list(records.columns) == [*SEQUENCE_COLUMNS, "positive", "split"]
    sums_hold(ledger, records)
    assert (records["split"] == records["chrom"].map({"c1": "train", "c3": "test"})).all()
    line = next(line for line in ledger["ledger"] if line["source"] == "vntrseek")
    assert line["dropped"]["chromosome in no split"] == 10
    if match:
        assert (records.groupby("positive")["split"].nunique() == 1).all()


def test_length_alone(genome):
    arrays = positives(genome)
    arrays["sequence"] = ["AT" * (len(sequence) // 2) for sequence in arrays["sequence"]]
    records, _ = balance(arrays, PIECES, None, genome, with_(match=["length"]))
    assert (records["label"] == 0).sum() == 30
    assert (records.groupby("positive")["sequence"].agg(lambda s: s.str.len().nunique()) == 1).all()


def test_whole_pieces(genome):
    weights = {"unique": 3.0, "interspersed": 1.0}
    records, ledger = balance(positives(genome), PIECES, None, genome, with_(match=[], negatives=weights, ratio=2))
    sums_hold(ledger, records)
    lines = {line["source"]: line for line in ledger["ledger"]}
    assert lines["vntrseek"]["kept"] == 30
    assert lines["unique"]["dropped"] == {}
    assert (lines["unique"]["in"], lines["unique"]["kept"]) == (45, 45)
    assert lines["interspersed"]["in"] == lines["interspersed"]["kept"] == 15
    negatives = records[records["label"] == 0]
    assert (negatives["sequence"].str.len() == 150).all()
    assert not negatives.duplicated(["chrom", "start"]).any()
    assert (negatives["positive"] == negatives["id"]).all()


def test_more_pieces_wanted_than_there_are(genome):
    """The ratio holds: positives without their negatives are dropped, as they are where negatives are matched."""
    records, ledger = balance(positives(genome), PIECES, None, genome, with_(match=[], ratio=2))
    sums_hold(ledger, records)
    ours, line = ledger["ledger"]
    assert (line["in"], line["kept"], line["dropped"]) == (60, 45, {"no piece left": 15})
    assert (ours["in"], ours["kept"], ours["dropped"]) == (30, 22, {"no piece left for its negatives": 8})


def test_whole_pieces_with_flanks_lie_in_their_context(genome):
    records, _ = balance(positives(genome, flank=20), PIECES, CONTEXT, genome, with_(match=[], flank=20))
    negatives = records[records["label"] == 0]
    assert (negatives["sequence"].str.len() == 190).all()
    assert (negatives["end"] - negatives["start"] == 150).all()
    assert not negatives["start"].isin([0]).any()


def test_row_order_plays_no_part(genome):
    weights = {"unique": 1.0, "interspersed": 1.0, "shuffled": 1.0}
    arrays = positives(genome)
    shuffled = {kind: table.sample(frac=1, random_state=1) for kind, table in PIECES.items()}
    first = balance(arrays, PIECES, None, genome, with_(negatives=weights))
    second = balance(arrays.sample(frac=1, random_state=1), shuffled, None, genome, with_(negatives=weights))
    pd.testing.assert_frame_equal(first[0], second[0])
    assert json.dumps(first[1]) == json.dumps(second[1])


def test_the_seed_counts(genome):
    first, second = (balance(positives(genome), PIECES, None, genome, with_(seed=seed))[0] for seed in (1, 2))
    assert first["sequence"].tolist() != second["sequence"].tolist()


@pytest.mark.parametrize(
    ("settings", "pieces", "message"),
    [
        (PLAIN, {"unique": PIECES["unique"].assign(end=lambda t: t["start"] + 20)},
         r"no unmasked piece of \d+ bases.*longest has 20"),
        (PLAIN, {"unique": PIECES["unique"].iloc[:0]}, r"lower min_length or mask less"),
        (with_(match=[]), {"unique": PIECES["unique"].iloc[:0]}, "no unmasked piece is long enough"),
        (with_(negatives={"interspersed": 1.0}), {"interspersed": PIECES["unique"].iloc[:0]},
         "is the genome soft-masked"),
        (with_(gc_tolerance=0.0, ratio=1000), PIECES, r"none of 30 positives is left \(30 no matching negative"),
        (with_(zones={"train": ["chr1"]}), PIECES, r"split.chromosomes.train: the genome has no chromosome 'chr1'"),
    ],
)  # fmt: skip
def test_wrong_input(genome, settings, pieces, message):
    with pytest.raises(UserError, match=message):
        balance(positives(genome), pieces, None, genome, settings)


def test_zones_need_positions(genome):
    with pytest.raises(UserError, match="catalogue without a genome"):
        balance(positives(genome, located=False), PIECES, None, genome, with_(zones={"train": ["c1"]}))

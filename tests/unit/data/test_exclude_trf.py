"""Negatives that TRF calls repeats: dropped with their positives, and counted."""

import numpy as np
import pandas as pd
import pysam
import pytest
from balanced import BALANCE, PIECES, positives, small_genome, sums_hold, with_  # noqa: F401 (the fixture `genome`)
from needed import needs
from script_runs import refused, run

from dnalm.data import balance as module
from dnalm.data.balance import CALLED, SIBLING_CALLED, SURPLUS, balance
from dnalm.errors import UserError
from dnalm.sequence.trf import Repeat, best_repeats

ANY = Repeat(15, 10.0, 300)


@pytest.fixture
def trf(monkeypatch):
    """A stand-in for TRF: it calls every sequence with an even number of A."""
    monkeypatch.setattr(module, "is_installed", lambda: True)
    monkeypatch.setattr(module, "best_repeats", lambda sequences: [ANY if called(text) else None for text in sequences])


def called(sequence):
    return sequence.count("A") % 2 == 0


def lines_of(ledger):
    return {line["source"]: line for line in ledger["ledger"]}


@pytest.mark.parametrize("ratio", [1, 2])
def test_called_negatives_go_with_their_positives(genome, trf, ratio):
    settings = with_(ratio=ratio, gc_tolerance=0.3, negatives={"unique": 1.0, "shuffled": 1.0})
    before, ledger_before = balance(positives(genome), PIECES, None, genome, settings)
    after, ledger = balance(positives(genome), PIECES, None, genome, settings.model_copy(update={"exclude_trf": True}))
    negatives = before[before["label"] == 0]
    is_called = negatives["sequence"].map(called)
    lost = set(negatives["positive"][is_called])
    assert 0 < len(lost) < before["positive"].nunique()
    pd.testing.assert_frame_equal(after, before[~before["positive"].isin(lost)].reset_index(drop=True))
    sums_hold(ledger, after)
    old, new = lines_of(ledger_before), lines_of(ledger)
    assert new["vntrseek"]["dropped"] == {**old["vntrseek"]["dropped"], CALLED: len(lost)}
    for source in ("unique", "shuffled"):
        mine = negatives["source"] == source
        assert new[source]["in"] == old[source]["in"]
        assert new[source]["dropped"].get(CALLED, 0) == (mine & is_called).sum()
        twins = mine & negatives["positive"].isin(lost) & ~is_called
        assert new[source]["dropped"].get(SIBLING_CALLED, 0) == twins.sum()
    assert (ratio == 1) == (SIBLING_CALLED not in {why for line in new.values() for why in line["dropped"]})
    compared = ledger["kept_vs_dropped"]["length"]
    assert compared["kept"]["n"] == (after["label"] == 1).sum()


def test_whole_pieces_are_nobodys_twins(genome, trf):
    before, _ = balance(positives(genome), PIECES, None, genome, with_(match=[]))
    after, ledger = balance(positives(genome), PIECES, None, genome, with_(match=[], exclude_trf=True))
    gone = before[(before["label"] == 0) & before["sequence"].map(called)]
    assert 0 < len(gone) < 30
    pd.testing.assert_frame_equal(
        after[after["label"] == 0].reset_index(drop=True),
        before[before["label"] == 0].drop(gone.index).reset_index(drop=True),
    )
    ours = lines_of(ledger)["vntrseek"]  # the ratio holds: as many positives as there are negatives left
    assert ours["kept"] == 30 - len(gone) and ours["dropped"] == {SURPLUS: len(gone)}
    assert lines_of(ledger)["unique"]["dropped"] == {CALLED: len(gone)}
    sums_hold(ledger, after)


def test_none_left(genome, trf, monkeypatch):
    monkeypatch.setattr(module, "best_repeats", lambda sequences: [ANY] * len(sequences))
    with pytest.raises(UserError, match=rf"none of 30 positives is left \(\d+ {CALLED}"):
        balance(positives(genome), PIECES, None, genome, with_(exclude_trf=True, gc_tolerance=0.3))


@needs("trf")
def test_with_trf_itself(tmp_path):
    """Half of the pieces hold an array that no catalogue lists."""
    rng = np.random.default_rng(3)
    parts = []
    for number in range(60):
        unit = "".join(rng.choice(list("ACGT"), 15))
        parts.append(unit * 10 if number % 2 else "".join(rng.choice(list("ACGT"), 150)))
    (tmp_path / "g.fa").write_text(f">c1\n{''.join(parts)}\n>c2\nAC\n>c3\nAC\n")
    pysam.faidx(str(tmp_path / "g.fa"))
    starts = np.arange(0, 9000, 150)
    pieces = {"unique": pd.DataFrame({"chrom": "c1", "start": starts, "end": starts + 150})}
    with pysam.FastaFile(str(tmp_path / "g.fa")) as repetitive:
        arrays = positives(repetitive, count=40, located=False)
        settings = with_(gc_tolerance=0.3, exclude_trf=True)
        records, ledger = balance(arrays, pieces, None, repetitive, settings)
    sums_hold(ledger, records)
    assert lines_of(ledger)["unique"]["dropped"][CALLED] > 10
    assert set(best_repeats(records.loc[records["label"] == 0, "sequence"].tolist())) == {None}


def test_without_trf_it_is_one_line(genome, tmp_path, monkeypatch):
    positives(genome).to_parquet(tmp_path / "p.parquet")
    PIECES["unique"].to_parquet(tmp_path / "u.parquet")
    monkeypatch.setenv("PATH", str(tmp_path))
    outputs = {"output": tmp_path / "r.parquet", "ledger": tmp_path / "r.json"}
    spec = {**BALANCE, "flank": 0, "negatives": {"unique": 1.0}, "exclude_trf": True}
    done = run(
        "balance", spec, positives=tmp_path / "p.parquet", genome=genome.filename.decode(),
        unique=tmp_path / "u.parquet", **outputs,
    )  # fmt: skip
    refused(done, "balance.exclude_trf: trf is not installed; install it", *outputs.values())

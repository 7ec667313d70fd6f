"""Flanks say nothing about the class, and don't tie records together: from a simulated genome to groups."""

import numpy as np
import pandas as pd
import pysam
import pytest
from with_relatives import grouped

from dnalm.config.genomes import Simulation
from dnalm.config.stages.data import BalanceSettings
from dnalm.data.balance import CROWDED, balance
from dnalm.data.positives import extract_positives
from dnalm.data.simulation import simulate

FLANK = 100


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A crowded genome, its arrays as a catalogue, the pieces outside them and the same pieces by case."""
    settings = Simulation(chromosomes=3, length=120_000, arrays=250)
    chromosomes, arrays = simulate(settings)
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    path.write_text("".join(f">{name}\n{bytes(bases).decode()}\n" for name, bases in chromosomes.items()))
    pysam.faidx(str(path))
    rows = [(f"a{n}", a.chrom, a.start, a.start + len(a.sequence), a.unit) for n, a in enumerate(arrays)]
    catalogue = pd.DataFrame(rows, columns=["id", "chrom", "start", "end", "motif"])
    catalogue = catalogue.assign(sequence=None, motif_length=None, copies=None, divergence=None)
    parts = {"context": [], "unique": [], "interspersed": []}
    for name, bases in chromosomes.items():
        codes = np.frombuffer(bytes(bases), np.uint8)
        free = codes & 0xDF != ord("N")
        for row in catalogue[catalogue["chrom"] == name].itertuples():
            free[row.start : row.end] = False
        for kind, mask in [("context", free), ("unique", free & (codes < 97)), ("interspersed", free & (codes >= 97))]:
            edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
            parts[kind].append(pd.DataFrame({"chrom": name, "start": edges[::2], "end": edges[1::2]}))
    tables = {kind: pd.concat(tables, ignore_index=True) for kind, tables in parts.items()}
    with pysam.FastaFile(str(path)) as genome:
        yield genome, catalogue, tables


def loci(records):
    return records["chrom"].to_numpy(), records["start"].to_numpy(int) - FLANK, records["end"].to_numpy(int) + FLANK


def overlaps(one, other):
    (chrom, start, end), (chroms, starts, ends) = one, other
    return (chrom[:, None] == chroms) & (start[:, None] < ends) & (starts < end[:, None])


@pytest.mark.parametrize("match", [["length", "gc"], []])
def test_flanks_do_not_give_the_class_away_nor_tie_records_together(world, match):
    genome, catalogue, tables = world
    positives, _ = extract_positives(catalogue, "bed", genome, 26, FLANK, True)
    pieces = {kind: tables[kind] for kind in ("unique", "interspersed")}
    if not match:
        pieces = {kind: table[(table["end"] - table["start"]).between(26, 1000)] for kind, table in pieces.items()}
    weights = {"unique": 2.0, "interspersed": 1.0, **({"shuffled": 1.0} if match else {})}
    records, ledger = balance(
        positives,
        pieces,
        tables["context"],
        genome,
        BalanceSettings(negatives=weights, match=match, gc_tolerance=0.1, seed=1, flank=FLANK, zones=None),
    )
    kept = records[records["label"] == 1]
    negatives = records[(records["label"] == 0) & records["start"].notna()]
    assert len(kept) > (30 if match else 10)
    assert len(negatives) > (20 if match else 5)
    assert ledger["ledger"][0]["dropped"][CROWDED] > 20
    arrays = catalogue["chrom"].to_numpy(), catalogue["start"].to_numpy(int), catalogue["end"].to_numpy(int)
    assert (overlaps(loci(kept), arrays).sum(axis=1) == 1).all()  # its own
    assert not overlaps(loci(negatives), arrays).any()
    assert not overlaps(loci(negatives), loci(kept)).any()
    assert overlaps(loci(negatives), loci(negatives)).sum() == len(negatives)
    if match:
        groups = pd.Series(grouped(records)).value_counts()
        assert groups.max() < 0.15 * len(records)

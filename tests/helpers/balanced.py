"""A small genome, its unmasked pieces and positives on it, for tests of what balances a data set."""

import numpy as np
import pandas as pd
import pysam
import pytest

from dnalm.config.stages.data import BalanceSettings
from dnalm.tables.sequences import sequence_table

BALANCE = {
    "negatives": {"unique": 1.0, "shuffled": 1.0}, "match": ["length", "gc"], "gc_tolerance": 0.05,
    "ratio": 1, "seed": 42, "flank": 5, "zones": None,
}  # fmt: skip
PLAIN = BalanceSettings(negatives={"unique": 1.0}, gc_tolerance=0.05, flank=0, zones=None)
SIZE = 6000


def with_(**changes):
    return PLAIN.model_copy(update=changes)


@pytest.fixture(scope="module", name="genome")
def small_genome(tmp_path_factory):
    rng = np.random.default_rng(2)
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    path.write_text("".join(f">c{n}\n{''.join(rng.choice(list('ACGT'), SIZE))}\n" for n in (1, 2, 3)))
    pysam.faidx(str(path))
    with pysam.FastaFile(str(path)) as fasta:
        yield fasta


def intervals(*pairs):
    return pd.DataFrame(
        [(f"c{n}", start, end) for n in (1, 2, 3) for start, end in pairs], columns=["chrom", "start", "end"]
    )


PIECES = {
    "unique": intervals(*[(start, start + 150) for start in range(0, 3000, 200)]),
    "interspersed": intervals(*[(start, start + 150) for start in range(3000, 6000, 200)]),
}
CONTEXT = intervals((0, 2590), (2600, 4900), (4910, SIZE))


def positives(genome, count=30, flank=0, located=True):
    rng = np.random.default_rng(9)
    rows = []
    for at in range(count):
        motif = "".join(rng.choice(list("ACGT"), rng.integers(7, 15)))
        core = (motif * 9)[: rng.integers(26, 90)]
        start = int(rng.integers(100, 5000))
        chrom = f"c{at % 3 + 1}"
        sides = [
            genome.fetch(chrom, start - flank, start),
            genome.fetch(chrom, start + len(core), start + len(core) + flank),
        ]
        place = {"chrom": chrom, "start": start, "end": start + len(core), "strand": "+"} if located else {}
        rows.append(
            {"id": f"p{at:02d}", "sequence": core.join(sides), "motif": motif, "motif_length": len(motif), **place}
        )
    table = pd.DataFrame(rows).assign(label=1, group="", source="vntrseek", copies=3.0)
    return sequence_table(table.assign(positive=table["id"]), ["positive"])


def gc(text):
    return (text.count("G") + text.count("C")) / len(text)


def sums_hold(ledger, records):
    for line in ledger["ledger"]:
        assert line["in"] == line["kept"] + sum(line["dropped"].values())
        assert line["kept"] == (records["source"] == line["source"]).sum()
    assert len(records) == sum(line["kept"] for line in ledger["ledger"])

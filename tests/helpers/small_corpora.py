"""Small genomes and the corpora that are cut from them."""

import numpy as np
import pyarrow.parquet as pq

from dnalm.config.corpora import CorpusSplitting
from dnalm.config.stages.data import WindowCorpusSettings
from dnalm.data.corpora import window_genomes
from dnalm.data.genomes import FastaWriter, index_fasta, open_genome
from dnalm.names import SPLITS


def write_genome(path, chromosomes):
    """An indexed, bgzip-packed FASTA of sequences by name."""
    with FastaWriter(path) as writer:
        for name, sequence in chromosomes.items():
            writer.start(name)
            writer.write(sequence.encode())
    index_fasta(path, path.with_name(f"{path.name}.fai"), path.with_name(f"{path.name}.gzi"))
    return path


def random_dna(length, seed, letters="ACGT"):
    """Random letters."""
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def settings(split=None, caps=None, **changes):
    """Settings of a corpus: windows of 20 bases in stretches of 100, unless changed."""
    values = {
        "genomes": ["g"], "sequence_column": "sequence", "window": 20, "stride": 20, "max_unknown": 0.0,
        "max_soft_masked": 1.0, "both_strands": False,
        "split": CorpusSplitting(**{"stretch": 100, **(split or {})}),
        "caps": {**dict.fromkeys(SPLITS), **(caps or {})},
    }  # fmt: skip
    return WindowCorpusSettings(**values | changes)


def cut(folder, genomes, given, **more):
    """The tables of a corpus, as data frames by split, and its manifest. genomes: chromosomes by name, by genome."""
    places = {split: folder / f"{split}.parquet" for split in SPLITS}
    opened = {
        name: open_genome(write_genome(folder / f"{name}.fa.gz", chromosomes)) for name, chromosomes in genomes.items()
    }
    try:
        manifest = window_genomes(opened, given, places, **more)
    finally:
        for genome in opened.values():
            genome.close()
    return {split: pq.read_table(place).to_pandas() for split, place in places.items()}, manifest

"""Test records that lie in a corpus: planted ones are found, and no others."""

import pandas as pd
import pytest
from small_corpora import cut, random_dna, settings

from dnalm.config.stages.data import ComparePretrainingSettings
from dnalm.data.pretraining import _merged, _upto, compare_pretraining
from dnalm.names import SPLITS
from dnalm.sequence.alphabet import reverse_complement
from dnalm.tables.sequences import sequence_table

GENOME = random_dna(40_000, 7)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Windows of a random genome; the folder of its tables, and the tables."""
    folder = tmp_path_factory.mktemp("corpus")
    asked = settings({"stretch": 1000}, genomes=["g"], window=100, stride=100)
    tables, _ = cut(folder, {"g": {"chr1": GENOME}}, asked)
    return folder / "train.parquet", tables


def look(tmp_path, corpus, test, genome=None):
    rows = pd.DataFrame(test)
    rows["id"] = [f"r{number}" for number in range(len(rows))]
    columns = {"source": "x", "group": "g", "label": 0, **rows}
    for split in ("validation", "test"):
        table = sequence_table(columns) if split == "test" else sequence_table(columns).iloc[:0]
        table.to_parquet(tmp_path / f"{split}.parquet")
    found = compare_pretraining(tmp_path, corpus[0], ComparePretrainingSettings(corpus="w", genome=genome))
    assert found["splits"]["validation"]["found"] == 0
    return found["splits"]["test"]


def test_planted_records_are_found_on_either_strand_and_no_others(tmp_path, corpus):
    _, tables = corpus
    windows = tables["train"]["sequence"].tolist()
    held_out = tables["test"]["sequence"].tolist()
    other = [random_dna(100, seed) for seed in range(100, 140)]
    planted = [
        windows[3], windows[50][20:90], reverse_complement(windows[77]), windows[9].lower().upper(),
        windows[9][:60] + random_dna(50, 1),  # 60 of 110 bases
    ]  # fmt: skip
    missed = [windows[20][:45] + random_dna(70, 2), windows[21][:29], *held_out, *other]
    found = look(tmp_path, corpus, {"sequence": planted + missed})
    assert found["found"] == found["by_sequence"] == len(planted)
    assert found["examples"] == [f"r{number}" for number in range(5)]
    assert found["too_short"] == 1 and found["by_position"] is None
    assert look(tmp_path, corpus, {"sequence": held_out + other})["found"] == 0


def test_positions_on_the_corpus_genome_are_compared(tmp_path, corpus):
    _, tables = corpus
    window, free = tables["train"].iloc[5], tables["test"].iloc[0]
    # sequences that differ, at positions of the corpus: mutated assemblies, or arrays in another form
    rows = {
        "sequence": [random_dna(80, seed) for seed in range(4)],
        "chrom": ["chr1", "chr1", "chr2", "chr1"],
        "start": [window.start + 10, free.start, window.start, window.start - 80],
        "end": [window.start + 90, free.start + 80, window.start + 80, window.start],
    }
    inside = sum(
        int(((tables["train"]["start"] <= at) & (at < tables["train"]["end"])).any())
        for at in range(rows["start"][3], rows["end"][3])
    )
    found = look(tmp_path, corpus, rows, genome="g")
    assert found["by_sequence"] == 0 and found["located"] == 4
    assert found["by_position"] == found["found"] == 1 + (inside >= 40)
    elsewhere = look(tmp_path, corpus, rows, genome="h")
    assert elsewhere["located"] == 0 and elsewhere["by_position"] is None and elsewhere["found"] == 0


def test_covered_bases_are_those_of_the_union():
    import numpy as np

    rng = np.random.default_rng(0)
    for _ in range(20):
        starts = rng.integers(0, 200, 30)
        places = np.stack([starts, starts + rng.integers(1, 15, 30)], axis=1)
        inside = np.zeros(230, bool)
        for start, end in places:
            inside[start:end] = True
        runs = _merged(places)
        assert (runs[1:, 0] > runs[:-1, 1]).all()
        at = np.arange(230)
        assert _upto(runs, at).tolist() == [int(inside[:end].sum()) for end in at]


def test_splits_of_a_corpus_do_not_contaminate_each_other(tmp_path, corpus):
    path, _ = corpus
    asked = ComparePretrainingSettings(corpus="w", genome=None)
    found = compare_pretraining(path.parent, path, asked)
    assert set(found["splits"]) == set(SPLITS) - {"train"}
    for one in found["splits"].values():
        assert one["located"] == one["records"] > 0 and one["found"] == one["by_position"] == 0

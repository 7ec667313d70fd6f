"""Simulated arrays: what is done to them is known, and a data set takes them like a catalogue without a genome."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pysam
import pytest
import yaml
from closeness import close
from hypothesis import given
from hypothesis import strategies as st
from script_runs import refused, run

from dnalm.config.catalogues import ArraySimulation
from dnalm.config.loading import load_config
from dnalm.data.array_simulation import NOT_ACGT, REPETITIVE, is_repetitive, simulate_arrays
from dnalm.data.catalogues import COLUMNS
from dnalm.data.divergence import align
from dnalm.data.families import primitive
from dnalm.errors import UserError
from dnalm.workflow import inputs, paths, stages


def write_genome(path, **chromosomes):
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in chromosomes.items()))
    pysam.faidx(str(path))
    return path


def random_dna(size, seed=0, letters="ACGTacgt"):
    return "".join(np.random.default_rng(seed).choice(list(letters), size))


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    """A third of it is gap, a tenth a microsatellite."""
    chromosomes = {"c1": random_dna(3000, 1) + "N" * 3000 + random_dna(2000, 2), "c2": "CA" * 500 + "n" * 10 + "TTGACA"}
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa", **chromosomes)


@pytest.fixture(scope="module")
def genome(fasta):
    with pysam.FastaFile(str(fasta)) as opened:
        yield opened


SHORT_UNITS = st.tuples(st.integers(1, 30), st.integers(0, 30)).map(lambda pair: (pair[0], sum(pair)))
settings_of = st.fixed_dictionaries(
    {
        "arrays": st.integers(1, 15),
        "unit_length": SHORT_UNITS,
        "copies": st.tuples(st.floats(1, 5), st.floats(0, 5)).map(lambda pair: (pair[0], sum(pair))),
        "divergence": st.tuples(st.floats(0, 0.25), st.floats(0, 0.25)).map(lambda pair: (pair[0], sum(pair))),
        "indels": st.floats(0, 1),
        "seed": st.integers(0, 100),
    }
)


@given(settings_of)
def test_each_array_is_as_drawn(genome, settings):
    settings = ArraySimulation(**settings)
    table, passed = simulate_arrays(genome, settings)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == settings.arrays == table["id"].nunique()
    assert table[["chrom", "start", "end", "filter"]].isna().all(axis=None)
    assert not table["sequence"].str.strip("ACGT").any()
    text = " ".join(genome.fetch(name).upper() for name in genome.references)
    assert all(unit in text and primitive(unit) == unit for unit in table["motif"])
    assert (table["motif"].str.len() == table["motif_length"]).all()
    assert table["motif_length"].between(*settings.unit_length).all()
    half = 0.5 / table["motif_length"] + 1e-4
    assert (table["copies"] >= settings.copies[0] - half).all()
    assert (table["copies"] <= settings.copies[1] + half).all()
    perfect = (table["copies"] * table["motif_length"]).round()
    low, high = settings.divergence
    most = np.floor(high * perfect + 1e-9)
    least = np.minimum(np.ceil(low * perfect - 1e-9), most)
    # All changes may be insertions, each a column more.
    assert table["divergence"].between(least / (perfect + least) - 1e-4, most / perfect + 1e-4).all()
    aligned = align(table["sequence"].tolist(), table["motif"].tolist())
    assert (aligned.columns - aligned.matches <= most).all()
    assert min(passed.values()) >= 0


def simulate(genome, **changes):
    return simulate_arrays(genome, ArraySimulation(**changes))[0]


def test_the_divergence_is_the_true_one(genome):
    """Substitutions alone, few and in long units: none of them hides, so the alignment finds as many."""
    table = simulate(genome, arrays=200, unit_length=(50, 60), divergence=(0.02, 0.08), indels=0)
    perfect = [(unit * 5)[: len(array)] for unit, array in zip(table["motif"], table["sequence"], strict=True)]
    changed = [
        np.mean([a != b for a, b in zip(array, other, strict=True)])
        for array, other in zip(table["sequence"], perfect, strict=True)
    ]
    assert (np.abs(table["divergence"] - changed) <= 0.5e-4 * (1 + 1e-6)).all()  # four decimals are kept
    assert table["divergence"].between(0.02, 0.08).all()
    assert table["divergence"].std() > 0.01
    aligned = align(table["sequence"].tolist(), table["motif"].tolist())
    assert close(1 - aligned.matches / aligned.columns, changed, 0.1)


def test_indels_alone_change_lengths_both_ways(genome):
    table = simulate(genome, arrays=300, unit_length=(20, 20), copies=(3, 3), divergence=(0.1, 0.1), indels=1)
    gained = table["sequence"].str.len() - 60
    assert gained.min() < -1 < 1 < gained.max()
    assert (gained.abs() <= 6).all()
    assert abs(gained.mean()) < 0.6
    expected = 6 / (60 + (6 + gained) / 2)
    assert (np.abs(table["divergence"] - expected) <= 0.5e-4 * (1 + 1e-6)).all()  # four decimals are kept


def test_unit_lengths_copies_and_places_are_uniform(genome):
    table = simulate(genome, arrays=3000, unit_length=(10, 19), copies=(2, 4), divergence=(0, 0.2))
    counts = table["motif_length"].value_counts()
    assert len(counts) == 10
    assert counts.between(220, 380).all()
    assert abs(table["copies"].mean() - 3) < 0.05
    assert abs(table["divergence"].mean() - 0.1) < 0.01
    text = genome.fetch("c1").upper()
    starts = table["motif"].map(text.find)
    assert abs((starts < 3000).mean() - 0.6) < 0.04
    assert abs((starts[starts < 3000] < 1500).mean() - 0.5) < 0.04


def test_the_same_seed_gives_the_same_arrays(genome):
    pd.testing.assert_frame_equal(simulate(genome, arrays=20), simulate(genome, arrays=20))
    assert set(simulate(genome, arrays=20)["sequence"]).isdisjoint(simulate(genome, arrays=20, seed=2)["sequence"])


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("A", False), ("AA", True), ("AC", False), ("AAC", False), ("ACAC", True), ("ACACACACAG", True),
     ("AAAAAAAATT", True),
     ("ACGTTGCATC", False), ("ACGTTGCATC" * 2, True)],
)  # fmt: skip
def test_units_that_repeat_themselves(unit, expected):
    assert is_repetitive(np.frombuffer(unit.encode(), np.uint8)) is expected


def test_gaps_and_repeats_are_passed_over_and_counted(genome):
    _, passed = simulate_arrays(genome, ArraySimulation(arrays=500))
    assert passed[NOT_ACGT] > 150
    assert passed[REPETITIVE] > 40


@pytest.mark.parametrize("bases", ["N" * 500, "CA" * 300, "ACGT"])
def test_a_genome_without_units(tmp_path, monkeypatch, bases):
    monkeypatch.setattr("dnalm.data.array_simulation.ATTEMPTS", 50)
    with (
        pysam.FastaFile(str(write_genome(tmp_path / "g.fa", c=bases))) as genome,
        pytest.raises(UserError, match=r"gave no unit of \d+ bases A, C, G, T that is not repetitive itself; change"),
    ):
        simulate(genome, arrays=5)


def test_through_the_scripts_up_to_the_positives(fasta, tmp_path):
    spec = {"catalogue": "low", **ArraySimulation(arrays=80).model_dump()}
    made = []
    for folder in ("a", "b"):
        outputs = {"output": tmp_path / folder / "c.parquet", "ledger": tmp_path / folder / "c.json"}
        done = run("simulate_arrays", spec, genome=fasta, **outputs)
        assert done.returncode == 0, done.stderr
        made.append([path.read_bytes() for path in outputs.values()])
    assert made[0] == made[1]
    assert json.loads(made[0][1])["ledger"] == [
        {"stage": "simulate", "source": "low", "in": 80, "kept": 80, "dropped": {}}
    ]
    table = pd.read_parquet(outputs["output"])
    spec = {"format": "simulated", "min_length": 26, "flank": 0, "deduplicate": True, "located": False}
    positives = {"output": tmp_path / "p.parquet", "ledger": tmp_path / "p.json"}
    done = run("extract", spec, catalogue=outputs["output"], **positives)
    assert done.returncode == 0, done.stderr
    kept = pd.read_parquet(positives["output"])
    assert set(kept["source"]) == {"simulated"}
    assert kept["chrom"].isna().all()
    assert kept.set_index("id")["divergence"].equals(table.set_index("id")["divergence"][kept["id"]])
    assert json.loads(positives["ledger"].read_text())["divergences_measured"] == 0


def test_a_missing_genome_is_one_line_and_leaves_nothing(tmp_path):
    outputs = {"output": tmp_path / "c.parquet", "ledger": tmp_path / "c.json"}
    spec = {"catalogue": "low", **ArraySimulation().model_dump()}
    done = run("simulate_arrays", spec, genome=tmp_path / "no.fa", **outputs)
    refused(done, "no.fa: not an indexed FASTA", *outputs.values())


CONFIG = """
genomes: {g: {simulate: {}}}
catalogues: {low: {genome: g, simulate: {arrays: 30, copies: [1.5, 2]}}, own: {genome: g, simulated: true}}
datasets: {d: {kind: repeats, genome: g, catalogue: low, mask: {catalogues: [own]}}}
"""


def changed(where, value):
    raw = yaml.safe_load(CONFIG)
    raw["datasets"]["d"][where] = value
    return raw


def test_the_config_takes_them_for_a_catalogue_without_positions():
    config = load_config(yaml.safe_load(CONFIG))
    job = SimpleNamespace(dataset="d", catalogue="low")
    spec = json.loads(stages.section(config, "simulate_arrays", job))
    assert spec == {"catalogue": "low", **ArraySimulation(arrays=30, copies=(1.5, 2)).model_dump(mode="json")}
    extract = json.loads(stages.section(config, "extract", job))
    assert (extract["located"], extract["format"]) == (False, "simulated")
    assert inputs.positives_genome(config, job) == []
    assert inputs.catalogue_genome(config, job) == paths.fasta("g")
    assert config.datasets["d"].masked_catalogues(config.catalogues) == ["own"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("flank", 5, "datasets.d.flank: catalogue 'low' is simulated, so its arrays have no context; use flank: 0"),
        ("mask", {"catalogues": ["low"]}, "datasets.d.mask.catalogues: 'low' does not lie on genome 'g'"),
        (
            "split",
            {"method": "chromosome", "chromosomes": {"train": ["chr1"], "validation": ["chr2"], "test": ["chr3"]}},
            "datasets.d.split.method: catalogue 'low' is simulated, so its arrays lie on no chromosome; use grouped",
        ),
    ],
)
def test_what_needs_positions_is_refused(key, value, message):
    with pytest.raises(UserError) as caught:
        load_config(changed(key, value))
    assert str(caught.value).startswith(message)

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from script_runs import run_script, start_script
from simulated_splits import mutated, random_sequences, simulate
from with_relatives import RELATED, compared, divided

from dnalm.config.stages.data import SplitLabelsSettings
from dnalm.data.labelled_tables import import_tables
from dnalm.data.relatives import find_relatives
from dnalm.data.table_formats import read_given_table
from dnalm.files import sha256
from dnalm.names import SPLITS
from dnalm.sequence.alphabet import reverse_complement
from dnalm.tables.sequences import LOCUS, sequence_table

PAIRS = [f"{a}/{b}" for a, b in combinations(SPLITS, 2)]
UNIT = "ACGTTGCAGGCATTACGAGT"


@pytest.fixture
def clean():
    return simulate(300)


def add(tables, split, **record):
    """The tables with one record more, its id `new-` and the split; what is not given is a negative's."""
    columns = {"label": [0], "source": ["unique"], "id": [f"new-{split}"], **{k: [v] for k, v in record.items()}}
    row = sequence_table(columns)
    return tables | {split: pd.concat([tables[split], row], ignore_index=True)}


def numbers(facts):
    """Every count that is not 0, by path."""
    counts = [pair for place in ("within", "across", "conflicting_labels") for pair in walk(facts[place], place)]
    beside = ("located_left", "located_right", "examples", "with_relatives")
    return {path: value for path, value in counts if value and path.split(".")[-1] not in beside}


def walk(node, path):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from walk(value, f"{path}.{key}")
        else:
            yield f"{path}.{key}", value


def test_a_clean_set_is_clean(clean):
    facts = compared(clean, [], "repeats")
    assert numbers(facts) == {} and facts["examples"] == {}
    assert facts["splits"]["train"] == {"records": 180, "sequences": 180}
    assert facts["negatives"] == {"n": 150, "in_catalogue": None, "called_by_trf": None}
    assert list(facts["across"]) == PAIRS
    assert facts["across"]["train/test"]["motif_family"] == {"records_left": 0, "records_right": 0}
    table = compared(simulate(300, "table"), [], "table")
    assert numbers(table) == {} and table["negatives"] == {"n": 0, "in_catalogue": None, "called_by_trf": None}
    assert table["across"]["train/test"]["motif_family"] is None


def test_an_exact_copy_across(clean):
    facts = compared(add(clean, "test", sequence=clean["train"]["sequence"][0]), [], "repeats")
    assert numbers(facts) == {
        "across.train/test.exact": 1,
        "across.train/test.near.records_left": 1,
        "across.train/test.near.records_right": 1,
    }
    assert facts["examples"] == {
        "exact train/test": [["r000000", "new-test"]],
        "near train/test": [["r000000", "new-test"]],
    }


def test_a_reverse_complement_across(clean):
    facts = compared(add(clean, "test", sequence=reverse_complement(clean["validation"]["sequence"][0])), [], "repeats")
    assert numbers(facts) == {
        "across.validation/test.reverse_complement": 1,
        "across.validation/test.near.records_left": 1,
        "across.validation/test.near.records_right": 1,
    }
    assert facts["examples"]["reverse_complement validation/test"] == [["r000180", "new-test"]]


def test_a_near_copy_across(clean):
    copy = reverse_complement(mutated(np.random.default_rng(1), clean["train"]["sequence"][2], 0.02))
    facts = compared(add(clean, "validation", sequence=copy), [], "repeats")
    assert numbers(facts) == {
        "across.train/validation.near.records_left": 1,
        "across.train/validation.near.records_right": 1,
    }
    assert facts["examples"] == {"near train/validation": [["r000002", "new-validation"]]}


@pytest.mark.parametrize("kind", ["exact", "reverse_complement", "near"])
def test_copies_within_a_split_are_counted_once_as_the_closest_kind(clean, kind):
    for row in (0, 1):  # a window and an array
        original = clean["train"]["sequence"][row]
        copy = {
            "exact": original,
            "reverse_complement": reverse_complement(original),
            "near": mutated(np.random.default_rng(1), original, 0.02),
        }[kind]
        label = int(clean["train"]["label"][row])
        tables = add(clean, "train", sequence=copy, label=label)
        facts = compared(tables, [], "repeats")
        assert numbers(facts) == {f"within.train.{kind}": 1}
        assert facts["examples"] == {f"{kind} train": [[f"r00000{row}", "new-train"]]}


def test_like_arrays_across(clean):
    tables = add(clean, "train", sequence=UNIT * 6, label=1, source="trf")
    tables = add(tables, "test", sequence=mutated(np.random.default_rng(1), UNIT * 6, 0.06), label=1, source="trf")
    facts = compared(tables, [], "repeats")
    assert numbers(facts) == {
        "across.train/test.near.records_left": 1,
        "across.train/test.near.records_right": 1,
    }
    assert facts["examples"] == {"near train/test": [["new-train", "new-test"]]}


def test_a_negative_that_is_a_copy_of_an_array(clean):
    """All records are compared with all, whatever their label."""
    tables = add(clean, "train", sequence=UNIT * 6, label=1, source="trf")
    copy = reverse_complement(mutated(np.random.default_rng(1), UNIT * 6, 0.08))
    facts = compared(add(tables, "test", sequence=copy, label=0, source="unique"), [], "repeats")
    assert facts["across"]["train/test"]["near"] == {"records_left": 1, "records_right": 1}
    assert facts["conflicting_labels"]["near"] == {"records": 2, "with_relatives": 2}


def test_flanks_are_no_part_of_an_array(clean):
    rng = np.random.default_rng(1)
    place = {"label": 1, "source": "trf", "chrom": "chr1", "end": 1120}
    left, right, other, another = random_sequences(rng, [200] * 4)
    tables = add(clean, "train", sequence=left + UNIT * 6 + right, start=1000, **place)
    facts = compared(add(tables, "test", sequence=other + UNIT * 6 + another, start=1000, **place), [], "repeats")
    assert facts["across"]["train/test"]["near"]["records_right"] == 1
    assert facts["across"]["train/test"]["exact"] == 0


def test_a_motif_family_across(clean):
    tables = add(clean, "train", sequence=UNIT * 6, label=1, source="trf", motif=UNIT)
    turned = reverse_complement(UNIT[5:] + UNIT[:5])
    facts = compared(add(tables, "test", sequence=turned * 3, label=1, source="trf", motif=turned), [], "repeats")
    assert numbers(facts) == {
        "across.train/test.motif_family.records_left": 1,
        "across.train/test.motif_family.records_right": 1,
        "across.train/test.near.records_left": 1,
        "across.train/test.near.records_right": 1,
    }
    assert facts["examples"]["motif_family train/test"] == [["new-train", "new-test"]]
    no_motifs = compared({split: table.assign(motif=None) for split, table in clean.items()}, [], "repeats")
    assert no_motifs["across"]["train/test"]["motif_family"] is None


def test_overlapping_loci_flanks_included(clean):
    one, other = random_sequences(np.random.default_rng(1), [120, 120])
    tables = add(clean, "train", sequence=one, chrom="chr1", start=1010, end=1110)
    facts = compared(add(tables, "validation", sequence=other, chrom="chr1", start=1129, end=1229), [], "repeats")
    assert facts["across"]["train/validation"]["locus"] == {
        "located_left": 1,
        "located_right": 1,
        "records_left": 1,
        "records_right": 1,
    }
    assert facts["examples"] == {"locus train/validation": [["new-train", "new-validation"]]}
    for place in ({"chrom": "chr1", "start": 1130, "end": 1230}, {"chrom": "chr2", "start": 1129, "end": 1229}):
        assert numbers(compared(add(tables, "validation", sequence=other, **place), [], "repeats")) == {}


def test_loci_on_the_catalogues_own_assembly(clean):
    place = pd.DataFrame([["chr9", 50, 90]] * 2, columns=list(LOCUS))
    tables = {split: table.assign(**dict.fromkeys(LOCUS)) for split, table in clean.items()}
    for split, row in (("train", 0), ("test", 1)):
        tables[split] = tables[split].astype({"locus_start": "Int64", "locus_end": "Int64"})
        tables[split].loc[row, list(LOCUS)] = place.loc[0]
    assert numbers(compared(tables, [], "repeats")) == {
        "across.train/test.locus.records_left": 1,
        "across.train/test.locus.records_right": 1,
    }


def test_conflicting_labels(clean):
    copy = reverse_complement(clean["train"]["sequence"][0])
    facts = compared(add(clean, "train", sequence=copy, label=1), [], "table")
    assert numbers(facts) == {
        "within.train.reverse_complement": 1,
        "conflicting_labels.same.sequences": 1,
        "conflicting_labels.same.records": 2,
    }
    assert facts["conflicting_labels"]["examples"] == ["r000000"]
    assert facts["examples"]["conflicting_labels"] == [["r000000", "new-train"]]


def test_negatives_in_a_catalogue_and_called_by_trf(clean):
    window = "TTTTTTT" + random_sequences(np.random.default_rng(1), [113])[0]
    tables = add(clean, "test", sequence=window, chrom="chr1", start=1010, end=1110, source="interspersed")
    array = {"sequence": "TTTTTTT" + UNIT * 6, "label": 1, "chrom": "chr1", "start": 5000, "end": 5127}
    tables = add(tables, "train", **array)
    near = pd.DataFrame({"chrom": ["chr1", "chr1", "chr2"], "start": [0, 1119, 1000], "end": [1000, 1125, 1200]})
    there = pd.DataFrame({"chrom": ["chr1"], "start": [5000], "end": [5127], "id": ["x"]})
    found = {
        "number": 1,
        "of": 151,
        "by_source": {"interspersed": {"number": 1, "of": 1}, "unique": {"number": 0, "of": 150}},
    }
    called = pd.concat(tables.values())["sequence"].str.startswith("TTTTTTT").to_numpy()
    facts = compared(tables, [there, near], "repeats", called)["negatives"]
    assert facts == {"n": 151, "in_catalogue": found, "called_by_trf": found}
    facts = compared(tables, [near.assign(start=near["start"] + 1)], "repeats")["negatives"]
    assert facts["in_catalogue"]["number"] == 0


records = st.lists(st.tuples(st.text("AC", min_size=1, max_size=3), st.integers(0, 1)), max_size=8)


@given(st.tuples(records, records, records))
@settings(max_examples=60)
def test_exact_counts_are_those_of_sets(rows):
    tables = {}
    for split, part in zip(SPLITS, rows, strict=True):
        columns = {"id": [f"{split}{n}" for n in range(len(part))], "sequence": [s for s, _ in part]}
        tables[split] = sequence_table({**columns, "label": [label for _, label in part], "source": "table"})
    facts = compared(tables, [], "table")
    own = {split: [s for s, _ in part] for split, part in zip(SPLITS, rows, strict=True)}
    for split in SPLITS:
        seen, expected = set(), {"exact": 0, "reverse_complement": 0, "near": 0}
        for sequence in own[split]:
            expected["exact"] += sequence in seen
            expected["reverse_complement"] += sequence not in seen and reverse_complement(sequence) in seen
            seen.add(sequence)
        assert facts["within"][split] == expected
    for left, right in combinations(SPLITS, 2):
        a, b = set(own[left]), set(own[right])
        turned = {s for s in b - a if reverse_complement(s) in a}
        found = facts["across"][f"{left}/{right}"]
        assert (found["exact"], found["reverse_complement"]) == (len(a & b), len(turned))
        either = a | {reverse_complement(s) for s in a}
        assert found["near"]["records_right"] == sum(s in either for s in own[right])
    labels = {}
    for sequence, label in (row for part in rows for row in part):
        labels.setdefault(min(sequence, reverse_complement(sequence)), []).append(label)
    several = [found for found in labels.values() if len(set(found)) > 1]
    expected = {"sequences": len(several), "records": sum(map(len, several))}
    assert facts["conflicting_labels"]["same"] == expected


def test_published_splits_of_core_promoters(shared):
    folder = shared / "data/gue/prom/prom_core_all"
    paths = {"train": folder / "train.csv", "validation": folder / "dev.csv", "test": folder / "test.csv"}
    parts = [read_given_table(split, path, "sequence", "label") for split, path in paths.items()]
    records, _ = import_tables(parts, "sequence", "label", None)
    tables = {split: records[records["split"] == split] for split in SPLITS}
    facts = compared(tables, [], "table")
    assert {pair: facts["across"][pair]["exact"] for pair in PAIRS} == {
        "train/validation": 54,
        "train/test": 42,
        "validation/test": 8,
    }
    assert facts["conflicting_labels"]["same"]["sequences"] == 64


def test_the_loci_of_arrays_reach_the_split_tables():
    sequences = random_sequences(np.random.default_rng(1), [60] * 40)
    columns = {"id": [f"r{n:02d}" for n in range(40)], "sequence": sequences, "label": [0, 1] * 20, "source": "trf"}
    place = {"locus_chrom": "chr1", "locus_start": range(0, 4000, 100), "locus_end": range(50, 4050, 100)}
    table = sequence_table({**columns, **place, "positive": columns["id"]}, ["positive", *LOCUS])
    caps = dict.fromkeys(SPLITS)
    fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
    tables, _ = divided(
        table,
        [],
        SplitLabelsSettings(
            kind="repeats",
            related=RELATED,
            method="random",
            fractions=fractions,
            seed=1,
            caps=caps,
            given=False,
            labels=None,
        ),
    )
    assert compared(tables, [], "repeats")["across"]["train/test"]["locus"]["located_right"] == 8


def call(folder, *arguments, kind="repeats", run=run_script):
    places = ["--data", folder, "--relatives", folder / "relatives.parquet", *arguments]
    places += ["--output", folder / "leakage.json"]
    return run("compare_splits.py", *places, spec={"kind": kind, "related": {}})


def write(tables, folder):
    for split, table in tables.items():
        table.to_parquet(folder / f"{split}.parquet", index=False)
    find_relatives(pd.concat(tables.values()), RELATED).to_parquet(folder / "relatives.parquet", index=False)


def test_the_script_writes_the_same_bytes_again(tmp_path, clean):
    write(add(clean, "test", sequence=clean["train"]["sequence"][0], chrom="chr1", start=10, end=20), tmp_path)
    catalogue = tmp_path / "catalogue.parquet"
    pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [30], "motif": ["A"]}).to_parquet(catalogue)
    hashes = []
    for run in (run_script, start_script):  # which hashes strings in another order
        done = call(tmp_path, "--catalogues", catalogue, run=run)
        assert done.returncode == 0, done.stderr
        hashes.append(sha256(tmp_path / "leakage.json"))
    facts = json.loads((tmp_path / "leakage.json").read_text())
    assert hashes[0] == hashes[1]
    assert facts["across"]["train/test"]["exact"] == 1 and facts["negatives"]["in_catalogue"]["number"] == 1


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"),
    [
        (lambda folder: (folder / "test.parquet").unlink(), [], "test.parquet: no such file"),
        (lambda folder: (folder / "test.parquet").write_text("id,sequence"), [], "test.parquet: cannot read"),
        (
            lambda folder: pd.DataFrame({"id": ["a"]}).to_parquet(folder / "test.parquet"),
            [],
            "test.parquet: no column 'sequence'; compare the tables that split_labels.py writes",
        ),
        (
            lambda folder: sequence_table({"id": ["a", "b"], "sequence": ["A", None], "label": 0}).to_parquet(
                folder / "test.parquet"
            ),
            [],
            "test.parquet, row 2: no sequence",
        ),
        (lambda folder: None, ["--catalogues", "train.parquet"], "train.parquet: no such file"),
        (lambda folder: (folder / "relatives.parquet").unlink(), [], "relatives.parquet: no such file"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(tmp_path, clean, spoil, arguments, said):
    write(clean, tmp_path)
    spoil(tmp_path)
    done = call(tmp_path, *arguments)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("error: ") and said in last
    assert "Traceback" not in done.stderr and not (tmp_path / "leakage.json").exists()


def test_conflicting_targets():
    """The same sequence, or its reverse complement, with targets that are far apart; no word of labels."""
    rng = np.random.default_rng(5)
    sequences = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(12)]
    sequences[6], sequences[7], sequences[9] = sequences[0], reverse_complement(sequences[1]), sequences[2]
    target = np.arange(12.0)
    target[9] = target[2] + 1e-9  # rounding
    ids = [f"r{i:02d}" for i in range(12)]
    table = sequence_table({"id": ids, "sequence": sequences, "target": target, "source": "table", "group": ids})
    tables = {split: table.iloc[i::3].reset_index(drop=True) for i, split in enumerate(SPLITS)}
    facts = compared(tables, [], "table")
    found = facts["conflicting_targets"]
    assert found["same"] == {"sequences": 2, "records": 4} and found["near"] == {"records": 0, "with_relatives": 0}
    assert sorted(map(sorted, facts["examples"]["conflicting_targets"])) == [["r00", "r06"], ["r01", "r07"]]
    assert "conflicting_labels" not in facts and "conflicting_targets" in facts["definitions"]
    assert facts["negatives"] == {"n": 0, "in_catalogue": None, "called_by_trf": None}

import json

import numpy as np
import pandas as pd
import pysam
import pytest
from with_relatives import divided

from dnalm.config.stages.data import BalanceSettings, SplitLabelsSettings
from dnalm.data.balance import balance
from dnalm.data.positives import extract_positives
from dnalm.errors import UserError
from dnalm.names import SEQUENCE_COLUMNS, SPLITS, sequence_columns
from dnalm.tables.ledger import entry
from dnalm.tables.sequences import LOCUS, sequence_table

NO_CAPS = dict.fromkeys(SPLITS)
REPEATS = SplitLabelsSettings(kind="repeats", related={}, seed=42, caps=NO_CAPS, given=False, labels=None)
TABLE = REPEATS.model_copy(update={"kind": "table"})


def unrelated(count, seed=1):
    return ["".join(row) for row in np.random.default_rng(seed).choice(list("ACGT"), (count, 60))]


def repeats(pairs=50):
    sequences = unrelated(2 * pairs)
    rows = []
    for n in range(pairs):
        own, other = sequences[2 * n : 2 * n + 2]
        name = f"p{n:02d}"
        rows.append({"id": name, "sequence": own, "label": 1, "source": "ucsc", "positive": name, "motif": own[:30]})
        rows.append({**rows[-1], "id": f"n{n:02d}", "sequence": other, "label": 0, "source": "unique", "motif": None})
    return sequence_table(pd.DataFrame(rows), ["positive"])


def table(count=100, **columns):
    rows = {"id": [f"t{n:03d}" for n in range(count)], "sequence": unrelated(count), "label": [0, 1] * (count // 2)}
    return sequence_table(
        pd.DataFrame({**rows, "source": "table", **columns}), [name for name in columns if name == "split"]
    )


def ledger(records):
    lines = [
        entry("balance", source, int(n) + 1, int(n), {"x": 1}) for source, n in records["source"].value_counts().items()
    ]
    return {"ledger": lines, "kept_vs_dropped": {"gc": {}}}


def test_every_record_in_one_split_and_the_manifest_says_so():
    records = repeats()
    tables, manifest = divided(records, [ledger(records)], REPEATS)
    assert list(tables) == list(SPLITS)
    together = pd.concat(tables.values())
    assert list(together.columns) == [*SEQUENCE_COLUMNS, "positive"]
    assert sorted(together["id"]) == sorted(records["id"])
    assert (together.groupby("positive")["group"].nunique() == 1).all()
    assert {split: one["records"] for split, one in manifest["splits"].items()} == {
        "train": 60,
        "validation": 20,
        "test": 20,
    }
    assert manifest["splits"]["test"]["labels"] == {"0": 10, "1": 10}
    assert manifest["splits"]["test"]["sources"] == {"ucsc": 10, "unique": 10}
    assert manifest["splits"]["test"]["length"]["1"]["median"] == 60
    assert (manifest["groups"]["number"], manifest["groups"]["largest"], manifest["groups"]["in_several_splits"]) == (
        50,
        2,
        0,
    )
    assert manifest["labels"] == {"0": "0", "1": "1"}
    assert manifest["shared_sequences"] == {"train/validation": 0, "train/test": 0, "validation/test": 0}
    assert manifest["kept_vs_dropped"] == {"gc": {}}
    assert manifest["warnings"] == []
    json.dumps(manifest)


def sums_hold(lines):
    kept = {}
    for line in lines:
        assert line["in"] == line["kept"] + sum(line["dropped"].values())
        assert kept.get(line["source"], line["in"]) == line["in"]
        kept[line["source"]] = line["kept"]
    return kept


def test_caps_are_counted_and_sums_hold_from_stage_to_stage():
    records = repeats()
    caps = {"train": 20, "validation": 11, "test": None}
    tables, manifest = divided(records, [ledger(records)], REPEATS.model_copy(update={"caps": caps}))
    assert [len(tables[split]) for split in SPLITS] == [20, 10, 20]
    assert sums_hold(manifest["ledger"]) == {"ucsc": 25, "unique": 25}
    assert manifest["ledger"][-1]["dropped"] == {"max_records": 25}
    for one in tables.values():
        assert (one.groupby("positive").size() == 2).all()


def test_a_large_group_is_warned_of():
    records = repeats()
    records.loc[records["label"] == 1, "motif"] = ["AAGGC"] * 26 + ["".join(row) for row in unrelated(24, seed=9)]
    _, manifest = divided(records, [], REPEATS.model_copy(update={"largest_group": 1.0}))
    assert manifest["groups"]["largest"] == 52 and manifest["groups"]["refused"] == {}
    assert manifest["warnings"][0].startswith("One group holds 52% of the records (52)")
    _, bounded = divided(records, [], REPEATS)
    assert bounded["groups"]["largest"] <= 40 and bounded["groups"]["refused"]["motif_family"] > 0
    assert bounded["warnings"][0].startswith("Links between relatives were refused")


def test_given_splits_stay_and_what_they_share_is_told():
    records = table(split=["train"] * 60 + ["validation"] * 20 + ["test"] * 20)
    records.loc[[60, 61], "sequence"] = records.loc[[0, 1], "sequence"].tolist()
    records.loc[80, "sequence"] = records.loc[0, "sequence"]
    tables, manifest = divided(records, [], TABLE.model_copy(update={"given": True, "labels": {0: "a", 1: "b"}}))
    assert [len(tables[split]) for split in SPLITS] == [60, 20, 20]
    assert "split" not in tables["train"].columns
    assert tables["train"]["id"].tolist() == [f"t{n:03d}" for n in range(60)]
    assert manifest["shared_sequences"] == {"train/validation": 2, "train/test": 1, "validation/test": 1}
    assert manifest["groups"]["in_several_splits"] == 2
    assert manifest["labels"] == {"0": "a", "1": "b"}
    assert len(manifest["warnings"]) == 4
    assert "2 sequences occur in both train and validation." in manifest["warnings"]


def test_grouped_tables_share_nothing():
    records = table()
    records["sequence"] = records["sequence"].tolist()[:50] * 2
    _, manifest = divided(records, [], TABLE)
    assert set(manifest["shared_sequences"].values()) == {0}
    _, manifest = divided(records, [], TABLE.model_copy(update={"method": "random"}))
    assert manifest["shared_sequences"]["train/test"] > 0
    assert manifest["groups"]["in_several_splits"] > 0


def test_chromosomes_decide():
    records = repeats().assign(split=["train"] * 60 + ["validation"] * 20 + ["test"] * 20)
    tables, _ = divided(records, [], REPEATS.model_copy(update={"method": "chromosome"}))
    assert [len(tables[split]) for split in SPLITS] == [60, 20, 20]
    with pytest.raises(UserError, match=r"split \(chromosome\): test would be empty"):
        divided(records[records["split"] != "test"], [], REPEATS.model_copy(update={"method": "chromosome"}))


def test_a_cap_that_leaves_one_class():
    with pytest.raises(UserError, match=r"test would hold label [01] only.*raise max_records"):
        divided(table(), [], TABLE.model_copy(update={"caps": {**NO_CAPS, "test": 1}}))


def test_row_order_changes_no_split_and_no_manifest():
    records = repeats()
    first, second = (divided(rows, [], REPEATS) for rows in (records, records.sample(frac=1, random_state=4)))
    assert json.dumps(first[1], sort_keys=True) == json.dumps(second[1], sort_keys=True)
    for split in SPLITS:
        assert set(first[0][split]["id"]) == set(second[0][split]["id"])


def test_arrays_of_a_catalogue_without_a_genome_are_grouped_by_its_own_loci(tmp_path):
    """Neither k-mers nor motifs link them, and a negative's place on the genome has nothing to do with theirs."""
    (tmp_path / "g.fa").write_text(f">c\n{''.join(unrelated(100, seed=3))}\n")
    pysam.faidx(str(tmp_path / "g.fa"))
    start = np.arange(20) * 100
    start[1] = 59  # shares one base with the first, [0, 60)
    catalogue = pd.DataFrame({"id": [f"a{n:02d}" for n in range(20)], "chrom": "c", "start": start, "end": start + 60})
    motifs = [text[:30] for text in unrelated(20)]
    catalogue = catalogue.assign(sequence=[motif * 2 for motif in motifs], motif=motifs, motif_length=30, copies=2.0)
    positives, _ = extract_positives(catalogue.assign(divergence=None), "vntrseek", None, 26, 0, True)
    pieces = {"unique": pd.DataFrame({"chrom": ["c"], "start": [0], "end": [6000]})}
    with pysam.FastaFile(str(tmp_path / "g.fa")) as genome:
        settings = BalanceSettings(negatives={"unique": 1.0}, match=["length"], seed=1, flank=0, zones=None)
        records, line = balance(positives, pieces, None, genome, settings)
    tables, manifest = divided(records, [line], REPEATS)
    together = pd.concat(tables.values())
    assert list(together.columns) == [*SEQUENCE_COLUMNS, *LOCUS, "positive"]
    assert manifest["groups"]["number"] == 19
    group = together.set_index("id")["group"]
    assert group["a00"] == group["a01"]


def test_arrays_without_a_motif_are_warned_of():
    records = repeats()
    records.loc[records["id"] == "p03", "motif"] = None
    _, manifest = divided(records, [{**ledger(records), "motifs_inferred": 4}], REPEATS)
    assert (manifest["groups"]["motifs_inferred"], manifest["groups"]["motifs_missing"]) == (4, 1)
    assert manifest["warnings"][0] == "1 arrays have no motif, so no motif family keeps them in one split."


def targets(count=100, seed=3, **columns):
    labelled = table(count).drop(columns="label")
    return sequence_table(
        labelled.assign(target=np.random.default_rng(seed).normal(5, 2, count), **columns),
        [name for name in columns if name == "split"],
    )


@pytest.mark.parametrize("method", ["grouped", "random"])
def test_targets_are_described_by_split(method):
    records = targets(200)
    tables, manifest = divided(records, [], TABLE.model_copy(update={"method": method}))
    together = pd.concat(tables.values())
    assert list(together.columns) == list(sequence_columns("target")) and len(together) == 200
    assert manifest["labels"] == {}
    assert manifest["ledger"][-1]["in"] == 200 == sum(split["records"] for split in manifest["splits"].values())
    for split, part in tables.items():
        found, values = manifest["splits"][split], part["target"]
        assert "labels" not in found and set(found["length"]) == set(found["gc"]) == {"all"}
        assert found["targets"] == {
            "n": len(part), "mean": pytest.approx(values.mean()), "sd": pytest.approx(values.std()),
            "distinct": len(part), "minimum": values.min(), "quartile_1": pytest.approx(values.quantile(0.25)),
            "median": pytest.approx(values.median()),
            "quartile_3": pytest.approx(values.quantile(0.75)), "maximum": values.max(),
        }  # fmt: skip
    merged = together.set_index("id")["target"]
    assert (merged[records["id"]].to_numpy() == records["target"].to_numpy()).all()


def test_caps_of_targets_are_counted_as_dropped():
    tables, manifest = divided(
        targets(200), [], TABLE.model_copy(update={"caps": {"train": 50, "validation": None, "test": 9}})
    )
    assert {split: len(part) for split, part in tables.items()} == {"train": 50, "validation": 40, "test": 9}
    assert manifest["ledger"][-1]["dropped"] == {"max_records": 101} and manifest["ledger"][-1]["kept"] == 99


def test_given_splits_of_one_target_are_refused():
    split = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20
    records = targets(split=split)
    records.loc[records["split"] == "validation", "target"] = 1.0
    with pytest.raises(UserError, match=r"split \(given\): validation would hold target 1.0 only"):
        divided(records, [], TABLE.model_copy(update={"given": True}))

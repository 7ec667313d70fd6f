"""Each planted flaw of a data set is caught, one by one; and what the scripts say of wrong input."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from audited import NOTHING, divided, leakage, records, subject
from closeness import close
from needed import SHARED, needs
from script_runs import run_script, start_script
from small_models import call, error_line

from dnalm.config.audits import Audit, Check
from dnalm.config.datasets import Related
from dnalm.data.relatives import find_relatives
from dnalm.errors import UserError
from dnalm.evaluation.audit.checks import worst
from dnalm.evaluation.audit.findings import audit, check_tables
from dnalm.evaluation.audit.token_counts import TokenCounts, read_token_counts
from dnalm.files import write_table
from dnalm.names import SEQUENCE_COLUMNS, SPLITS

GUE = SHARED / "data" / "gue" / "prom" / "prom_core_all"

OF_TARGETS = ("sizes", "target_distributions", "conflicting_targets")
OF_CORPORA = ("overlapping_windows", "shared_kmers", "pretraining")


@pytest.fixture(scope="module")
def clean():
    return divided(records(1, pairs=160))


@pytest.fixture(autouse=True)
def _no_probes(monkeypatch):
    """Probes have tests of their own; these are about the rest."""
    monkeypatch.setattr("dnalm.evaluation.audit.findings.measure_probes", lambda *_: [])


def judged(tables, facts=None, kind="table", tokens=None, **limits):
    result = audit(subject(kind, **limits), tables, facts or leakage(tables, kind), tokens or {})
    return {check["name"]: check for check in result["checks"]}, result


def test_a_clean_set_passes_every_check_that_applies(clean):
    tokens = {"m": TokenCounts(np.full(320, 20), 0, 512)}
    checks, result = judged(clean, kind="repeats", tokens=tokens, fail_on=["all"])
    assert list(checks) == [name for name in Check.__args__ if name not in (*OF_TARGETS, *OF_CORPORA, "origin")]
    assert {name for name, check in checks.items() if check["status"] != "pass"} <= {"shortcuts"}
    assert result["stops"] == [] and all(check["fix"] == "" for check in checks.values() if check["status"] == "pass")
    assert "negatives_in_catalogue" not in judged(clean)[0]
    json.dumps(result, allow_nan=False)


def put(*path):
    """A change of the facts: the last item at the place named by the others."""

    def change(facts):
        *place, key, value = path
        for step in place:
            facts = facts[step]
        facts[key] = value

    return change


FLAWS = {
    "duplicates": (put("within", "train", "reverse_complement", 40), "40 of 192 in train (40 as reverse complements)"),
    "shared_sequences": (put("across", "train/test", "exact", 3), "3 in both train and test"),
    "near_duplicates": (put("across", "train/test", "near", {"records_left": 9, "records_right": 2}), "2 of 64 test records (3.1 %)"),
    "conflicting_labels": (put("conflicting_labels", {"same": {"sequences": 2, "records": 5}, "near": {"records": 0, "with_relatives": 0}, "examples": []}), "2 sequences (5 records)"),
    "locus_overlap": (put("across", "validation/test", "locus", {"records_left": 1, "records_right": 0, "located_left": 9}), "1 of 64 validation records"),
    "motif_families": (put("across", "train/validation", "motif_family", {"records_left": 0, "records_right": 4}), "the same motif family in train"),
    "given_groups": (put("across", "train/test", "given_group", {"records_left": 1, "records_right": 1, "groups": 1}), "a record of the same group in train"),
    "negatives_in_catalogue": (put("negatives", "in_catalogue", {"number": 16, "by_source": {"unique": {"number": 16, "of": 160}}}), "16 of 160 negatives (10.0 %) overlap"),
    "negatives_called_by_trf": (put("negatives", "called_by_trf", {"number": 8, "by_source": {"unique": {"number": 8, "of": 80}, "shuffled": {"number": 0, "of": 80}}}), "(shuffled 0.0 %, unique 10.0 %)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAWS)
def test_a_planted_leak_is_caught_and_nothing_else(clean, name):
    facts = leakage(clean, "repeats")
    change, words = FLAWS[name]
    change(facts)
    checks, result = judged(clean, facts, "repeats", fail_on=[name])
    check = checks[name]
    assert check["status"] == "fail" and check["value"] > check["threshold"] and words in check["found"], check["found"]
    assert check["why"].endswith(".") and "`datasets.d." in check["fix"]
    assert [n for n, c in checks.items() if c["status"] == "fail"] == [name] == result["stops"]
    assert result["status"] == "fail" and judged(clean, facts, "repeats", fail_on=[])[1]["stops"] == []
    assert judged(clean, facts, "repeats", fail_on=["all"])[1]["stops"] == [name]


def test_limits_of_the_config_decide(clean):
    facts = leakage(clean, "repeats")
    put("across", "train/test", "exact", 3)(facts)
    put("within", "train", "exact", 10)(facts)
    put("negatives", "called_by_trf", {"number": 8, "by_source": {}})(facts)
    checks, _ = judged(clean, facts, "repeats", leaked=0.1, duplicates=0.1, negatives_called=0.05)
    assert {checks[n]["status"] for n in ("shared_sequences", "duplicates", "negatives_called_by_trf")} == {"pass"}
    assert "3 in both train and test" in checks["shared_sequences"]["found"]


def test_few_conflicts_are_a_warning(clean):
    facts = leakage(clean)
    put(
        "conflicting_labels",
        {"same": {"sequences": 1, "records": 2}, "near": {"records": 0, "with_relatives": 0}, "examples": ["a"]},
    )(facts)
    check = judged(clean, facts)[0]["conflicting_labels"]
    assert check["status"] == "warn" and "1 sequence (2 records)" in check["found"] and "table" in check["fix"]


def test_what_was_not_checked_is_said(clean):
    facts = leakage(clean, "repeats")
    facts["negatives"] |= {"in_catalogue": None, "called_by_trf": None}
    nowhere = {**NOTHING, "located_left": 0, "located_right": 0}
    for pair in facts["across"].values():
        pair |= {"motif_family": None, "locus": nowhere}
    checks, _ = judged(clean, facts, "repeats")
    for name in ("negatives_in_catalogue", "negatives_called_by_trf"):
        assert checks[name]["status"] == "warn" and checks[name]["found"].startswith("Not checked")
    assert not {"motif_families", "locus_overlap"} & set(checks)


def test_a_class_that_a_split_lacks(clean):
    tables = dict(clean, validation=clean["validation"][clean["validation"]["label"] == 1])
    check = judged(tables)[0]["classes"]
    assert check["status"] == "fail" and check["found"] == "Validation has no record of label 0 (no)."
    tables = dict(clean, test=clean["test"].head(0))
    assert judged(tables)[0]["classes"]["found"].endswith("test has no records.")
    lone = dict(clean, test=clean["test"][(clean["test"]["label"] == 1) | (clean["test"].index < 2)])
    check = judged(lone)[0]["classes"]
    assert check["status"] == "warn" and check["found"] == "Test has only 1 record of label 0 (no)."


def test_one_class_in_all(clean):
    tables = {split: table[table["label"] == 0] for split, table in clean.items()}
    assert judged(tables, fail_on=["classes"])[1]["stops"] == ["classes"]


def test_groups_of_the_test_split(clean):
    test = clean["test"].assign(group=["one"] * 40 + [f"g{i}" for i in range(24)])
    check = judged(dict(clean, test=test))[0]["effective_groups"]
    assert check["status"] == "warn" and close(check["value"], 64**2 / (40**2 + 24), 1e-6)
    assert "no confidence interval" in check["found"] and check["details"]["largest"] == 40
    check = judged(dict(clean, test=test), effective_groups=2)[0]["effective_groups"]
    assert check["status"] == "warn" and "with a caution" in check["found"]
    assert (
        judged(dict(clean, test=test), effective_groups=2, largest_group=0.7)[0]["effective_groups"]["status"] == "pass"
    )


def test_overlong_records_and_unknown_tokens(clean):
    lengths = np.where(np.arange(320) < 32, 511, 510)
    tokens = {"a": TokenCounts(lengths, 0, 512), "b": TokenCounts(lengths, 2000, None)}
    checks, _ = judged(clean, tokens=tokens)
    assert checks["overlong"]["status"] == "fail" and checks["overlong"]["value"] == 0.1
    assert "a: 32 of 320 records exceed its 512 tokens" in checks["overlong"]["found"]
    assert "b without a known limit" in checks["overlong"]["found"]
    assert (
        checks["unknown_tokens"]["status"] == "fail"
        and checks["unknown_tokens"]["details"]["models"]["a"]["unknown"] == 0
    )
    assert judged(clean, tokens={"b": tokens["b"]}, unknown=0.02)[0]["unknown_tokens"]["status"] == "pass"


def test_worst():
    assert (worst([]), worst(["pass", "fail", "warn"]), worst(["warn", "pass"])) == ("pass", "fail", "warn")


def wrong(tables, message):
    with pytest.raises(UserError, match=message):
        check_tables(tables, {split: f"{split}.parquet" for split in SPLITS})


def test_tables_that_cannot_be_audited(clean):
    test = clean["test"]
    check_tables(clean, dict.fromkeys(SPLITS, ""))
    wrong(dict(clean, test=test.drop(columns="group")), "^test.parquet: no column 'group'")
    missing = test.assign(group=[None, "", *test["group"][2:]])
    wrong(dict(clean, test=missing), f"^test.parquet: record '{test['id'][0]}': no group \\(2 such records\\)")
    wrong(dict(clean, test=pd.concat([test, test.head(1)])), f"^test.parquet: the id '{test['id'][0]}' occurs twice")
    wrong(dict(clean, test=clean["train"]), f"^test.parquet: the id '{clean['train']['id'][0]}' occurs in train too")
    wrong(
        dict(clean, test=test.assign(label=0.5)), "^test.parquet: labels have to be whole numbers from 0; found float64"
    )
    facts = leakage(clean)
    put("splits", "test", "records", 5)(facts)
    with pytest.raises(UserError, match=r"^--leakage: has 5 test records, the table has 64; run compare_splits again"):
        judged(clean, facts)


def write_tokens(folder, tables, bases=4):
    for split, table in tables.items():
        folder.mkdir(parents=True, exist_ok=True)
        lengths = table["sequence"].str.len().to_numpy() // bases
        np.save(folder / f"{split}.offsets.npy", np.concatenate([[0], lengths.cumsum()]))
        counts = {
            "records": len(table),
            "tokens": int(lengths.sum()),
            "unknown_tokens": 1,
            "limit": 25,
            "special_tokens": 2,
        }
        (folder / f"{split}.json").write_text(json.dumps(counts))
    return [folder / f"{split}.json" for split in tables]


def test_token_counts_are_read_in_the_order_of_the_splits(clean, tmp_path):
    files = write_tokens(tmp_path / "m", clean)
    sizes = {split: len(table) for split, table in clean.items()}
    counts = read_token_counts(reversed(files), {"m": 20}, sizes)["m"]
    assert counts.lengths.tolist() == [len(s) // 4 for split in SPLITS for s in clean[split]["sequence"]]
    assert counts.unknown == 3 and counts.overlong == (counts.lengths > 18).sum() > 0
    assert read_token_counts(files, {"m": None}, sizes)["m"].limit == 25
    with pytest.raises(UserError, match=r"no file other/train.json"):
        read_token_counts(files, {"other": None}, sizes)
    with pytest.raises(UserError, match=r"m/test.json: not the tokens of these 65 test records"):
        read_token_counts(files, {"m": None}, {**sizes, "test": 65})
    (tmp_path / "m" / "test.offsets.npy").write_text("no array")
    with pytest.raises(UserError, match=r"test.offsets.npy: damaged token file"):
        read_token_counts(files, {"m": None}, sizes)
    (tmp_path / "m" / "test.offsets.npy").unlink()
    with pytest.raises(UserError, match=r"test.offsets.npy: no such file"):
        read_token_counts(files, {"m": None}, sizes)


def spec_of(kind="table", models=(), **limits):
    return {"dataset": "d", "kind": kind, "audit": Audit(**limits).model_dump(), "labels": None, "models": dict(models)}


def on_disk(folder, tables, facts=None):
    for split, table in tables.items():
        table.to_parquet(folder / f"{split}.parquet")
    (folder / "leakage.json").write_text(json.dumps(facts or leakage(tables)))
    return ["--data", folder, "--leakage", folder / "leakage.json", "--output", folder / "audit.json"]


def refused(monkeypatch, capsys, message, output, script, *arguments, spec=None):
    assert call(monkeypatch, script, *arguments, spec=spec) == 1
    last = error_line(capsys)
    assert last.startswith("error: ") and message in last, last
    assert not list(output.parent.glob(f"*{output.name}*"))
    return last


def test_the_scripts_audit_and_let_pass(clean, tmp_path):
    options = on_disk(tmp_path, clean)
    tokens = write_tokens(tmp_path / "m", clean)
    spec = spec_of(models={"m": 12})
    written = set()
    for _ in range(2):  # in processes of their own, which hash strings in different orders
        done = start_script("audit.py", *options, "--tokens", *tokens, spec=spec)
        assert done.returncode == 0, done.stderr
        written.add((tmp_path / "audit.json").read_bytes())
    assert len(written) == 1
    found = json.loads(written.pop())
    assert found["stops"] == [] and len(found["shortcuts"]) == 16
    assert next(c for c in found["checks"] if c["name"] == "overlong")["details"]["models"]["m"]["limit"] == 12
    assert run_script("gate.py", "--audit", tmp_path / "audit.json", "--output", tmp_path / "audit.ok").returncode == 0
    assert (tmp_path / "audit.ok").read_text().startswith("pass\tclasses\t")


def test_the_gate_says_what_stops_and_what_to_do(clean, tmp_path, monkeypatch, capsys):
    facts = leakage(clean)
    put("across", "train/test", "exact", 3)(facts)
    options = on_disk(tmp_path, clean, facts)
    assert call(monkeypatch, "audit.py", *options, spec=spec_of(fail_on=["shared_sequences"])) == 0
    files = ["--audit", tmp_path / "audit.json", "--output", tmp_path / "audit.ok"]
    message = "stops data set 'd': shared_sequences: Sequences in two splits: 3 in both train and test."
    line = refused(monkeypatch, capsys, message, tmp_path / "audit.ok", "gate.py", *files)
    assert "`datasets.d.split.method`" in line and "`datasets.d.audit.fail_on`" in line


def test_a_test_set_of_three_rows_is_audited_and_its_limits_said(clean, tmp_path, monkeypatch):
    tables = dict(clean, test=clean["test"].head(3))
    assert call(monkeypatch, "audit.py", *on_disk(tmp_path, tables), spec=spec_of()) == 0
    found = {check["name"]: check for check in json.loads((tmp_path / "audit.json").read_text())["checks"]}
    assert found["classes"]["found"] == "Test has only 2 records of label 0; test has only 1 record of label 1."
    assert found["effective_groups"]["status"] == "warn" and "as many as 1.8" in found["effective_groups"]["found"]


def test_wrong_input_is_one_clear_line(clean, tmp_path, monkeypatch, capsys):
    def wrong(message, tables=clean, **spec):
        options = on_disk(tmp_path, tables)
        output = tmp_path / "audit.json"
        refused(monkeypatch, capsys, message, output, "audit.py", *options, spec=spec_of(**spec))

    test = clean["test"]
    wrong("occurs twice; ids have to differ", dict(clean, test=pd.concat([test, test.head(1)])))
    wrong("test.parquet: no column 'group'", dict(clean, test=test.drop(columns="group")))
    wrong("--tokens: no file m/train.json", models={"m": None})
    options = on_disk(tmp_path, clean)
    (tmp_path / "leakage.json").write_text("{")
    message = "leakage.json: not valid JSON"
    refused(monkeypatch, capsys, message, tmp_path / "audit.json", "audit.py", *options, spec=spec_of())


@needs("the data in ../shared")
def test_the_shared_sequences_of_a_published_benchmark(tmp_path, monkeypatch):
    """GUE prom_core_all: 42 sequences of test and 54 of validation are in train too."""
    tables = {}
    for split, file in zip(SPLITS, ("train", "dev", "test"), strict=True):
        table = pd.read_csv(GUE / f"{file}.csv")
        ids = [f"{split}-{row}" for row in range(len(table))]
        tables[split] = table.assign(id=ids, group=ids, source="table").reindex(columns=SEQUENCE_COLUMNS)
    on_disk(tmp_path, tables)
    leaks = tmp_path / "leakage.json"
    relatives = tmp_path / "relatives.parquet"
    write_table(relatives, find_relatives(pd.concat(tables.values(), ignore_index=True), Related()))
    options = ["--data", tmp_path, "--relatives", relatives, "--output", leaks]
    assert call(monkeypatch, "compare_splits.py", *options, spec={"kind": "table", "related": {}}) == 0
    checks = judged(tables, json.loads(leaks.read_text()))[0]
    near, conflicts = checks["near_duplicates"], checks["conflicting_labels"]
    assert near["status"] == conflicts["status"] == "fail"
    assert (
        near["details"]["across"]["train/test"]["records_right"] > 1300
    )  # 1,322 share 30 bases with a training record
    of = conflicts["details"]["near"]
    assert of["records"] > 0.5 * of["with_relatives"] > 5000  # negatives were cut from positives
    check = checks["shared_sequences"]
    assert check["status"] == "fail"
    assert "54 in both train and validation" in check["found"] and "42 in both train and test" in check["found"]


def test_facts_are_not_changed(clean):
    facts = leakage(clean, "repeats")
    before = copy.deepcopy(facts)
    judged(clean, facts, "repeats")
    assert facts == before

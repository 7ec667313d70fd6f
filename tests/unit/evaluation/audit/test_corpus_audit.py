"""The audit of a corpus, and the check of what was seen in pre-training."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnalm.config.audits import Audit
from dnalm.evaluation.audit.checks import Subject
from dnalm.evaluation.audit.corpora import audit_corpus, examine
from dnalm.evaluation.audit.pretraining import pretraining
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.names import SEQUENCE
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.containment import KmerSet, signatures
from dnalm.tables.corpora import SCHEMA, codes_of

RNG = np.random.default_rng(0)


def dna(length):
    return "".join(RNG.choice(list("ACGT"), length))


def write(folder, split, sequences, starts=None):
    number = len(sequences)
    located = starts is not None
    rows = {
        "id": [f"{split}{row}" for row in range(number)],
        "sequence": sequences,
        "group": [f"{split}:{row // 4}" for row in range(number)],
        "source": ["g"] * number,
        "chrom": ["a"] * number if located else [None] * number,
        "start": starts if located else [None] * number,
        "end": [start + len(one) for start, one in zip(starts, sequences, strict=True)] if located else [None] * number,
        "strand": ["+"] * number,
        "soft_masked": [[]] * number,
    }
    pq.write_table(pa.table(rows, schema=SCHEMA), folder / f"{split}.parquet", row_group_size=7)


def subject(**limits):
    return Subject("w", "corpus", {}, Audit(**limits).model_dump(), SEQUENCE)


def checks_of(folder, tokens=None, **limits):
    return {one["name"]: one for one in audit_corpus(subject(**limits), examine(folder), tokens or {})["checks"]}


@pytest.fixture
def clean(tmp_path):
    """40 random windows of 200 bases a split, at positions of their own."""
    for number, split in enumerate(("train", "validation", "test")):
        starts = [200 * (40 * number + row) for row in range(40)]
        write(tmp_path, split, [dna(200) for _ in range(40)], starts)
    return tmp_path


def test_a_clean_corpus_passes(clean):
    found = checks_of(clean)
    assert {name: one["status"] for name, one in found.items()} == {
        "sizes": "warn", "overlapping_windows": "pass", "shared_sequences": "pass", "shared_kmers": "pass",
        "effective_groups": "warn",
    }  # fmt: skip
    assert found["sizes"]["value"] == 8000 and found["effective_groups"]["details"]["groups"] == 10
    assert found["shared_kmers"]["value"] == 0


def test_copies_of_test_windows_in_train_are_found_on_either_strand(clean):
    test = pd.read_parquet(clean / "test.parquet")["sequence"].tolist()
    planted = [test[3], reverse_complement(test[8]), test[9][:100] + dna(100)]
    write(clean, "train", [*(dna(200) for _ in range(37)), *planted], [10_000_000 + 200 * row for row in range(40)])
    found = checks_of(clean)
    assert found["shared_sequences"]["details"]["copied"] == 2 and found["shared_sequences"]["status"] == "fail"
    assert found["shared_sequences"]["details"]["examples"] == ["test3", "test8"]
    assert found["shared_kmers"]["details"]["covered"] == 500
    assert checks_of(clean, duplicates=0.05)["shared_sequences"]["status"] == "warn"


def test_test_windows_that_overlap_train_are_counted(clean):
    first = pd.read_parquet(clean / "test.parquet")["start"].to_numpy()
    starts = [int(start) for start in first[:3] + 199] + [10_000_000 + 200 * row for row in range(37)]
    write(clean, "train", [dna(200) for _ in range(40)], starts)
    found = checks_of(clean)["overlapping_windows"]
    # each of the first three reaches the last base of one window and 199 of the next
    assert found["status"] == "fail" and found["details"] == {"overlapping": 4, "windows": 40}


def test_sequences_without_positions_have_no_overlap(tmp_path):
    for split in ("train", "validation", "test"):
        write(tmp_path, split, [dna(length) for length in (31, 50, 400)])
    assert "overlapping_windows" not in checks_of(tmp_path)


def test_unknown_tokens_and_stopping(clean):
    tokens = {"m": TokenCounts(np.full(120, 50), 600, 60)}
    result = audit_corpus(subject(fail_on=["unknown_tokens"]), examine(clean), tokens)
    assert result["stops"] == ["unknown_tokens"] and result["status"] == "fail" and result["shortcuts"] == []


def test_a_signature_is_that_of_both_strands_and_of_nothing_else():
    texts = [dna(length) for length in (1, 5, 5, 30, 200, 201)]
    texts += ["ACGTN", "AAAA", "AAAAA", "CAAAA"]
    numbers = signatures(*codes_of(pa.array(texts)))
    assert len(set(numbers.tolist())) == len({min(one, reverse_complement(one)) for one in texts})
    turned = signatures(*codes_of(pa.array([reverse_complement(one) for one in texts])))
    assert numbers.tolist() == turned.tolist()


@pytest.mark.parametrize("k", [5, 31])
def test_covered_letters_are_those_of_shared_kmers(k, monkeypatch):
    monkeypatch.setattr("dnalm.sequence.containment.PIECE", 40)  # k-mers are made in many pieces
    mine = [dna(60), dna(k - 1), "ACGTN" * 20, dna(90)]
    theirs = [mine[0][10 : 10 + k], reverse_complement(mine[3][40:]), dna(300)]
    found = KmerSet(k, *codes_of(pa.array(mine)))
    found.look(*codes_of(pa.array(theirs)))
    shared = {text[at : at + k] for text in theirs for at in range(len(text) - k + 1)}
    shared |= {reverse_complement(one) for one in shared}
    expected = []
    for text in mine:
        inside = [False] * len(text)
        for at in range(len(text) - k + 1):
            if text[at : at + k] in shared and "N" not in text[at : at + k]:
                inside[at : at + k] = [True] * k
        expected.append(sum(inside))
    assert found.covered(*codes_of(pa.array(mine))).tolist() == expected
    assert expected[0] >= k and expected[3] >= 50


def facts(corpus, found, **test):
    values = {
        "records": 200, "compared": 200, "found": found, "by_sequence": found, "located": 0, "by_position": None,
        "too_short": 0, "examples": [],
    }  # fmt: skip
    return {"corpus": corpus, "k": 30, "covered": 0.5, "splits": {"test": values | test, "validation": values}}


def test_records_seen_in_pretraining_are_a_warning_with_numbers():
    models = {"a": ["one", "two"], "b": ["one"]}
    found = pretraining(subject(), models, [facts("a", 30), facts("b", 0, too_short=4)])
    assert found["status"] == "warn" and found["value"] == 0.15
    assert found["found"].startswith("30 of 200 test records (15.0 %) lie in 'a', the corpus of 'one' and 'two'")
    assert "4 records under 30 bases not looked for" in found["found"]
    assert found["details"]["corpora"]["a"]["test"]["found"] == 30
    assert pretraining(subject(), models, [facts("a", 0)])["status"] == "pass"
    assert pretraining(subject(), {}, []) is None

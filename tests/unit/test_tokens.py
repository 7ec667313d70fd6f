import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import records, small_tokenizer

from dnalm.errors import UserError
from dnalm.training.tokens import encode, in_memory, quantiles, read_tokens, tokenize

TOKENIZER = small_tokenizer()


def batches(sequences, size=3):
    for at in range(0, len(sequences), size):
        part = sequences[at : at + size]
        yield [f"s{at + i}" for i in range(len(part))], part


def write(directory, sequences, tokenizer=TOKENIZER):
    offsets, counts = tokenize(tokenizer, batches(sequences), directory / "test.ids.npy")
    np.save(directory / "test.offsets.npy", offsets)
    return read_tokens(directory, "test"), counts


def test_tokens_on_disk_are_those_of_each_record(tmp_path):
    sequences = records(20, 4)["sequence"].tolist()
    tokens, counts = write(tmp_path, sequences)
    assert isinstance(tokens.ids, np.memmap) and tokens.ids.dtype == np.uint16
    assert len(tokens) == 20
    for i, sequence in enumerate(sequences):
        ids = tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]]
        assert ids.tolist() == TOKENIZER(sequence, add_special_tokens=False)["input_ids"]
    assert counts["records"] == 20 and counts["tokens"] == len(tokens.ids) == tokens.lengths.sum()
    assert counts["length"]["max"] == tokens.lengths.max()


@given(st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=30), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_batches_make_no_difference(tmp_path_factory, sequences):
    tokens, _ = write(tmp_path_factory.mktemp("tokens"), sequences)
    whole = in_memory(TOKENIZER, sequences)
    assert tokens.ids.tolist() == whole.ids.tolist() and tokens.offsets.tolist() == whole.offsets.tolist()


def test_lower_case_is_upper_case():
    assert [row.tolist() for row in encode(TOKENIZER, ["acgtn"])] == [
        row.tolist() for row in encode(TOKENIZER, ["ACGTN"])
    ]


def test_unknown_letters_are_counted(tmp_path):
    _, counts = write(tmp_path, ["ACGTACGTACGTACGT", "RACGTACGTACGTRR"])
    assert counts["unknown_tokens"] == 3 and counts["records_with_unknown"] == 1


def test_a_tokenizer_that_knows_no_dna_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not know 6 of 6 tokens"):
        write(tmp_path, ["RYSWKM"])


def test_a_record_without_tokens_is_named(tmp_path):
    with pytest.raises(UserError, match="record 's1': its sequence yields no tokens"):
        write(tmp_path, ["ACGT", ""])


def test_an_empty_table_gives_empty_files(tmp_path):
    tokens, counts = write(tmp_path, [])
    assert len(tokens) == 0 and counts["records"] == 0 and counts["length"] == {}


def test_missing_or_damaged_tokens_are_named(tmp_path):
    with pytest.raises(UserError, match=r"test.ids.npy: no such file"):
        read_tokens(tmp_path, "test")
    write(tmp_path, ["ACGT"])
    (tmp_path / "test.ids.npy").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="damaged token file"):
        read_tokens(tmp_path, "test")


def test_quantiles_by_hand():
    assert quantiles(np.array([1, 2, 3, 4, 100])) == {"min": 1, "q25": 2, "median": 3, "q75": 4, "q99": 4, "max": 100}

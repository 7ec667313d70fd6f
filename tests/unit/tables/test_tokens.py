import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import needs
from script_runs import SCRIPTS
from small_models import records, small_tokenizer

from dnalm.errors import UserError
from dnalm.tables.tokens import Tokens, read_tokens
from dnalm.training.models.encoding import Encoder, encode_batches
from dnalm.training.models.tokenization import in_memory, quantiles, tokenize
from dnalm.training.models.tokenizers import all_kmers, kmer_of, load_tokenizer, single_bases, spell

TOKENIZER = small_tokenizer()
DNA = st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=30), min_size=1, max_size=8)


def batches(sequences, size=3):
    for at in range(0, len(sequences), size):
        part = sequences[at : at + size]
        yield [f"s{at + i}" for i in range(len(part))], part


def write(directory, sequences, tokenizer=TOKENIZER, processes=1):
    offsets, counts = tokenize(tokenizer, batches(sequences), directory / "test.ids.npy", processes)
    np.save(directory / "test.offsets.npy", offsets)
    return read_tokens(directory, "test"), counts


def rows(tokens):
    return [tokens.ids[a:b].tolist() for a, b in itertools.pairwise(tokens.offsets.tolist())]


def word_tokenizer(directory, words, **config):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("\n".join(words) + "\n")
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(directory)


@pytest.fixture(scope="module")
def kmers(tmp_path_factory):
    """A tokenizer as DNABERT's: word pieces, all of them 3-mers."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map("".join, itertools.product("ACGT", repeat=3))]
    return word_tokenizer(tmp_path_factory.mktemp("kmers"), words, tokenizer_class="BertTokenizer", do_lower_case=False)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A tokenizer as the Nucleotide Transformer's, written in Python: 3-mers side by side, else letters."""
    words = ["<unk>", "<pad>", "<mask>", "<cls>", *map("".join, itertools.product("ACGT", repeat=3)), *"ACGTN"]
    tokens = {f"{name}_token": f"<{name}>" for name in ("unk", "pad", "mask", "cls")}
    return word_tokenizer(
        tmp_path_factory.mktemp("slow"), words, tokenizer_class="EsmTokenizer", eos_token=None, **tokens
    )


def test_tokens_on_disk_are_those_of_each_record(tmp_path):
    sequences = records(20, 4)["sequence"].tolist()
    tokens, counts = write(tmp_path, sequences)
    assert isinstance(tokens.ids, np.memmap) and tokens.ids.dtype == np.uint16
    assert rows(tokens) == [TOKENIZER(sequence, add_special_tokens=False)["input_ids"] for sequence in sequences]
    assert len(tokens) == counts["records"] == 20 and counts["tokens"] == len(tokens.ids) == tokens.lengths.sum()
    assert counts["length"]["max"] == tokens.lengths.max()


@given(DNA)
@settings(max_examples=30, deadline=None)
def test_batches_make_no_difference(tmp_path_factory, sequences):
    tokens, _ = write(tmp_path_factory.mktemp("tokens"), sequences)
    assert rows(tokens) == rows(in_memory(TOKENIZER, sequences))


@pytest.mark.parametrize("kind", ["bpe", "kmers", "slow"])
def test_every_kind_of_tokenizer_encodes_as_when_called(kind, kmers, slow):
    tokenizer = {"bpe": TOKENIZER, "kmers": kmers, "slow": slow}[kind]
    assert (kmer_of(tokenizer) == 3) == (kind == "kmers") and tokenizer.is_fast == (kind != "slow")

    @given(st.lists(st.text(alphabet="ACGTNRacgtn", min_size=1, max_size=30), min_size=1, max_size=6))
    @settings(max_examples=40, deadline=None)
    def check(sequences):
        text = spell([sequence.upper() for sequence in sequences], kmer_of(tokenizer))
        assert rows(in_memory(tokenizer, sequences)) == tokenizer(text, add_special_tokens=False)["input_ids"]

    check()


@pytest.mark.parametrize("kind", ["bpe", "kmers", "slow", "3-mers", "bases", "fused"])
def test_soft_masked_bases_of_each_token(kind, kmers, slow):
    fused = small_tokenizer()
    fused.backend_tokenizer.model.fuse_unk = True  # a run of unknown letters is one token
    tokenizer = {
        "bpe": TOKENIZER, "kmers": kmers, "slow": slow, "3-mers": all_kmers(3, False), "bases": single_bases(),
        "fused": fused,
    }[kind]  # fmt: skip
    encoder, unknown = Encoder(tokenizer), tokenizer.unk_token_id

    @given(
        st.lists(
            st.text(alphabet="ACGTacgt" if kind == "slow" else "ACGTNRacgtnr", min_size=1, max_size=30),
            min_size=1,
            max_size=6,
        )
    )
    @settings(max_examples=40, deadline=None)
    def check(sequences):
        ids, sizes = encoder(sequences)
        found = iter(encoder.soft_masked(sequences, (ids, sizes)).tolist())
        for sequence, row in zip(sequences, np.split(ids, np.cumsum(sizes)[:-1]), strict=True):
            at = 0
            for number, token in enumerate(row.tolist()):
                text = tokenizer.convert_ids_to_tokens(token)
                if kind == "kmers":
                    span = sequence[:3] if number == 0 else sequence[number + 2]
                elif token == unknown:  # up to the next letter that is known
                    rest = itertools.takewhile(lambda letter: letter in "Rr", sequence[at:])
                    span = "".join(rest) if kind == "fused" else sequence[at]
                else:
                    span = sequence[at : at + len(text)]
                    assert span.upper() == text
                at += len(span)
                assert next(found) == (0 if token == unknown else sum(map(str.islower, span)))

    check()


def test_soft_masked_bases_on_disk(tmp_path):
    sequences = [sequence[:9].lower() + sequence[9:] for sequence in records(50, 4)["sequence"]]
    for processes in (1, 2):
        offsets, _ = tokenize(
            TOKENIZER, batches(sequences), tmp_path / "test.ids.npy", processes, tmp_path / "test.soft_masked.npy"
        )
        np.save(tmp_path / "test.offsets.npy", offsets)
        tokens = read_tokens(tmp_path, "test")
        assert tokens.soft_masked.dtype == np.uint8
        assert np.add.reduceat(tokens.soft_masked, offsets[:-1]).tolist() == [9] * 50
    np.save(tmp_path / "test.soft_masked.npy", tokens.soft_masked[:-1])
    with pytest.raises(UserError, match="do not belong together"):
        read_tokens(tmp_path, "test")


def test_a_tokenizer_saved_with_truncation_and_padding_does_neither():
    tokenizer = small_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    sequences = ["ACGTNACGTNACGTNACGTN", "A"]
    assert rows(in_memory(tokenizer, sequences)) == rows(in_memory(TOKENIZER, sequences))


@pytest.mark.parametrize("kind", ["bpe", "kmers", "slow"])
def test_the_number_of_processes_makes_no_difference(tmp_path, kind, kmers, slow):
    tokenizer = {"bpe": TOKENIZER, "kmers": kmers, "slow": slow}[kind]
    sequences = records(50, 4)["sequence"].tolist()
    counts = {}
    for processes in (1, 2):
        place = tmp_path / str(processes)
        place.mkdir()
        _, counts[processes] = write(place, sequences, tokenizer, processes)
    assert counts[1] == counts[2]
    for name in ("test.ids.npy", "test.offsets.npy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_only_a_few_batches_are_read_ahead():
    read = 0

    def counted():
        nonlocal read
        for batch in batches(["ACGT"] * 300):
            read += 1
            yield batch

    for written, _ in enumerate(encode_batches(TOKENIZER, counted(), 2)):
        assert read - written <= 5
    assert read == 100


def test_an_error_in_the_input_ends_the_workers(tmp_path):
    def broken():
        yield from batches(["ACGT"] * 9)
        raise UserError("the table is damaged")

    with pytest.raises(UserError, match="the table is damaged"):
        tokenize(TOKENIZER, broken(), tmp_path / "ids.npy", 2)


@needs("Linux")
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_their_parent(tmp_path, fate):
    code = (
        f"import sys, time\nfrom pathlib import Path\nfrom dnalm.training.models.encoding import encode_batches\n"
        f"from dnalm.training.models.tokenizers import load_tokenizer\n"
        f"def batches():\n"
        f"    while True:\n        yield ['a'] * 9, ['ACGT'] * 9\n        time.sleep(0.01)\n"
        f"for number, _ in enumerate(encode_batches(load_tokenizer({str(tmp_path)!r}), batches(), 2)):\n"
        f"    if number == 0:\n        print('started', flush=True)\n"
    )
    TOKENIZER.save_pretrained(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=SCRIPTS)
    assert process.stdout.readline() == b"started\n"
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    children = [int(child) for child in listed.read_text().split()]
    assert len(children) == 2
    process.send_signal(fate)
    process.wait()
    deadline = time.monotonic() + 10
    while any(alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(child) for child in children)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_that_is_killed_is_the_users_to_know():
    def deadly():
        yield from batches(["ACGT"] * 9)
        mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        os.kill(int(mine[-1]), signal.SIGKILL)
        yield from batches(["ACGT"] * 10**6)

    with pytest.raises(UserError, match="a tokenizing process was killed"):
        for _ in encode_batches(TOKENIZER, deadly(), 2):
            pass


def test_the_script_writes_the_same_with_any_threads(tmp_path):
    table = records(2500, 1)
    table.to_parquet(tmp_path / "table.parquet", index=False)
    TOKENIZER.save_pretrained(tmp_path / "tokenizer")
    assert pq.read_metadata(tmp_path / "table.parquet").num_rows == 2500
    written = []
    for threads in (1, 2):
        out = [tmp_path / f"{threads}.{part}" for part in ("ids.npy", "offsets.npy", "json")]
        places = ["--ids", out[0], "--offsets", out[1], "--counts", out[2], "--threads", str(threads)]
        where = ["--tokenizer", tmp_path / "tokenizer", "--table", tmp_path / "table.parquet"]
        command = [sys.executable, SCRIPTS / "tokenize_records.py", "--spec", "-", *where, *places]
        done = subprocess.run(command, input='{"reverse_complement": false}', capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "2500/2500" in done.stderr
        written.append([path.read_bytes() for path in out])
    assert written[0] == written[1]


def test_lower_case_is_upper_case():
    assert rows(in_memory(TOKENIZER, ["acgtn"])) == rows(in_memory(TOKENIZER, ["ACGTN"]))


def test_unknown_letters_are_counted(tmp_path):
    _, counts = write(tmp_path, ["ACGTACGTACGTACGT", "RACGTACGTACGTRR"])
    assert counts["unknown_tokens"] == 3 and counts["records_with_unknown"] == 1


def test_a_tokenizer_that_knows_no_dna_is_refused(tmp_path):
    with pytest.raises(UserError, match="6 of 6 tokens are unknown to this tokenizer"):
        write(tmp_path, ["RYSWKM"])


def test_a_record_without_tokens_is_named(tmp_path):
    with pytest.raises(UserError, match="record 's1': its sequence yields no tokens"):
        write(tmp_path, ["ACGT", ""])


def test_an_empty_table_gives_empty_files(tmp_path):
    tokens, counts = write(tmp_path, [])
    assert len(tokens) == len(tokens.lengths) == 0 and counts["records"] == 0 and counts["length"] == {}
    assert len(in_memory(TOKENIZER, [])) == 0


def test_missing_or_damaged_tokens_are_named(tmp_path):
    with pytest.raises(UserError, match=r"test.ids.npy: no such file"):
        read_tokens(tmp_path, "test")
    write(tmp_path, ["ACGT"])
    whole = (tmp_path / "test.ids.npy").read_bytes()
    for damage in (b"nonsense", whole[:-2], b""):
        (tmp_path / "test.ids.npy").write_bytes(damage)
        with pytest.raises(UserError, match=r"test.ids.npy: damaged token file"):
            read_tokens(tmp_path, "test")
    (tmp_path / "test.ids.npy").write_bytes(whole)
    (tmp_path / "test.offsets.npy").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"test.offsets.npy: damaged token file"):
        read_tokens(tmp_path, "test")
    np.save(tmp_path / "test.offsets.npy", np.array([0, 99]))
    with pytest.raises(UserError, match="the test ids and offsets do not belong together"):
        read_tokens(tmp_path, "test")


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=9), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_taking_and_counting_a_mapped_file(tmp_path_factory, lists, token):
    directory = tmp_path_factory.mktemp("tokens")
    flat = [number for part in lists for number in part]
    np.save(directory / "test.ids.npy", np.array(flat, dtype=np.uint16))
    np.save(directory / "test.offsets.npy", np.cumsum([0, *map(len, lists)]))
    tokens = read_tokens(directory, "test")
    for _ in range(2):  # pages handed back are there again
        assert tokens.count(token) == flat.count(token)
        assert tokens.take(np.arange(len(flat))[::-1]).tolist() == flat[::-1]
        assert tokens.lengths.tolist() == [len(part) for part in lists] and tokens.lengths.dtype == np.int32


def test_lengths_beyond_32_bits():
    tokens = Tokens(np.zeros(0, dtype=np.uint16), np.array([0, 5, 2**33]))
    assert tokens.lengths.tolist() == [5, 2**33 - 5]


@needs("Linux")
def test_reading_a_whole_file_keeps_none_of_it_in_memory(tmp_path):
    np.save(tmp_path / "test.ids.npy", np.ones(2**24, dtype=np.uint16))
    np.save(tmp_path / "test.offsets.npy", np.arange(0, 2**24 + 1, 16))
    tokens = read_tokens(tmp_path, "test")
    assert tokens.count(1) == 2**24 and int(tokens.lengths.sum()) == 2**24
    assert int(tokens.take(np.arange(0, 2**24, 64)).sum()) == 2**18
    assert resident("test.ids.npy") == resident("test.offsets.npy") == 0
    assert int(np.asarray(tokens.ids)[::64].sum()) == 2**18 and resident("test.ids.npy") > 30_000


def resident(name):
    """KiB of a mapped file that this process has in memory."""
    parts = Path("/proc/self/smaps").read_text().split(name)[1:]
    return sum(int(part.split("Rss:")[1].split()[0]) for part in parts)


def test_an_encoder_gives_flat_ids_and_sizes():
    ids, sizes = Encoder(TOKENIZER)(["ACGT", "A"])
    assert ids.dtype == np.uint16 and len(ids) == sizes.sum() and len(sizes) == 2


def test_quantiles_by_hand():
    assert quantiles(np.array([1, 2, 3, 4, 100])) == {"min": 1, "q25": 2, "median": 3, "q75": 4, "q99": 4, "max": 100}

import json
import shutil

import pytest
from script_runs import run
from small_models import records, small_tokenizer
from transformers import AutoTokenizer

from dnalm.config.models import Tokenizer
from dnalm.errors import UserError
from dnalm.tables.corpora import sample
from dnalm.training.models.tokenizers import (
    SPECIAL_TOKENS,
    Specials,
    all_kmers,
    bases_per_token,
    kmer_of,
    length_limit,
    load_tokenizer,
    single_bases,
    specials_of,
    spell,
    stated_limit,
    train_bpe,
)


def test_a_trained_tokenizer_has_the_size_asked_for_and_loads_anywhere(tmp_path):
    small_tokenizer(40).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == 40
    assert tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIAL_TOKENS)
    ids = tokenizer("ACGT")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
    assert tokenizer.decode(ids[1:-1]).replace(" ", "") == "ACGT"
    assert length_limit(tokenizer) is None


def test_training_is_repeatable(tmp_path):
    for name in "ab":
        small_tokenizer(60).save_pretrained(tmp_path / name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_n_is_known_and_other_letters_are_unknown_and_never_joined_over():
    tokenizer = train_bpe(["ACRRGT" * 5, "ACRRGT" * 5], 40)
    vocabulary = set(tokenizer.get_vocab())
    assert {"A", "C", "G", "T", "N"} <= vocabulary and "R" not in vocabulary
    assert not any("ACG" in token or "CG" in token for token in vocabulary)
    ids = tokenizer("ANRRC", add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.unk_token_id) == 2


def test_a_small_corpus_yields_a_small_vocabulary():
    assert len(train_bpe(["ACGT"], 500)) < 20


def test_a_vocabulary_smaller_than_its_letters_is_refused():
    with pytest.raises(UserError, match="10 are special tokens and letters"):
        train_bpe(["ACGT"], 9)


def test_specials_are_found_by_trying():
    assert specials_of(small_tokenizer()) == Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4, between=(3,))


@pytest.mark.parametrize("settings", [None, {}, {"model_max_length": 77}])
@pytest.mark.parametrize("kind", ["bert", "mixtral", "roberta", "albert"])
def test_a_config_of_another_model_does_not_hide_a_tokenizer_file(tmp_path, kind, settings):
    small_tokenizer(60).save_pretrained(tmp_path)
    expected = specials_of(load_tokenizer(tmp_path))
    ids = load_tokenizer(tmp_path)("ACGTACGTTGCA")["input_ids"]
    (tmp_path / "tokenizer_config.json").unlink()
    if settings is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    alone = load_tokenizer(tmp_path)
    assert specials_of(alone) == expected and alone("ACGTACGTTGCA")["input_ids"] == ids and len(alone) == 60
    assert length_limit(alone) == (settings or {}).get("model_max_length")


@pytest.mark.parametrize("kind", [None, "bert", "mixtral"])
def test_a_published_tokenizer_without_settings(shared, tmp_path, kind):
    place = shared / "data/tokenizers/dnabert2_4096"
    if kind:
        shutil.copy(place / "tokenizer.json", tmp_path)
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": 100}))
        place = tmp_path
    tokenizer = load_tokenizer(place)
    assert tokenizer("ATT")["input_ids"] == [1, 2061, 2]
    assert specials_of(tokenizer) == Specials(prefix=(1,), suffix=(2,), pad=3, unknown=0, mask=4, between=(2,))
    bases = bases_per_token(tokenizer)
    assert bases[[0, 1, 2, 3, 4, 2061]].tolist() == [0, 0, 0, 0, 0, 3] and len(bases) == len(tokenizer)


MADE = {
    "bases": (single_bases, 10, ["A", "C", "G", "T", "A", "N", "[UNK]", "C", "C"]),
    "bpe": (lambda: train_bpe(records(50, 1)["sequence"], 32), 32, None),
    "3-mers": (lambda: all_kmers(3, False), 74, ["ACG", "T", "A", "N", "[UNK]", "C", "C"]),
    "overlapping": (lambda: all_kmers(3, True), 69, ["ACG", "CGT", "GTA", "[UNK]", "[UNK]", "[UNK]", "[UNK]"]),
}


@pytest.mark.parametrize("kind", MADE)
def test_every_kind_of_made_tokenizer_is_an_ordinary_one(tmp_path, kind):
    make, size, tokens = MADE[kind]
    made = make()
    made.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = spell(["ACGTANRCC"], kmer_of(made))[0]
    ids = made(text)["input_ids"]
    assert len(loaded) == len(made) == size and loaded(text)["input_ids"] == ids
    assert load_tokenizer(tmp_path)(text)["input_ids"] == ids
    assert specials_of(made) == Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4, between=(3,))
    spelt = made.convert_ids_to_tokens(ids[1:-1])
    if tokens is None:  # nothing is lost, whatever was learnt
        assert "".join(spelt).replace("[UNK]", "R") == "ACGTANRCC"
        assert max(map(len, set(made.get_vocab()) - set(SPECIAL_TOKENS))) > 1
    else:
        assert spelt == tokens
    lengths = {token: len(token) for token in made.get_vocab() if token not in SPECIAL_TOKENS}
    bases = bases_per_token(made)
    for token, place in made.get_vocab().items():
        assert bases[place] == (1 if kind == "overlapping" and token in lengths else lengths.get(token, 0))


def test_the_script_makes_what_the_config_asks_for(tmp_path):
    table = tmp_path / "train.parquet"
    records(300, 4).to_parquet(table)
    for number, (asked, size) in enumerate(
        [({"train": "bases"}, 10), ({"train": "kmer", "k": 2}, 26), ({"train": "bpe", "vocabulary": 32}, 32)]
    ):
        done = run("train_tokenizer", Tokenizer(**asked), train=table, **{"output-dir": tmp_path / str(number)})
        assert done.returncode == 0 and len(load_tokenizer(tmp_path / str(number))) == size, done.stderr


def test_a_sample_for_training_is_bounded_and_spread(tmp_path):
    table = tmp_path / "train.parquet"
    records(300, 4).assign(id=[str(number) for number in range(300)]).to_parquet(table, row_group_size=70)
    few = [int(one) for one in sample(table, ["id", "sequence"], 30, 10**9)["id"].to_pylist()]
    assert few == [10 * number + 5 for number in range(30)]
    lengths = [len(one) for one in sample(table, ["sequence"], 10**6, 2000)["sequence"].to_pylist()]
    assert 1000 < sum(lengths) < 3000
    assert sample(table, ["id"], 10**6, 10**9)["id"].to_pylist() == [str(number) for number in range(300)]


def test_the_limit_that_a_tokenizer_or_a_checkpoint_states(tmp_path):
    small_tokenizer(60).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert stated_limit(tokenizer, tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 1024}))
    assert stated_limit(tokenizer, tmp_path) == 1024
    tokenizer.model_max_length = 512
    assert stated_limit(tokenizer, tmp_path) == 512
    roberta = {"model_type": "roberta", "max_position_embeddings": 414, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(roberta))
    assert stated_limit(tokenizer, tmp_path) == 412


def test_an_end_token_pads_where_no_padding_token_is(tmp_path):
    from transformers import PreTrainedTokenizerFast

    small = small_tokenizer()
    bare = PreTrainedTokenizerFast(tokenizer_object=small.backend_tokenizer, unk_token="[UNK]", eos_token="[SEP]")
    bare.save_pretrained(tmp_path / "eos")
    assert load_tokenizer(tmp_path / "eos").pad_token_id == 3
    bare = PreTrainedTokenizerFast(tokenizer_object=small.backend_tokenizer, unk_token="[UNK]")
    bare.save_pretrained(tmp_path / "none")
    with pytest.raises(UserError, match="neither a padding nor an end token"):
        load_tokenizer(tmp_path / "none")


def test_a_directory_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(UserError, match=r"has no tokenizer \(no tokenizer.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="no tokenizer that loads") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture
def kmers(tmp_path):
    """A tokenizer as DNABERT's: a word-piece vocabulary of all 3-mers."""
    words = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *words]) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 512}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return load_tokenizer(tmp_path)


def test_a_vocabulary_of_kmers_gets_overlapping_kmers(kmers):
    assert kmer_of(kmers) == 3 and kmer_of(small_tokenizer()) is None
    assert spell(["ACGTA", "AC"], 3) == ["ACG CGT GTA", "AC"]
    ids = kmers(spell(["ACGTA"], 3)[0], add_special_tokens=False)["input_ids"]
    assert kmers.convert_ids_to_tokens(ids) == ["ACG", "CGT", "GTA"]
    assert specials_of(kmers).added() == 2
    assert length_limit(kmers) == 512


def test_every_sequence_survives_a_round_trip():
    tokenizer = small_tokenizer(100)
    for sequence in records(20, 9)["sequence"]:
        assert "".join(tokenizer.tokenize(sequence)) == sequence

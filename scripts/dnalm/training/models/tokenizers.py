"""Tokenizers: byte-pair encodings trained on DNA, and those that come with checkpoints."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.sequence.alphabet import BASES, IUPAC
from dnalm.training.models.remote_code import loading

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALPHABET = BASES + "N"
"""Letters that a trained vocabulary always has; any other becomes [UNK]."""

_ROLES = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<cls>"),
    "sep_token": ("[SEP]", "<sep>"),
    "mask_token": ("[MASK]", "<mask>"),
    "eos_token": ("<eos>", "</s>", "<|endoftext|>"),
}
"""The usual names of special tokens, to find them in a tokenizer.json that comes alone."""

_MARKS = "#\u2581\u0120"
"""What tokenizers write before a token inside a word, or at the start of one."""
_SPELLING = frozenset(IUPAC)
_PROBE = "ACGTACGTTGCA"
_SANE_LENGTH = 10**6
"""Limits above this mean no limit: transformers writes 10^30."""


@dataclass(frozen=True)
class Specials:
    """The tokens that a tokenizer puts around a sequence, and its ids of padding, unknown and masked tokens.

    between: the tokens that it puts between the two sequences of a pair.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    unknown: int | None
    mask: int | None
    between: tuple[int, ...] = ()

    def wrapper(self, segments: int = 1) -> tuple[tuple[int, ...], ...]:
        """The special tokens before, between and after the segments of a record, `segments` + 1 parts."""
        return (self.prefix, *(self.between for _ in range(segments - 1)), self.suffix)

    def added(self, segments: int = 1) -> int:
        """Number of special tokens added to a record."""
        return sum(map(len, self.wrapper(segments)))


def train_bpe(sequences: Iterable[str], vocabulary: int) -> Any:
    """Train a byte-pair encoding on upper-case DNA, with [CLS] and [SEP] around a sequence.

    vocabulary: its size, including special tokens; a small corpus may yield fewer entries. The same sequences give the
    same tokenizer for any number of threads.
    """
    from tokenizers import Tokenizer, models, trainers

    smallest = len(SPECIAL_TOKENS) + len(ALPHABET)
    if vocabulary < smallest:
        raise UserError(f"tokenizer.vocabulary: {vocabulary} is too small; {smallest} are special tokens and letters")
    known = re.compile(f"[{ALPHABET}]+")
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[1]))
    tokenizer.train_from_iterator(
        # cut at unknown letters: the trainer would drop them and join both sides
        (run for sequence in sequences for run in known.findall(sequence)),
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=list(ALPHABET),
            show_progress=False,
        ),
    )
    return _finished(tokenizer)


def single_bases() -> Any:
    """A tokenizer of single bases, A, C, G, T and N, with [CLS] and [SEP] around a sequence; needs no training."""
    from tokenizers import Tokenizer, models

    vocabulary = {token: place for place, token in enumerate((*SPECIAL_TOKENS, *ALPHABET))}
    return _finished(Tokenizer(models.BPE(vocabulary, [], unk_token=SPECIAL_TOKENS[1])))


def all_kmers(k: int, overlapping: bool) -> Any:
    """A tokenizer of all k-mers of A, C, G and T, with [CLS] and [SEP] around a sequence; needs no training.

    Overlapping: one k-mer at each base, given as words between blanks (`spell`), as DNABERT's; a word with another
    letter, or shorter, is [UNK]. Otherwise each k-mer starts where the last one ended, and what is shorter than k (the
    end, or a part before another letter) is spelt by single bases, so nothing is lost.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    if k == 1:
        return single_bases()
    words = ["".join(letters) for letters in product(BASES, repeat=k)]
    alone = () if overlapping else tuple(ALPHABET)
    vocabulary = {token: place for place, token in enumerate((*SPECIAL_TOKENS, *alone, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[1]))
    tokenizer.pre_tokenizer = (
        pre_tokenizers.WhitespaceSplit()
        if overlapping
        else pre_tokenizers.Split(Regex(f"[{BASES}]{{{k}}}|."), behavior="isolated")
    )
    return _finished(tokenizer)


def _finished(tokenizer: Any) -> Any:
    """A core of `tokenizers` as a tokenizer of transformers, with the special tokens and the template of a sequence."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, SPECIAL_TOKENS, strict=True)))


def load_tokenizer(directory: Path | str, trust: bool = False) -> Any:
    """Load a tokenizer from a directory, padding on the right; one without a padding token pads with its end token.

    A tokenizer.json whose tokenizer_config.json names no class, or is absent, is loaded as it is: transformers would
    use the tokenizer class of a config.json beside it, which may be another model's. Code that comes with a tokenizer
    is run only if `trust`. Raises `UserError` if no tokenizer can be loaded.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not Path(directory).is_dir():
        raise UserError(f"{directory}: no such directory; a tokenizer was expected there")
    if not any(any(Path(directory).glob(p)) for p in ("tokenizer*", "vocab*", "*.model")):
        raise UserError(f"{directory}: has no tokenizer (no tokenizer.json, vocab.txt or similar)")
    place = os.fspath(directory)
    settings = Path(directory) / "tokenizer_config.json"
    with loading(directory, trust, "no tokenizer that loads"):
        stated = read_json(settings) if settings.is_file() else {}
        if (settings.with_name("tokenizer.json")).is_file() and not {"tokenizer_class", "auto_map"} & set(stated):
            tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(place, local_files_only=True)
            vocabulary = tokenizer.get_vocab()
            found = {role: next(filter(vocabulary.__contains__, names), None) for role, names in _ROLES.items()}
            tokenizer.add_special_tokens(
                {role: token for role, token in found.items() if token and getattr(tokenizer, role) is None}
            )
        else:
            tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=trust)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise UserError(f"{directory}: the tokenizer has neither a padding nor an end token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def specials_of(tokenizer: Any) -> Specials:
    """Find the special tokens that a tokenizer puts around a sequence, by encoding one."""
    probe = spell([_PROBE], kmer_of(tokenizer))[0]
    bare = list(tokenizer(probe, add_special_tokens=False)["input_ids"])
    full = list(tokenizer(probe)["input_ids"])
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return Specials(
                prefix=tuple(full[:start]),
                suffix=tuple(full[start + len(bare) :]),
                pad=int(tokenizer.pad_token_id),
                unknown=tokenizer.unk_token_id,
                mask=tokenizer.mask_token_id,
                between=_between(tokenizer, probe, bare, tuple(full[:start]), tuple(full[start + len(bare) :])),
            )
    raise UserError(f"{tokenizer.name_or_path}: cannot tell this tokenizer's special tokens from a sequence's own")


def _between(
    tokenizer: Any, probe: str, bare: list[int], prefix: tuple[int, ...], suffix: tuple[int, ...]
) -> tuple[int, ...]:
    """The tokens that a tokenizer puts between two sequences; its suffix if it has no template for pairs."""
    pair = list(tokenizer(probe, probe)["input_ids"])
    inner = pair[len(prefix) + len(bare) : len(pair) - len(suffix) - len(bare)]
    spelt = [*prefix, *bare, *inner, *bare, *suffix]
    return tuple(inner) if spelt == pair else suffix


def length_limit(tokenizer: Any) -> int | None:
    """The longest input, in tokens, that a tokenizer's config states; None if it has no limit."""
    limit = tokenizer.model_max_length
    return int(limit) if limit is not None and limit <= _SANE_LENGTH else None


def stated_limit(tokenizer: Any, directory: Path | str) -> int | None:
    """The longest input, in tokens, that a directory's tokenizer or config.json states; None if neither has a limit.

    RoBERTa-like models count positions from the padding id + 1, so that many cannot be used.
    """
    limits = [length_limit(tokenizer)]
    config = Path(directory) / "config.json"
    stated = read_json(config) if config.is_file() else {}
    positions = stated.get("max_position_embeddings")
    if isinstance(positions, int) and positions > 0:
        kind = str(stated.get("model_type", ""))
        offset = "roberta" in kind or (
            kind == "esm" and stated.get("position_embedding_type", "absolute") == "absolute"
        )
        limits.append(positions - (int(stated.get("pad_token_id") or 0) + 1 if offset else 0))
    return min((limit for limit in limits if limit is not None), default=None)


def bases_per_token(tokenizer: Any) -> NDArray[np.int64]:
    """How many bases each token spells, by id, shape (largest id + 1,); 0 for special tokens, [UNK] included.

    With overlapping k-mers each stands for 1, except that a record's first one stands for all its k.
    """
    special = set(tokenizer.all_special_tokens)
    overlapping = kmer_of(tokenizer) is not None
    vocabulary = tokenizer.get_vocab()
    bases = np.zeros(max(vocabulary.values()) + 1, np.int64)
    for token, place in vocabulary.items():
        letters = token.strip(_MARKS)
        if token not in special and set(letters) <= _SPELLING:
            bases[place] = min(len(letters), 1) if overlapping else len(letters)
    return bases


def kmer_of(tokenizer: Any) -> int | None:
    """k of a vocabulary of k-mers only (as DNABERT's), whose input is overlapping k-mers separated by blanks."""
    special = set(tokenizer.all_special_tokens)
    lengths = {len(token) for token in tokenizer.get_vocab() if token not in special}
    k = min(lengths, default=0)
    return k if lengths == {k} and k > 1 else None


def spell(sequences: list[str], k: int | None) -> list[str]:
    """Sequences as input of their tokenizer: unchanged, or as overlapping k-mers separated by blanks."""
    if k is None:
        return sequences
    return [" ".join(s[i : i + k] for i in range(max(1, len(s) - k + 1))) for s in sequences]

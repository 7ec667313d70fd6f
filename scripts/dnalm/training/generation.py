"""Sampling of DNA from a causal language model, by `generate` of transformers (batched, with its key-value cache).

A sequence is the same in whatever batch it is made. `generate` draws from one stream of random numbers for a batch;
here the choice is the largest of log-probability + Gumbel noise (which samples from the distribution: Gumbel 1954;
Maddison et al. 2014, arXiv:1411.0030), with noise from a stream of each sequence's own. Only floating point, which
differs between batch sizes in its last bits, could tip a choice between two tokens that are all but equal.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.training.engine.devices import choose_device
from dnalm.training.models.loading import check_vocabulary, load, token_limit
from dnalm.training.models.remote_code import loading
from dnalm.training.models.tokenizers import Specials, kmer_of, load_tokenizer, specials_of
from dnalm.training.objectives.base import CAUSAL_CLASS, CAUSAL_MODEL, Head

ENDS = ("length", "end", "limit")
"""Why a sequence ends: it has all its bases; the model ended it; the model's input is full."""

CAUSAL = "give a causal model, such as that of a run with objective: causal"
"""What to do about a model that cannot generate."""

_BLANKS = "▁Ġ"
"""What tokenizers write for a blank before a word."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. temperature: divides the logits; top_k, top_p: draw from the most probable (0 and 1: all).

    prefix: bases that every sequence begins with; length: of a sequence in bases, prefix included.
    """

    length: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    prefix: str = ""
    seed: int = 1

    def check(self) -> None:
        """Raise `UserError` for values that nothing can be drawn with."""
        problems = (
            (self.length < 1, f"--length: {self.length} is not a positive number of bases"),
            (not 0 < self.temperature < np.inf, f"--temperature: {self.temperature:g} is not a positive number"),
            (self.top_k < 0, f"--top-k: {self.top_k} is negative; 0 is for all tokens"),
            (not 0 < self.top_p <= 1, f"--top-p: {self.top_p:g} is not above 0 and at most 1"),
            (not 0 <= self.seed < 2**63, f"--seed: {self.seed} is not in 0 .. 2^63 - 1"),
            (
                re.fullmatch("[ACGT]*", self.prefix) is None,
                f"--prefix: '{self.prefix[:40]}' is not of the letters A, C, G and T",
            ),
            (
                len(self.prefix) >= self.length,
                f"--prefix: has {len(self.prefix)} bases, and --length is {self.length}; ask for more",
            ),
        )
        for wrong, message in problems:
            if wrong:
                raise UserError(message)


@dataclass(frozen=True)
class Generated:
    """A sequence, and why it ends (one of `ENDS`)."""

    sequence: str
    end: str


class Generator:
    """A causal model with its tokenizer, ready to sample DNA."""

    def __init__(self, directory: Path | str, device: str = "auto", trust: bool = False) -> None:
        """Load a model's directory. Raises `UserError` for one that is not of a causal language model."""
        self._place, self._device = directory, choose_device(device)
        self._tokenizer = load_tokenizer(directory, trust)
        specials = specials_of(self._tokenizer)
        self._model = _load_causal(directory, specials, trust).to(self._device)
        check_vocabulary(self._model, self._tokenizer, directory)
        embeddings = self._model.get_input_embeddings().num_embeddings
        self._letters = letters_of_tokens(self._tokenizer, embeddings)
        if not any(self._letters):
            raise UserError(f"{directory}: no token of its tokenizer spells DNA (A, C, G, T)")
        if kmer_of(self._tokenizer) is not None:
            raise UserError(f"{directory}: its tokens are overlapping k-mers, which must agree; use another tokenizer")
        self._pad = specials.pad
        self._start = list(specials.prefix)
        if not self._start and self._tokenizer.bos_token_id is not None:
            self._start = [self._tokenizer.bos_token_id]
        ends = [*specials.suffix[:1], self._tokenizer.eos_token_id, self._model.generation_config.eos_token_id]
        self._end = next((one for one in ends if isinstance(one, int)), None)
        if self._end in self._start:
            self._end = None

    def sample(self, number: int, sampling: Sampling, batch_size: int) -> Iterator[Generated]:
        """Yield `number` sequences; the i-th is the same for any number and batch size.

        A sequence ends at `sampling.length` bases, where the last token is cut; at the model's end token, but not
        before its first base; or where the model's input is full. Tokens that do not spell A, C, G and T are not drawn.
        """
        sampling.check()
        prompt = [*self._start, *self._tokenizer(sampling.prefix, add_special_tokens=False)["input_ids"]]
        if "".join(self._letters[token] for token in prompt[len(self._start) :]) != sampling.prefix:
            raise UserError(f"{self._place}: its tokenizer cannot spell --prefix {sampling.prefix[:40]}")
        if not prompt:
            raise UserError(f"{self._place}: its tokenizer has no start token; give the first bases with --prefix")
        room = token_limit(self._model, self._tokenizer, None)
        new = sampling.length - len(sampling.prefix) + 1
        if room is not None:
            new = min(new, room - len(prompt))
            if new < 1:
                raise UserError(f"--prefix: its {len(prompt)} tokens fill the model's input of {room}")
        for first in tqdm(range(0, number, batch_size), desc="generating", unit="batch", mininterval=1):
            rows = range(first, min(first + batch_size, number))
            yield from self._batch(prompt, rows, sampling, new)

    def _batch(self, prompt: Sequence[int], rows: range, sampling: Sampling, new: int) -> Iterator[Generated]:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        ids = torch.tensor([prompt] * len(rows), device=self._device)
        limits = _Limits(self._letters, len(prompt), sampling.length - len(sampling.prefix), self._device)
        choice = _Choice(self._letters, self._end, len(prompt), bool(sampling.prefix), rows, sampling, self._device)
        with torch.inference_mode():
            found = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=1,
                max_new_tokens=new,
                logits_processor=LogitsProcessorList([choice]),
                stopping_criteria=StoppingCriteriaList([limits]),
                pad_token_id=self._pad,
                eos_token_id=self._end,
                use_cache=True,
            )
        for row in found[:, len(prompt) :].tolist():
            yield self._spelt(row, sampling)

    def _spelt(self, tokens: Sequence[int], sampling: Sampling) -> Generated:
        sequence, end = sampling.prefix, "limit"
        for token in tokens:
            if token == self._end:
                end = "end"
                break
            sequence += self._letters[token]
            if len(sequence) >= sampling.length:
                end = "length"
                break
        return Generated(sequence[: sampling.length], end)


class _Choice:
    """A logits processor that leaves one token of each row: the sampled one."""

    def __init__(
        self, letters: Sequence[str], end: int | None, start: int, begun: bool, rows: range, how: Sampling, device: Any
    ) -> None:
        from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        allowed = torch.tensor([bool(one) for one in letters], device=device)
        self._suppressed, self._end, self._start, self._begun = ~allowed, end, start, begun
        self._streams = [np.random.Generator(np.random.Philox(key=[how.seed, row])) for row in rows]
        self._warpers: list[Any] = [TemperatureLogitsWarper(how.temperature)] if how.temperature != 1 else []
        self._warpers += [TopKLogitsWarper(how.top_k)] if how.top_k else []
        self._warpers += [TopPLogitsWarper(how.top_p)] if how.top_p < 1 else []

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (rows, vocabulary) with noise; minus infinity for tokens that are not to be drawn."""
        suppressed = self._suppressed.clone()
        if self._end is not None and (self._begun or ids.shape[1] > self._start):
            suppressed[self._end] = False
        scores = scores.float().masked_fill(suppressed, -torch.inf)
        for warper in self._warpers:
            scores = warper(ids, scores)
        noise = np.stack([stream.gumbel(size=scores.shape[1]) for stream in self._streams]).astype(np.float32)
        chosen: torch.Tensor = scores + torch.from_numpy(noise).to(scores.device)
        return chosen


class _Limits:
    """A stopping criterion: a row ends when its new tokens spell enough bases."""

    def __init__(self, letters: Sequence[str], start: int, bases: int, device: Any) -> None:
        self._lengths = torch.tensor([len(one) for one in letters], device=device)
        self._start, self._bases = start, bases

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return self._lengths[ids[:, self._start :]].sum(dim=1) >= self._bases


def letters_of_tokens(tokenizer: Any, size: int) -> list[str]:
    """The bases that each of `size` tokens spells; empty for tokens of other letters, special and unused ones."""
    special = set(tokenizer.all_special_tokens)
    found = [""] * size
    for token, number in tokenizer.get_vocab().items():
        text = token.strip(_BLANKS)
        if token not in special and re.fullmatch("[ACGT]+", text):
            found[number] = text
    return found


def _load_causal(directory: Path | str, specials: Specials, trust: bool) -> Any:
    """A causal language model in fp32, all of whose weights are in the checkpoint."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig

    if Path(directory, "config.json").is_file():
        with loading(directory, trust, "no model that loads"):
            config = AutoConfig.from_pretrained(os.fspath(directory), local_files_only=True, trust_remote_code=trust)
        stated = (getattr(config, "architectures", None) or [config.model_type])[0]
        if stated.endswith(("ForMaskedLM", "ForPreTraining")) or type(config) in MODEL_FOR_MASKED_LM_MAPPING:
            raise UserError(
                f"{directory}: {stated} is an encoder, which fills in masked tokens and generates no sequence; {CAUSAL}"
            )
    loaded = load(directory, Head(CAUSAL_CLASS, CAUSAL_MODEL, None), specials, seed=0, trust=trust)
    if loaded.missing:
        raise UserError(f"{directory}: {stated} lacks weights of a language model ({loaded.missing[0]}); {CAUSAL}")
    return loaded.model

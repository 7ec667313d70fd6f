"""What the objectives of language models share: which tokens count, their weights, losses, and bits per base."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.tables.predictions import BitPredictions, Predictions
from dnalm.training.models.tokenizers import bases_per_token, kmer_of, specials_of
from dnalm.training.objectives.base import IGNORED, Records, Targets, Unit

CHUNK = 2**25
"""Logits whose softmax is computed at a time: 128 MiB in fp32. The logits of a large batch take gigabytes."""

COLUMNS = 7
"""Scores of a record: the four of a `BitPredictions`; the tokens' weights and, times those, their losses in nats; and
the bases of all tokens that could be scored."""

UNIFORM = 2.0
"""Bits of a base that nothing is known of."""


@dataclass(frozen=True, eq=False)
class Letters:
    """What the tokens of a vocabulary spell.

    bases: (vocabulary,) bases of each token, 0 for special tokens and [UNK], which are neither scored nor learnt.
    start: number of special tokens before a sequence. first: bases that a record's first token spells besides: k - 1
    if tokens are overlapping k-mers, of which each later one adds one base. mask: the id of the mask token, if any.
    """

    bases: NDArray[np.int64]
    start: int = 0
    first: int = 0
    mask: int | None = None

    @classmethod
    def of(cls, tokenizer: Any) -> "Letters":
        """Those of a tokenizer."""
        specials, k = specials_of(tokenizer), kmer_of(tokenizer)
        return cls(bases_per_token(tokenizer), len(specials.prefix), (k or 1) - 1, specials.mask)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """The common part of `Causal` and `Masked`.

    soft_masked_weight: weight in the training loss of a soft-masked base; a token's is the mean over its bases.
    """

    letters: Letters
    soft_masked_weight: float = 1.0

    name: ClassVar[str]
    unit: ClassVar[Unit] = "token"
    metrics: ClassVar[tuple[str, ...]]
    averages: ClassVar[bool] = False

    def strata(self, records: Records) -> NDArray[np.int64]:
        """One stratum."""
        return np.broadcast_to(np.int64(0), len(records))  # takes no memory: corpora have millions of records

    def weights(self, records: Records) -> "TokenWeights":
        """The sum of the weights of an example's learnt tokens."""
        return TokenWeights(self, records)

    def targets(
        self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Targets:
        """What is learnt of examples, as in `Objective`."""
        raise NotImplementedError

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of logits (..., vocabulary) and targets (...) in nats; 0 where there is nothing to learn."""
        found: torch.Tensor = _CrossEntropy.apply(logits.flatten(0, -2), targets.flatten())
        return found.view(targets.shape)

    def columns(self, config: Any) -> int:
        """See `COLUMNS`."""
        return COLUMNS

    def misfit(self, truth: NDArray[Any], config: Any) -> tuple[int, str] | None:
        """None: a sequence fits every language model."""
        return None

    def predictions(
        self, ids: NDArray[np.object_], truth: NDArray[Any] | None, scores: NDArray[np.float64]
    ) -> Predictions:
        """Bases and bits."""
        return BitPredictions(ids, scores[:, :4], self.name)

    def quality(self, scores: NDArray[np.float64], truth: NDArray[Any] | None) -> dict[str, float]:
        """The loss, in nats a learnt token (the weighted mean), and bits per base."""
        bases, bits, _, _, weight, nats, _ = scores.sum(axis=0)
        if not bases or not weight:
            raise UserError(f"objective {self.name}: no token of these records can be scored; use longer records")
        return {"loss": float(nats / weight), self.metrics[0]: float(bits / bases)}

    def spelt(self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bases that count for each token of examples, (total,): 0 for those that the window before has too."""
        bases: NDArray[np.int64] = self.letters.bases[ids] * records.fresh_of(indices)
        if self.letters.first:
            part, lengths = records.origin_of(indices)[1], records.lengths_of(indices)
            first = (lengths.cumsum() - lengths + self.letters.start)[(part == 0) & (lengths > self.letters.start)]
            bases[first] += self.letters.first * (bases[first] > 0)
        return bases

    def token_weights(
        self, records: Records, indices: NDArray[np.int64], bases: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        """The weight of each token in the loss, (total,); None if all are 1."""
        soft = records.soft_masked_of(indices) if self.soft_masked_weight != 1 else None
        if soft is None:
            return None
        return 1 - (1 - self.soft_masked_weight) * np.minimum(soft / np.maximum(bases, 1), 1)

    def sums(
        self,
        records: Records,
        indices: NDArray[np.int64],
        spelt: NDArray[np.int64],
        bits: NDArray[np.float64],
        scored: NDArray[np.bool_],
        targets: Targets,
        losses: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The scores of examples, (k, COLUMNS).

        spelt: (total,) from `spelt`; bits: (total,) of each token, divided equally among its bases; scored: (total,)
        which of them count. The weights and losses are those of `targets`.
        """
        lengths = records.lengths_of(indices)
        soft = records.soft_masked_of(indices)
        bases = np.where(scored, spelt, 0)
        part = np.zeros(len(bases)) if soft is None else np.minimum(soft, bases)
        learnt = targets.values != IGNORED
        weights = learnt.astype(np.float64) if targets.shares is None else targets.shares
        bits = np.where(bases > 0, bits, 0.0)
        columns = (bases, bits, part, bits * part / np.maximum(bases, 1), weights, weights * losses, spelt)
        starts = lengths.cumsum() - lengths
        return np.stack([np.add.reduceat(column.astype(np.float64), starts) for column in columns], axis=1)


def spelt(scores: NDArray[np.float64]) -> float:
    """Bases of all tokens that could be scored, from the scores of records (n, COLUMNS)."""
    return float(scores[:, -1].sum())


class TokenWeights:
    """The weights of examples whose tokens are learnt, computed when first asked for: a corpus has millions."""

    def __init__(self, objective: LanguageModel, records: Records) -> None:
        """Of the records' current epoch."""
        self._objective, self._records = objective, records
        self._known = np.full(len(records), np.nan, dtype=np.float32)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float64]:
        """The weights of examples, (k,)."""
        indices = np.asarray(indices, dtype=np.int64)
        new = indices[np.isnan(self._known[indices])]
        if len(new):
            ids, lengths = self._records.flat(new)
            targets = self._objective.targets(self._records, new, ids, lengths)
            shares = (targets.values != IGNORED).astype(np.float64) if targets.shares is None else targets.shares
            self._known[new] = np.add.reduceat(shares, lengths.cumsum() - lengths)
        return self._known[indices].astype(np.float64)


def to_bits(nats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses in bits."""
    return nats / math.log(2)


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy of logits (n, classes) and targets (n,), in fp32 (float64 of float64) but a part at a time.

    `torch.nn.functional.cross_entropy(logits.float(), ...)` holds three such copies of the logits at once; for 320,000
    tokens and a vocabulary of 4,096 each has 5 GiB.
    """

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The losses, (n,)."""
        exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
        sums = torch.empty(len(logits), dtype=exact, device=logits.device)
        picked = torch.empty_like(sums)
        places = targets.clamp(min=0)[:, None]
        for at in _parts(logits):
            part = logits[at].to(exact)
            sums[at] = part.logsumexp(dim=1)
            picked[at] = part.gather(1, places[at])[:, 0]
        ctx.save_for_backward(logits, targets, sums)
        return (sums - picked).masked_fill_(targets == IGNORED, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradients of the logits."""
        logits, targets, sums = ctx.saved_tensors
        (gradient,), ignored = gradients, (targets == IGNORED)[:, None]
        places, found = targets.clamp(min=0)[:, None], torch.empty_like(logits)
        for at in _parts(logits):
            part = torch.exp(logits[at].to(sums.dtype) - sums[at, None])
            part.scatter_add_(1, places[at], torch.full_like(part[:, :1], -1.0))
            found[at] = (part * gradient[at, None]).masked_fill_(ignored[at], 0).to(found.dtype)
        return found, None


def _parts(logits: torch.Tensor) -> list[slice]:
    step = max(1, CHUNK // logits.shape[1])
    return [slice(at, at + step) for at in range(0, len(logits), step)]

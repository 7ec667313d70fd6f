"""The interface of objectives: what a model learns from records, and how its outputs are read.

The engine handles steps, rows, ranks, graphs and checkpoints, and leaves everything else to the objective. To add one,
write a module in this folder and add a line to `objectives.__init__`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.tables.predictions import Predictions

Unit = Literal["sequence", "token"]
"""What has a loss: a whole sequence, or each of its tokens."""

IGNORED = -100
"""Target of a token that is ignored by the loss."""


@dataclass(frozen=True)
class Head:
    """The head that a model gets.

    auto_class: the `transformers` class that has it; what: the model in words, for errors; settings: entries of the
    model's config, None to keep those of the checkpoint.
    """

    auto_class: str
    what: str
    settings: Mapping[str, Any] | None


SEQUENCE_CLASS, SEQUENCE_MODEL = "AutoModelForSequenceClassification", "a sequence classifier"
CAUSAL_CLASS, CAUSAL_MODEL = "AutoModelForCausalLM", "a causal language model"
MASKED_CLASS, MASKED_MODEL = "AutoModelForMaskedLM", "a masked language model"

CAUSAL_ENDINGS, MASKED_ENDINGS = ("ForCausalLM", "LMHeadModel"), ("ForMaskedLM",)
"""How the names of such models' classes end."""


def head_of(architecture: str) -> Head:
    """The head that a class of transformers has, by its name; one for sequences if it has none of a language model."""
    if architecture.endswith(CAUSAL_ENDINGS):
        return Head(CAUSAL_CLASS, CAUSAL_MODEL, None)
    if architecture.endswith(MASKED_ENDINGS):
        return Head(MASKED_CLASS, MASKED_MODEL, None)
    return Head(SEQUENCE_CLASS, SEQUENCE_MODEL, None)


@dataclass(frozen=True)
class Targets:
    """The targets of k examples that have `total` tokens.

    ids: (total,), the model's input tokens (an objective may mask some). values: (k,) or (total,), depending on the
    objective's unit; `IGNORED` for a token without a loss. shares: (total,) how an example's weight is divided among
    its tokens, or None to divide it equally among those with a loss.
    """

    ids: NDArray[np.int64]
    values: NDArray[Any]
    shares: NDArray[np.float64] | None = None


class Records(Protocol):
    """The examples of a split, as objectives see them."""

    seed: int
    epoch: int

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def truth_of(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Label or target of examples, shape (k,)."""
        ...

    def lengths_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of examples, special tokens included, shape (k,)."""
        ...

    def segments_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The segment of each token of k examples in a row, shape (total,)."""
        ...

    def flat(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens of k examples in a row, (total,), special tokens included, and the examples' lengths, (k,)."""
        ...

    def origin_of(self, indices: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The record of each example, and which of its windows it is, (k,) each."""
        ...

    def fresh_of(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of each token of k examples in a row: that it is not in the record's window before, (total,)."""
        ...

    def soft_masked_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Soft-masked bases of each token of k examples in a row, (total,); None if that is not known."""
        ...


class Weights(Protocol):
    """The weights of examples: an array, or what computes them when they are asked for."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[Any]:
        """The weights of examples `indices`, (k,)."""
        ...


class Objective(Protocol):
    """What a model learns from the records of a data set; either `Scoring` or `Tallying`, by its unit.

    unit: what has a loss of its own. metrics: of validation records, besides the loss; the first is the default
    `best_metric`. averages: whether a record's score is the mean over its windows, or their sum.
    """

    name: ClassVar[str]
    unit: ClassVar[Unit]
    metrics: ClassVar[tuple[str, ...]]
    averages: ClassVar[bool]

    @property
    def head(self) -> Head:
        """The head of the model."""
        ...

    def strata(self, records: Records) -> NDArray[np.int64]:
        """A stratum for each example, (n,), which every batch contains in proportion; all 0 for a single stratum."""
        ...

    def weights(self, records: Records) -> Weights:
        """The weights of the examples in their current epoch: each the sum over its units; only the ratios matter."""
        ...

    def targets(
        self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Targets:
        """Targets of examples `indices` (k,) with `lengths` (k,), whose tokens are concatenated in `ids` (total,)."""
        ...

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each unit in at least fp32, in the shape of `targets`; logits has one more axis."""
        ...

    def columns(self, config: Any) -> int:
        """Number of scores of a record, for a model with this config."""
        ...

    def misfit(self, truth: NDArray[Any], config: Any) -> tuple[int, str] | None:
        """The first record whose truth does not fit a model with this config, and why; None if all do."""
        ...

    def predictions(
        self, ids: NDArray[np.object_], truth: NDArray[Any] | None, scores: NDArray[np.float64]
    ) -> Predictions:
        """Scores of records (n, columns) in the form of predictions.parquet; truth: None for language models."""
        ...

    def quality(self, scores: NDArray[np.float64], truth: NDArray[Any] | None) -> dict[str, float]:
        """`loss` and `metrics`, from the scores of records (n, columns)."""
        ...


@runtime_checkable
class Scoring(Protocol):
    """An objective of sequences."""

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores of b sequences from their logits, (b, columns) float64."""
        ...


@runtime_checkable
class Tallying(Protocol):
    """An objective of tokens."""

    def tally(
        self,
        records: Records,
        indices: NDArray[np.int64],
        ids: NDArray[np.int64],
        targets: Targets,
        losses: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Scores of examples `indices`, (k, columns), from the losses of their tokens in a row.

        ids: (total,) their tokens as they are read; targets: from `targets`; losses: (total,) 0 if not learnt.
        """
        ...

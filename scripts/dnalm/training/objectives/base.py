"""What an objective is: what a model learns from records, and what its outputs say of them.

The engine knows steps, rows, ranks, graphs and checkpoints, and asks an objective for everything else. A new objective is
a module of this folder and a line in `objectives.__init__`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.tables.predictions import Predictions

Unit = Literal["sequence", "token"]
"""What has a loss: a whole sequence, or each of its tokens."""

IGNORED = -100
"""Target of a token that is not learnt."""


@dataclass(frozen=True)
class Head:
    """The head that a model is given: the `transformers` class that has it, and what that class's config says of it.

    settings: None keeps what a checkpoint's own config says. what: the model in words, for errors.
    """

    auto_class: str
    what: str
    settings: Mapping[str, Any] | None


SEQUENCE_CLASS, SEQUENCE_MODEL = "AutoModelForSequenceClassification", "a sequence classifier"


@dataclass(frozen=True)
class Targets:
    """What is learnt of k examples that have `total` tokens.

    ids: (total,), the tokens that the model is shown (some objectives hide some). values: (k,) or (total,) by the
    objective's unit; `IGNORED` for a token that is not learnt. shares: (total,) how an example's weight is divided among
    its tokens, or None to give each that is learnt the same.
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


class Objective(Protocol):
    """What a model learns from the records of a data set.

    unit: what has a loss of its own. metrics: what validation records are measured by beside the loss; the first is the
    default `best_metric`. averages: whether a record's score is the mean over its windows, or their sum. head: what the
    model ends in.
    """

    name: ClassVar[str]
    unit: ClassVar[Unit]
    metrics: ClassVar[tuple[str, ...]]
    averages: ClassVar[bool]

    @property
    def head(self) -> Head:
        """What the model ends in."""
        ...

    def strata(self, records: Records) -> NDArray[np.int64]:
        """A class of each example, (n,), that batches of like lengths mix in equal shares; all 0 if there is none."""
        ...

    def weights(self, records: Records) -> NDArray[np.float64]:
        """How much each example counts, (n,): its units' weights added up; only their ratios matter."""
        ...

    def targets(
        self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Targets:
        """What is learnt of examples `indices` (k,), whose tokens stand in a row in `ids` (total,); `lengths` (k,)."""
        ...

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each unit in fp32, in the shape of `targets`; logits has an axis more."""
        ...

    def columns(self, config: Any) -> int:
        """Numbers that score a record, for a model with this config."""
        ...

    def scores(self, logits: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        """What is said of each of b sequences, (b, columns) in float64; targets: for objectives that learn tokens."""
        ...

    def misfit(self, truth: NDArray[Any], config: Any) -> tuple[int, str] | None:
        """The first record whose truth a model with this config cannot have learnt, and why; None if there is none."""
        ...

    def predictions(self, ids: NDArray[np.object_], truth: NDArray[Any], scores: NDArray[np.float64]) -> Predictions:
        """Records' scores (n, columns) as predictions.parquet holds them."""
        ...

    def quality(self, scores: NDArray[np.float64], truth: NDArray[Any] | None) -> dict[str, float]:
        """`loss` and `metrics` of records' scores (n, columns)."""
        ...

"""A small convolutional network on one-hot DNA, trained from scratch: what can be learnt without a language model.

Convolutions over the bases, the largest value of each channel over the sequence, and a linear layer. What lies beyond a
sequence's end is zero in every layer, so scores don't depend on the company a sequence is scored in.
"""

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.sequence.alphabet import BASES, reverse_complement
from dnalm.sequence.kmers import OTHER, encode
from dnalm.tables.tokens import Tokens
from dnalm.training.engine.devices import out_of_memory
from dnalm.training.engine.feeds import WIDTH, Examples, LengthBatches, pad
from dnalm.training.engine.scoring import score
from dnalm.training.engine.windows import Windows, cut
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.classification import Classification

_NOTHING = OTHER
"""The code of padding and of letters other than ACGT: zero in all four channels."""

_SPECIALS = Specials(prefix=(), suffix=(_NOTHING,), pad=_NOTHING, unknown=_NOTHING, mask=None)
"""Each sequence ends with nothing, so that an empty one has a length too."""

DESCRIPTION = (
    "A small convolutional network on one-hot DNA: three convolutions, the largest value of each channel, a linear layer;"
    " with 2 strands, trained on both and scored by their mean"
)

WINDOW = 8192
"""Bases beyond which a sequence is shown in windows, whose scores are averaged."""

MOST_BASES = 65_536
"""Bases scored at a time, padding included."""


_OBJECTIVE = Classification()


@dataclass(frozen=True)
class Hyperparameters:
    """How the network is built and trained.

    channels: of each layer; widths, dilations: of the convolutions, in bases; dropout: before the linear layer;
    patience: epochs without a higher MCC on validation after which training stops.
    """

    channels: int = 32
    widths: tuple[int, ...] = (11, 7, 7)
    dilations: tuple[int, ...] = (1, 2, 4)
    dropout: float = 0.2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    batch_size: int = 64
    epochs: int = 40
    patience: int = 6


class Output(NamedTuple):
    """What the network returns: logits (b, classes)."""

    logits: torch.Tensor


class Network(torch.nn.Module):
    """Bases to logits, called as the models of transformers are."""

    def __init__(self, classes: int, hyperparameters: Hyperparameters) -> None:
        """Draw the weights from torch's generator."""
        super().__init__()
        self.config = SimpleNamespace(num_labels=classes)
        self.register_buffer("one_hot", torch.eye(_NOTHING + 1, _NOTHING), persistent=False)
        sizes = [len(BASES)] + [hyperparameters.channels] * len(hyperparameters.widths)
        shapes = zip(sizes, sizes[1:], hyperparameters.widths, hyperparameters.dilations, strict=False)
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv1d(before, after, width, dilation=dilation, padding="same")
            for before, after, width, dilation in shapes
        )
        self.head = torch.nn.Sequential(torch.nn.Dropout(hyperparameters.dropout), torch.nn.Linear(sizes[-1], classes))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Output:
        """Score sequences; input_ids: codes 0 .. 4, attention_mask: 1 within a sequence, both (b, width)."""
        one_hot: Any = self.one_hot
        inside = attention_mask[:, None]
        x = one_hot[input_ids].transpose(1, 2)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x)) * inside
        return Output(self.head(x.amax(dim=2)))  # nothing is below zero, so padding is no maximum


class Strands:
    """Sequences as the network takes them, as they are given and as their reverse complements."""

    def __init__(self, sequences: Sequence[str], labels: NDArray[np.int64]) -> None:
        """Encode sequences; letters other than ACGT are nothing. labels: (n,)."""
        self.labels = labels
        self._given = Tokens(*encode(sequences))
        self._other = Tokens(*encode([reverse_complement(sequence) for sequence in sequences]))

    @property
    def windows(self) -> Windows:
        """The sequences' windows, one each but for long ones."""
        return cut(self._given.lengths, WINDOW, "window", [])

    def examples(self, seed: int = 0, both: bool = False) -> Examples:
        """The strands given; with `both`, each epoch shows each sequence as either, drawn from the seed."""
        return Examples(self._given, self.windows, _SPECIALS, self.labels, self._other if both else None, seed)

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.labels)

    def scores(self, network: Network, both: bool, what: str = "") -> NDArray[np.float64]:
        """Probabilities (n, classes) of the strands given, or means over `both`; `what` names the progress bar."""
        shown = [self._given, self._other] if both else [self._given]
        size, parts = 256, [Examples(strand, self.windows, _SPECIALS) for strand in shown]
        found = [score(network, _OBJECTIVE, examples, size, what, most_tokens=MOST_BASES) for examples in parts]
        return np.asarray(np.mean(found, axis=0))


@dataclass
class Fitted:
    """A network as it was at its best epoch: the strands it looks at, and its MCC on validation each epoch."""

    network: Network
    both: bool
    course: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The highest MCC on validation."""
        return max(self.course, default=-math.inf)

    @property
    def since_best(self) -> int:
        """Epochs after the first one with that MCC."""
        return len(self.course) - 1 - self.course.index(self.best)

    def scores(self, strands: Strands, what: str = "") -> NDArray[np.float64]:
        """Probabilities, (n, classes), computed in float64 where the device has it; `what` names the progress bar."""
        exact = self.network if self.network.device.type == "mps" else copy.deepcopy(self.network).double()
        return strands.scores(exact, self.both, what)


def choose(
    train: Strands, validation: Strands, classes: int, seed: int, device: torch.device, hyperparameters: Hyperparameters
) -> tuple[Fitted, dict[str, Any]]:
    """Train on the strand given and on both; return the one with the higher MCC on validation, and its account.

    train, validation: with labels 0 .. classes - 1. The account is that of a baseline: description, chosen, tried,
    converged, and hyperparameters. The same seed gives the same on the CPU, if torch's number of threads is the same. Raises
    `UserError` for a train split of one class, memory that runs out, or a loss that is no number.
    """
    found = np.unique(train.labels)
    if len(found) < 2:
        raise UserError(f"train: only one class (label {', '.join(map(str, found))}); a classifier needs at least two")
    try:
        fitted = [_fit(train, validation, classes, both, seed, device, hyperparameters) for both in (False, True)]
    except RuntimeError as error:
        raise out_of_memory(error) or error from error
    best = max(fitted, key=lambda one: one.best)  # of equals the first
    account = {
        "description": DESCRIPTION,
        "chosen": {"strands": 1 + best.both},
        "tried": [
            {
                "strands": 1 + one.both,
                "epochs": len(one.course),
                "best_epoch": len(one.course) - one.since_best,
                "validation_mcc": round(one.best, 6),
            }
            for one in fitted
        ],
        "converged": best.since_best >= hyperparameters.patience,
        "parameters": sum(parameter.numel() for parameter in best.network.parameters()),
        "hyperparameters": asdict(hyperparameters),
        "long": {"bases": WINDOW, **{k: s.windows.overlong for k, s in (("train", train), ("validation", validation))}},
    }
    return best, account


def _fit(
    train: Strands,
    validation: Strands,
    classes: int,
    both: bool,
    seed: int,
    device: torch.device,
    hyperparameters: Hyperparameters,
) -> Fitted:
    torch.manual_seed(seed)
    network = Network(classes, hyperparameters).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=hyperparameters.learning_rate, weight_decay=hyperparameters.weight_decay
    )
    examples = train.examples(seed, both)
    result, weights = Fitted(network, both), {}
    strands = "both strands" if both else "one strand"
    bar = tqdm(range(hyperparameters.epochs), desc=strands, unit="epoch", mininterval=1, file=sys.stderr)
    for epoch in bar:
        examples.start_epoch(epoch)
        network.train()
        for batch in LengthBatches(examples, _OBJECTIVE.strata(examples), hyperparameters.batch_size):
            rows = np.array(batch)
            shown = {name: tensor.to(device) for name, tensor in pad(*examples.flat(rows), _NOTHING, WIDTH).items()}
            loss = cross_entropy(network(**shown).logits, torch.from_numpy(examples.truth_of(rows)).to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        if not torch.isfinite(loss):
            raise UserError(f"cnn: the loss became {float(loss):g} in epoch {epoch + 1}; check the data")
        mcc = _OBJECTIVE.quality(validation.scores(network, both), validation.labels)["mcc"]
        if mcc > result.best:
            weights = copy.deepcopy(network.state_dict())
        result.course.append(mcc)
        bar.set_postfix(mcc=f"{mcc:.4f}")
        if result.since_best >= hyperparameters.patience:
            break
    network.load_state_dict(weights)
    return result

"""A small convolutional network on one-hot DNA, trained from scratch: a baseline without a language model.

Convolutions over the bases, the maximum of each channel over the sequence, and a linear layer. Padding is zero in every
layer, so scores don't depend on the batch.
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
from dnalm.names import spread
from dnalm.sequence.alphabet import BASES, reverse_complement
from dnalm.sequence.kmers import OTHER, encode
from dnalm.tables.tokens import Tokens
from dnalm.training.engine.devices import out_of_memory
from dnalm.training.engine.feeds import WIDTH, Examples, LengthBatches, pad
from dnalm.training.engine.scoring import score
from dnalm.training.engine.windows import Windows, cut
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.classification import Classification

_SPECIALS = Specials(prefix=(), suffix=(OTHER,), pad=OTHER, unknown=OTHER, mask=None)
"""OTHER, zero in all four channels, is padding and ends each sequence, so that no sequence has length 0."""

DESCRIPTION = (
    "A small convolutional network on one-hot DNA: three convolutions, the largest value of each channel, a linear"
    " layer; with 2 strands, trained on both and scored by their mean"
)

WINDOW = 8192
"""Sequences with more bases are cut into windows, whose scores are averaged."""

MOST_BASES = 65_536
"""Bases scored at a time, padding included."""

GRID = (False, True)
"""Whether a network is trained and scored on both strands: the settings to choose from."""

_OBJECTIVE = Classification()


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of network and training.

    channels: of each layer; widths, dilations: of the convolutions, in bases; dropout: before the linear layer;
    patience: training stops after this many epochs without a higher validation MCC.
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
    """The network's output: logits (b, classes)."""

    logits: torch.Tensor


class Network(torch.nn.Module):
    """Convolutional network with the call signature of transformers' models."""

    def __init__(self, classes: int, hyperparameters: Hyperparameters) -> None:
        """Draw the weights from torch's global generator."""
        super().__init__()
        self.config = SimpleNamespace(num_labels=classes)
        self.register_buffer("one_hot", torch.eye(OTHER + 1, OTHER), persistent=False)
        sizes = [len(BASES)] + [hyperparameters.channels] * len(hyperparameters.widths)
        shapes = zip(sizes, sizes[1:], hyperparameters.widths, hyperparameters.dilations, strict=False)
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv1d(before, after, width, dilation=dilation, padding="same")
            for before, after, width, dilation in shapes
        )
        self.head = torch.nn.Sequential(torch.nn.Dropout(hyperparameters.dropout), torch.nn.Linear(sizes[-1], classes))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Output:
        """Score sequences; input_ids: codes 0 .. 4, attention_mask: 1 within a sequence, both (b, width)."""
        one_hot: Any = self.one_hot
        inside = attention_mask[:, None]
        x = one_hot[input_ids].transpose(1, 2)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x)) * inside
        return Output(self.head(x.amax(dim=2)))  # values are never below zero, so padding never wins


class Strands:
    """Encoded sequences and their reverse complements, with labels."""

    def __init__(self, sequences: Sequence[str], labels: NDArray[np.int64]) -> None:
        """Encode sequences; letters other than ACGT become `OTHER`. labels: (n,)."""
        self.labels = labels
        self._given = Tokens(*encode(sequences))
        self._other = Tokens(*encode([reverse_complement(sequence) for sequence in sequences]))

    @property
    def windows(self) -> Windows:
        """The sequences' windows: one each, except for long ones."""
        return cut(self._given.lengths, WINDOW, "window", [])

    def examples(self, seed: int = 0, both: bool = False) -> Examples:
        """The given strands; with `both`, each epoch uses a random strand of each sequence, drawn from the seed."""
        return Examples(self._given, self.windows, _SPECIALS, self.labels, self._other if both else None, seed)

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.labels)

    def scores(self, network: Network, both: bool, what: str = "") -> NDArray[np.float64]:
        """Probabilities (n, classes) of the given strands, or means over `both`; what: label of the progress bar."""
        strands = [self._given, self._other] if both else [self._given]
        size, parts = 256, [Examples(strand, self.windows, _SPECIALS) for strand in strands]
        scores = [score(network, _OBJECTIVE, examples, size, what, most_tokens=MOST_BASES) for examples in parts]
        return np.asarray(np.mean(scores, axis=0))


@dataclass
class Fitted:
    """A network at its best epoch; both: whether it uses both strands; mccs: validation MCC after each epoch."""

    network: Network
    both: bool
    mccs: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The highest validation MCC."""
        return max(self.mccs, default=-math.inf)

    @property
    def since_best(self) -> int:
        """Epochs after the first one with that MCC."""
        return len(self.mccs) - 1 - self.mccs.index(self.best)

    def scores(self, strands: Strands, what: str = "") -> NDArray[np.float64]:
        """Probabilities, (n, classes), in float64 if the device has it; what: label of the progress bar."""
        exact = self.network if self.network.device.type == "mps" else copy.deepcopy(self.network).double()
        return strands.scores(exact, self.both, what)


def choose(
    train: Strands,
    validation: Strands,
    classes: int,
    seed: int,
    device: torch.device,
    hyperparameters: Hyperparameters,
    most_settings: int | None = None,
) -> tuple[Fitted, dict[str, Any]]:
    """Train on the given strand and on both; return the network with the higher validation MCC, and its account.

    train, validation: with labels 0 .. classes - 1. most_settings: with 1, only both strands are tried.
    The account is a baseline's entry in run.json: description, chosen,
    tried, converged, hyperparameters etc. The same seed gives the same result on the CPU for the same number of torch
    threads. Raises `UserError` for a train split of one class, a NaN or infinite loss, or if memory runs out.
    """
    labels = np.unique(train.labels)
    if len(labels) < 2:
        raise UserError(f"train: only one class (label {', '.join(map(str, labels))}); a classifier needs at least two")
    try:
        fitted = [
            _fit(train, validation, classes, GRID[index], seed, device, hyperparameters)
            for index in spread(len(GRID), most_settings)
        ]
    except RuntimeError as error:
        raise out_of_memory(error) or error from error
    best = max(fitted, key=lambda one: one.best)  # of equal ones, the first
    account = {
        "description": DESCRIPTION,
        "chosen": {"strands": 1 + best.both},
        "tried": [
            {
                "strands": 1 + one.both,
                "epochs": len(one.mccs),
                "best_epoch": len(one.mccs) - one.since_best,
                "validation_mcc": round(one.best, 6),
            }
            for one in fitted
        ],
        "grid": len(GRID),
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
            inputs = {name: tensor.to(device) for name, tensor in pad(*examples.flat(rows), OTHER, WIDTH).items()}
            loss = cross_entropy(network(**inputs).logits, torch.from_numpy(examples.truth_of(rows)).to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        if not torch.isfinite(loss):
            raise UserError(f"cnn: the loss became {float(loss):g} in epoch {epoch + 1}; check the data")
        mcc = _OBJECTIVE.quality(validation.scores(network, both), validation.labels)["mcc"]
        if mcc > result.best:
            weights = copy.deepcopy(network.state_dict())
        result.mccs.append(mcc)
        bar.set_postfix(mcc=f"{mcc:.4f}")
        if result.since_best >= hyperparameters.patience:
            break
    network.load_state_dict(weights)
    return result

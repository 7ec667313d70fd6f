"""Windows of tokenized records as the padded batches a model takes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.training.tokens import Tokens
from dnalm.training.vocabulary import Specials
from dnalm.training.windows import Windows


class Examples(torch.utils.data.Dataset[dict[str, Any]]):
    """The windows of a split, each with its special tokens and its record's label; nothing is copied before use.

    labels: (n,) of the records, or None. reverse: the reverse complements' tokens; each epoch then shows each window
    as either strand, drawn from `seed` and the epoch.
    """

    def __init__(
        self,
        tokens: Tokens,
        windows: Windows,
        specials: Specials,
        labels: NDArray[np.int64] | None = None,
        reverse: Tokens | None = None,
        seed: int = 0,
    ) -> None:
        """Work out each window's place in the tokens."""
        self.windows, self.specials, self.labels, self.seed = windows, specials, labels, seed
        self._strands = [tokens] if reverse is None else [tokens, reverse]
        self._bounds = [windows.bounds(strand.lengths) for strand in self._strands]
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the strands of an epoch."""
        self.epoch = epoch
        random = np.random.default_rng([self.seed, epoch])
        self._strand = random.integers(len(self._strands), size=len(self.windows))

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each window with its special tokens (the longer strand's), shape (m,)."""
        longest: NDArray[np.int64] = np.max([stop - start for start, stop in self._bounds], axis=0)
        return longest + self.specials.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One window: `input_ids` (length,) int64 and, with labels, `labels`."""
        strand = int(self._strand[index])
        tokens, (start, stop) = self._strands[strand], self._bounds[strand]
        record = int(self.windows.record[index])
        first = int(tokens.offsets[record])
        ids = tokens.ids[first + int(start[index]) : first + int(stop[index])]
        item: dict[str, Any] = {"input_ids": np.concatenate([self.specials.prefix, ids, self.specials.suffix])}
        if self.labels is not None:
            item["labels"] = int(self.labels[record])
        return item

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad windows on the right to the longest: `input_ids`, `attention_mask` (b, longest), `labels` (b,)."""
        longest = max(len(item["input_ids"]) for item in items)
        ids = np.full((len(items), longest), self.specials.pad, dtype=np.int64)
        mask = np.zeros((len(items), longest), dtype=np.int64)
        for row, item in enumerate(items):
            ids[row, : len(item["input_ids"])] = item["input_ids"]
            mask[row, : len(item["input_ids"])] = 1
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if "labels" in items[0]:
            batch["labels"] = torch.tensor([item["labels"] for item in items])
        return batch


class LengthBatches(torch.utils.data.Sampler[list[int]]):
    """Batches of like length and with every class in its share, in random order, drawn from the seed and epoch.

    Examples are shuffled; within stretches of `STRETCH` batches each class is sorted by length and the classes are
    interleaved by rank; then the batches are shuffled. So little is padded. Sorting by length alone would give batches
    of one class wherever length tells the classes apart (as tokens of repeats do), and with such batches an easy task
    was not learnt in four times the steps.
    """

    STRETCH = 50

    def __init__(self, examples: Examples, batch_size: int) -> None:
        """Batches of `batch_size` of the current epoch's `examples`, which have labels."""
        if examples.labels is None:
            raise ValueError("these examples have no labels")
        self.examples, self.batch_size = examples, batch_size
        self._lengths, self._labels = examples.lengths, examples.labels[examples.windows.record]

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.examples) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of each batch of the current epoch."""
        random = np.random.default_rng([self.examples.seed, self.examples.epoch, len(self.examples)])
        order = random.permutation(len(self.examples))
        stretch = self.STRETCH * self.batch_size
        for at in range(0, len(order), stretch):
            order[at : at + stretch] = self._interleave(order[at : at + stretch])
        for batch in random.permutation(len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()

    def _interleave(self, part: NDArray[np.int64]) -> NDArray[np.int64]:
        rank = np.empty(len(part))
        for label in np.unique(self._labels[part]):
            mine = np.flatnonzero(self._labels[part] == label)
            by_length = mine[np.argsort(-self._lengths[part[mine]], kind="stable")]
            rank[by_length] = (np.arange(len(mine)) + 0.5) / len(mine)
        return part[np.argsort(rank, kind="stable")]

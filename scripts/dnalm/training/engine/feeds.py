"""Windows of tokenized records as the batches of an optimizer step, and these as what a model takes at once.

A *batch* is the windows of one optimizer step over all ranks; a *micro-batch* is what one forward and backward pass of
one rank takes. `Feed` is the way from one to the other; `PaddedFeed` is the one that any model takes.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.tables.tokens import Tokens
from dnalm.training.engine.windows import Windows
from dnalm.training.models.tokenizers import Specials

Whole = NDArray[np.int64]

WIDTH = 8
"""Rows are padded to a multiple of this: few different shapes, and the ones that tensor cores like."""


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
        # of each strand (row) and window (column): where its tokens begin, and how many they are
        bounds = [windows.bounds(strand.lengths) for strand in self._strands]
        pairs = zip(self._strands, bounds, strict=True)
        self._first = np.stack([strand.offsets[windows.record] + start for strand, (start, _) in pairs])
        self._size = np.stack([stop - start for start, stop in bounds])
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the strands of an epoch."""
        self.epoch = epoch
        random = np.random.default_rng([self.seed, epoch])
        self._strand = random.integers(len(self._strands), size=len(self), dtype=np.uint8)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    @property
    def lengths(self) -> Whole:
        """Tokens of each window, as the strand that the current epoch shows, with its special tokens; shape (m,)."""
        return self.lengths_of(np.arange(len(self)))

    def lengths_of(self, indices: Whole) -> Whole:
        """The same of k windows, shape (k,)."""
        sizes: Whole = self._size[self._strand[indices], indices]
        return sizes + self.specials.count

    @property
    def longest(self) -> int:
        """Tokens of the longest window of either strand, with its special tokens."""
        return int(self._size.max()) + self.specials.count

    def labels_of(self, indices: Whole) -> Whole:
        """Labels of windows, shape (k,)."""
        if self.labels is None:
            raise ValueError("these examples have no labels")
        return np.asarray(self.labels[self.windows.record[indices]], dtype=np.int64)

    def flat(self, indices: Whole) -> tuple[Whole, Whole]:
        """Tokens of k windows in a row, (total,), special tokens included, and the windows' lengths, (k,)."""
        indices = np.asarray(indices, dtype=np.int64)
        strand, prefix, suffix = self._strand[indices], self.specials.prefix, self.specials.suffix
        sizes = self._size[strand, indices]
        lengths = sizes + self.specials.count
        ends = lengths.cumsum()
        starts = ends - lengths
        ids = np.empty(lengths.sum(), dtype=np.int64)
        for at, token in enumerate(prefix):
            ids[starts + at] = token
        for at, token in enumerate(suffix):
            ids[ends - len(suffix) + at] = token
        # of each of the windows' own tokens: its place in the row, and in its strand
        within = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
        target = np.repeat(starts + len(prefix), sizes) + within
        source = np.repeat(self._first[strand, indices], sizes) + within
        for number, tokens in enumerate(self._strands):
            shown = slice(None) if len(self._strands) == 1 else np.repeat(strand == number, sizes)
            ids[target[shown]] = tokens.take(source[shown])
        return ids, lengths

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One window: `input_ids` (length,) int64 and, with labels, `labels`."""
        item: dict[str, Any] = {"input_ids": self.flat(np.array([index]))[0]}
        if self.labels is not None:
            item["labels"] = int(self.labels[self.windows.record[index]])
        return item

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad windows on the right to the longest: `input_ids`, `attention_mask` (b, longest), `labels` (b,)."""
        rows = [item["input_ids"] for item in items]
        batch = pad(np.concatenate(rows), np.array([len(row) for row in rows]), self.specials.pad)
        if "labels" in items[0]:
            batch["labels"] = torch.tensor([item["labels"] for item in items])
        return batch


def pad(ids: Whole, lengths: Whole, token: int, multiple: int = 1) -> dict[str, torch.Tensor]:
    """Sequences of `lengths` (b,), in a row in `ids`, as `input_ids` and `attention_mask`, (b, width) int64 each.

    Padded on the right with `token`, to the longest or the next multiple.
    """
    width = -(-int(lengths.max()) // multiple) * multiple
    mask = np.arange(width) < lengths[:, None]
    padded = np.full(mask.shape, token, dtype=np.int64)
    padded[mask] = ids
    return {"input_ids": torch.from_numpy(padded), "attention_mask": torch.from_numpy(mask.astype(np.int64))}


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
        self.examples, self.batch_size = examples, batch_size
        self._labels = examples.labels_of(np.arange(len(examples)))

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.examples) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of each batch of the current epoch."""
        random = np.random.default_rng([self.examples.seed, self.examples.epoch, len(self.examples)])
        order = random.permutation(len(self.examples))
        lengths = self.examples.lengths
        stretch = self.STRETCH * self.batch_size
        for at in range(0, len(order), stretch):
            order[at : at + stretch] = self._interleave(order[at : at + stretch], lengths)
        for batch in random.permutation(len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()

    def _interleave(self, part: Whole, lengths: Whole) -> Whole:
        rank = np.empty(len(part))
        for label in np.unique(self._labels[part]):
            mine = np.flatnonzero(self._labels[part] == label)
            by_length = mine[np.argsort(-lengths[part[mine]], kind="stable")]
            rank[by_length] = (np.arange(len(mine)) + 0.5) / len(mine)
        return part[np.argsort(rank, kind="stable")]


class Feed(Protocol):
    """How examples become batches, batches micro-batches, and these tensors.

    kind: `padded` or `packed`, the form of the micro-batches.
    """

    kind: str

    def batches(self, epoch: int) -> list[Whole]:
        """Indices of each optimizer step's examples; the seed and the epoch alone decide. One may be smaller."""

    def divide(self, batch: Whole, ranks: int) -> list[list[Whole]]:
        """Indices of each micro-batch and rank, `[micro-batch][rank]`; a rank's may be empty."""

    def collate(self, indices: Whole, weights: NDArray[np.float32]) -> dict[str, torch.Tensor]:
        """A micro-batch on the CPU; `weights` (k,) are what each example's loss counts."""


class PaddedFeed:
    """Batches of like length, whose rows are padded to a common width.

    A micro-batch holds `input_ids`, `attention_mask` (b, width) int64, the width a multiple of 8, `labels` (b,) int64
    and `weights` (b,) float32. An empty one is a row of padding that counts nothing.
    """

    kind = "padded"

    def __init__(self, examples: Examples, batch_size: int, most_tokens: int | None = None) -> None:
        """Batches of `batch_size`; a micro-batch has at most `most_tokens` tokens, padding included, or one row."""
        self.examples, self.most_tokens = examples, most_tokens
        self._order = LengthBatches(examples, batch_size)

    def batches(self, epoch: int) -> list[Whole]:
        """Indices of each batch of an epoch, which the examples then show."""
        self.examples.start_epoch(epoch)
        return [np.array(batch, dtype=np.int64) for batch in self._order]

    def divide(self, batch: Whole, ranks: int) -> list[list[Whole]]:
        """Deal a batch, longest first, to the ranks; cut all the shares at the same places."""
        lengths = self.examples.lengths_of(batch)
        order = np.argsort(-lengths, kind="stable")
        shares = [batch[order[rank::ranks]] for rank in range(ranks)]
        # the first rank's rows are the longest and the most, so what fits there fits everywhere
        widths = -(-lengths[order[::ranks]] // WIDTH) * WIDTH
        cuts = [0]
        while cuts[-1] < len(widths):
            rows = len(widths) if self.most_tokens is None else max(1, self.most_tokens // int(widths[cuts[-1]]))
            cuts.append(cuts[-1] + rows)
        return [[share[at:to] for share in shares] for at, to in pairwise(cuts)]

    def collate(self, indices: Whole, weights: NDArray[np.float32]) -> dict[str, torch.Tensor]:
        """The micro-batch of `indices`."""
        if len(indices):
            batch = pad(*self.examples.flat(indices), self.examples.specials.pad, WIDTH)
            labels = self.examples.labels_of(indices)
        else:  # one token is seen, because attention over none is no number
            batch = pad(np.array([self.examples.specials.pad]), np.array([1]), self.examples.specials.pad, WIDTH)
            labels, weights = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32)
        weights = np.asarray(weights, dtype=np.float32)
        return {**batch, "labels": torch.from_numpy(labels), "weights": torch.from_numpy(weights)}

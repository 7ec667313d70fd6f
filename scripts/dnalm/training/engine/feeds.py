"""From windows of tokenized records to batches and micro-batches.

A *batch* is the windows of one optimizer step over all ranks; a *micro-batch* is the part of it that one rank puts
through one forward and backward pass. A `Feed` divides batches into micro-batches; every model accepts those of
`PaddedFeed`.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.tables.tokens import Tokens
from dnalm.training.engine.windows import Windows
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.base import IGNORED, Objective, Targets

Integers = NDArray[np.int64]

WIDTH = 8
"""Rows are padded to a multiple of this: there are few different shapes, and tensor cores need it."""


class Examples:
    """The windows of a split, each with special tokens and its record's truth; tokens are read only when used.

    truth: (n,) label or target of each record, or None. reverse: the reverse complements' tokens; each epoch then uses
    one strand of each window, drawn from `seed` and the epoch.
    """

    def __init__(
        self,
        tokens: Tokens,
        windows: Windows,
        specials: Specials,
        truth: NDArray[Any] | None = None,
        reverse: Tokens | None = None,
        seed: int = 0,
    ) -> None:
        """Compute where each window's segments are in the tokens."""
        self.windows, self.specials, self.truth, self.seed = windows, specials, truth, seed
        self.wrapper = specials.wrapper(tokens.segments)
        self._special = sum(map(len, self.wrapper))
        self._strands = [tokens] if reverse is None else [tokens, reverse]
        # where the tokens start, and how many there are; both (strands, segments, windows)
        places = [[windows.place(strand, segment) for segment in range(tokens.segments)] for strand in self._strands]
        self._first = np.stack([np.stack([first for first, _ in strand]) for strand in places])
        self._size = np.stack([np.stack([size for _, size in strand]) for strand in places])
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
    def lengths(self) -> Integers:
        """Tokens of each window, (m,), special tokens included, on the strand that the current epoch uses."""
        return self.lengths_of(np.arange(len(self)))

    def lengths_of(self, indices: Integers) -> Integers:
        """The `lengths` of k windows, shape (k,)."""
        strand = self._strand[indices]
        sizes: Integers = self._size[strand, 0, indices]
        for segment in range(1, self._size.shape[1]):
            sizes = sizes + self._size[strand, segment, indices]
        return sizes + self._special

    @property
    def longest(self) -> int:
        """Tokens of the longest window of either strand, special tokens included."""
        return int(self._size.sum(axis=1).max()) + self._special

    def truth_of(self, indices: Integers) -> NDArray[Any]:
        """Labels or targets of windows, shape (k,)."""
        if self.truth is None:
            raise ValueError("these examples have no labels or targets")
        return np.asarray(self.truth[self.windows.record[indices]])

    def flat(self, indices: Integers) -> tuple[Integers, Integers]:
        """Tokens of k windows, concatenated, (total,), special tokens included, and the windows' lengths, (k,)."""
        indices = np.asarray(indices, dtype=np.int64)
        strand = self._strand[indices]
        lengths = self.lengths_of(indices)
        ends = lengths.cumsum()
        place = ends - lengths
        ids = np.empty(lengths.sum(), dtype=np.int64)
        for tokens, sizes in zip(self.wrapper, [*self._size[strand, :, indices].T, 0], strict=True):
            for at, token in enumerate(tokens):
                ids[place + at] = token
            place = place + len(tokens) + sizes
        for shown, target, source in self._places(indices, lengths):
            ids[target] = shown.take(source)
        return ids, lengths

    def _places(self, indices: Integers, lengths: Integers) -> Iterator[tuple[Tokens, Integers, Integers]]:
        """Where tokens of k windows in a row come from: (a strand, their indices in the row, their indices in it)."""
        strand = self._strand[indices]
        place = lengths.cumsum() - lengths
        for segment, tokens in enumerate(self.wrapper[:-1]):
            place = place + len(tokens)
            sizes = self._size[strand, segment, indices]
            within = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
            target = np.repeat(place, sizes) + within
            source = np.repeat(self._first[strand, segment, indices], sizes) + within
            for number, shown in enumerate(self._strands):
                of_strand = slice(None) if len(self._strands) == 1 else np.repeat(strand == number, sizes)
                yield shown, target[of_strand], source[of_strand]
            place = place + sizes

    def soft_masked_of(self, indices: Integers) -> Integers | None:
        """Soft-masked bases of each token of k concatenated windows, (total,); None if the tokens do not say."""
        if any(tokens.soft_masked is None for tokens in self._strands):
            return None
        lengths = self.lengths_of(indices)
        found = np.zeros(lengths.sum(), dtype=np.int64)
        for shown, target, source in self._places(np.asarray(indices, dtype=np.int64), lengths):
            found[target] = shown.take_soft_masked(source)
        return found

    def origin_of(self, indices: Integers) -> tuple[NDArray[Any], NDArray[Any]]:
        """The record of each of k windows, and the number of the window in it, (k,) each."""
        return self.windows.record[indices], self.windows.part[indices]

    def fresh_of(self, indices: Integers) -> NDArray[np.bool_]:
        """Of each token of k concatenated windows: that it is not in its record's window before, (total,)."""
        indices = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths_of(indices)
        fresh = np.ones(lengths.sum(), dtype=bool)
        later = self.windows.part[indices] > 0
        if later.any():
            cut, strand, before = self.windows.segment, self._strand[indices], np.maximum(indices - 1, 0)
            first, size = self._first[:, cut], self._size[:, cut]
            shared = np.clip(first[strand, before] + size[strand, before] - first[strand, indices], 0, None) * later
            start = sum(len(part) for part in self.wrapper[: cut + 1]) + self._size[strand, :cut, indices].sum(axis=1)
            within = np.arange(len(fresh)) - np.repeat(lengths.cumsum() - lengths, lengths)
            fresh = (within < np.repeat(start, lengths)) | (within >= np.repeat(start + shared, lengths))
        return fresh

    @property
    def segments(self) -> int:
        """Number of segments of a record."""
        return int(self._size.shape[1])

    def segments_of(self, indices: Integers) -> Integers:
        """The segment of each token of k concatenated windows, (total,).

        A special token belongs to the segment before it, a leading one to the first segment.
        """
        indices = np.asarray(indices, dtype=np.int64)
        sizes = self._size[self._strand[indices], :, indices] + [len(tokens) for tokens in self.wrapper[1:]]
        sizes[:, 0] += len(self.wrapper[0])
        return np.repeat(np.tile(np.arange(self.segments), len(indices)), sizes.ravel())

    def padded(self, indices: Integers, multiple: int = 1) -> dict[str, torch.Tensor]:
        """Windows as rows: `input_ids`, `attention_mask`, and `token_type_ids` if several segments; (k, width) each."""
        batch = pad(*self.flat(indices), self.specials.pad, multiple)
        return {**batch, **self.typed(indices, batch["attention_mask"])}

    def typed(self, indices: Integers, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """`token_type_ids` of padded windows with this attention mask; empty for records of one segment."""
        if self.segments == 1:
            return {}
        return {"token_type_ids": spread(self.segments_of(indices), mask, 0)}


def pad(ids: Integers, lengths: Integers, token: int, multiple: int = 1) -> dict[str, torch.Tensor]:
    """Sequences of `lengths` (b,), concatenated in `ids`, as `input_ids` and `attention_mask`, (b, width) int64 each.

    Padded on the right with `token`, to the longest, rounded up to a multiple.
    """
    width = -(-int(lengths.max()) // multiple) * multiple
    mask = torch.from_numpy((np.arange(width) < lengths[:, None]).astype(np.int64))
    return {"input_ids": spread(ids, mask, token), "attention_mask": mask}


def spread(values: NDArray[Any], mask: torch.Tensor, filler: int) -> torch.Tensor:
    """Concatenated values of a batch's tokens, (total,), as rows (b, width), with `filler` where the mask is 0."""
    inside = mask.numpy().astype(bool)
    rows = np.full(inside.shape, filler, dtype=values.dtype)
    rows[inside] = values
    return torch.from_numpy(rows)


def unit_weights(targets: Targets, lengths: Integers, weights: NDArray[Any], by_token: bool) -> NDArray[np.float32]:
    """The weight of each unit: the examples' weights, (k,), or these divided among their learnt tokens, (total,)."""
    if not by_token:
        return np.asarray(weights, dtype=np.float32)
    shares = (targets.values != IGNORED).astype(np.float64) if targets.shares is None else targets.shares
    sums = np.add.reduceat(shares, lengths.cumsum() - lengths)
    scale = np.divide(weights, sums, out=np.zeros(len(sums)), where=sums > 0)
    by_tokens: NDArray[np.float32] = (shares * np.repeat(scale, lengths)).astype(np.float32)
    return by_tokens


class LengthBatches:
    """Stratified batches of similar lengths, in random order, drawn from the seed and epoch.

    Examples are shuffled; within stretches of `STRETCH` batches each stratum (e.g. a class) is sorted by length and the
    strata are interleaved by rank; then the batches are shuffled. So there is little padding. Sorting by length alone
    would give batches of one class where classes differ in length, as repeats do in tokens; with such batches even an
    easy task was not learnt in four times the steps.
    """

    STRETCH = 50

    def __init__(self, examples: Examples, strata: Integers, batch_size: int) -> None:
        """Batches of `batch_size` of the current epoch's `examples`; strata: (m,)."""
        self.examples, self.batch_size, self._strata = examples, batch_size, strata

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

    def _interleave(self, part: Integers, lengths: Integers) -> Integers:
        rank = np.empty(len(part))
        for stratum in np.unique(self._strata[part]):
            mine = np.flatnonzero(self._strata[part] == stratum)
            by_length = mine[np.argsort(-lengths[part[mine]], kind="stable")]
            rank[by_length] = (np.arange(len(mine)) + 0.5) / len(mine)
        return part[np.argsort(rank, kind="stable")]


class Feed(Protocol):
    """Makes batches of examples, micro-batches of batches, and tensors of micro-batches.

    kind: `padded` or `packed`, the layout of the micro-batches.
    """

    kind: str

    def batches(self, epoch: int) -> list[Integers]:
        """Indices of the examples of each optimizer step; they depend on seed and epoch only. One may be smaller."""

    def divide(self, batch: Integers, ranks: int) -> list[list[Integers]]:
        """Indices of the examples of each micro-batch and rank, `[micro-batch][rank]`; may be empty for a rank."""

    def collate(self, indices: Integers, weights: NDArray[Any]) -> dict[str, torch.Tensor]:
        """A micro-batch on the CPU; weights: (k,), of the examples' losses."""


class PaddedFeed:
    """Batches of similar lengths, whose rows are padded to a common width.

    A micro-batch has `input_ids` and `attention_mask` (b, width) int64, the width a multiple of 8, and `targets` and
    `weights` (float32) of the objective's units: (b,) for sequences, (b, width) for tokens. For records with several
    segments it also has `token_type_ids` (b, width). An empty one is the first example with weight 0.
    """

    kind = "padded"

    def __init__(
        self, examples: Examples, objective: Objective, batch_size: int, most_tokens: int | None = None
    ) -> None:
        """Batches of `batch_size`; a micro-batch has at most `most_tokens` tokens, padding included, or one row."""
        self.examples, self.objective, self.most_tokens = examples, objective, most_tokens
        self._order = LengthBatches(examples, objective.strata(examples), batch_size)

    def batches(self, epoch: int) -> list[Integers]:
        """Indices of each batch of an epoch; sets the examples to that epoch."""
        self.examples.start_epoch(epoch)
        return [np.array(batch, dtype=np.int64) for batch in self._order]

    def divide(self, batch: Integers, ranks: int) -> list[list[Integers]]:
        """Deal a batch to the ranks, longest first, and cut all the shares at the same places."""
        lengths = self.examples.lengths_of(batch)
        order = np.argsort(-lengths, kind="stable")
        shares = [batch[order[rank::ranks]] for rank in range(ranks)]
        # the first rank has the longest rows and the most, so what fits there fits everywhere
        widths = -(-lengths[order[::ranks]] // WIDTH) * WIDTH
        cuts = [0]
        while cuts[-1] < len(widths):
            rows = len(widths) if self.most_tokens is None else max(1, self.most_tokens // int(widths[cuts[-1]]))
            cuts.append(cuts[-1] + rows)
        return [[share[at:to] for share in shares] for at, to in pairwise(cuts)]

    def collate(self, indices: Integers, weights: NDArray[Any]) -> dict[str, torch.Tensor]:
        """The micro-batch of `indices`."""
        if not len(indices):  # a rank without examples must still take part: an example of weight 0
            indices, weights = np.zeros(1, dtype=np.int64), np.zeros(1)
        ids, lengths = self.examples.flat(indices)
        by_token = self.objective.unit == "token"
        targets = self.objective.targets(self.examples, indices, ids, lengths)
        batch = pad(targets.ids, lengths, self.examples.specials.pad, WIDTH)
        mask = batch["attention_mask"]
        counted = unit_weights(targets, lengths, weights, by_token)
        units = {
            "targets": spread(targets.values, mask, IGNORED) if by_token else torch.from_numpy(targets.values),
            "weights": spread(counted, mask, 0) if by_token else torch.from_numpy(counted),
        }
        return {**batch, **self.examples.typed(indices, mask), **units}

"""Packing: the sequences of a micro-batch are concatenated into a single row, with almost no padding.

All rows of a training have the same shape, so one compiled or captured graph serves every step. A row has T tokens and
S slots for sequences. Its sequences take the first slots; the remaining tokens are filler, cut into sequences of its
own, which take some of the spare slots and have weight 0.
"""

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.training.engine.attention import PACKED, segments
from dnalm.training.engine.feeds import Examples, Integers, unit_weights
from dnalm.training.models.heads import reader_of
from dnalm.training.objectives.base import IGNORED, Objective

UNIT = 64
"""T is a multiple of this many tokens."""

OVERHEAD = 256
"""Fixed cost of a row, expressed as a number of tokens."""

FILLER = 512
"""Filler is cut into sequences of this length, limited by the model's positions, or of the longest window's length."""

STRETCH = 50
"""Number of batches over which sequences are distributed by length."""


class PackedFeed:
    """Batches of mixed lengths with nearly equal numbers of tokens, packed into rows of one shape.

    A micro-batch has `input_ids` and `position_ids` (1, T) int64, positions counted from 0 in each sequence;
    `boundaries` (S + 2,) int32, where each sequence ends, 0 first; `targets` and `weights` (float32) of the objective's
    units: (S,) for sequences, (T,) for tokens. For records with several segments it also has `token_type_ids` (1, T).
    """

    kind = "packed"

    def __init__(
        self,
        examples: Examples,
        objective: Objective,
        batch_size: int,
        most_tokens: int,
        ranks: int = 1,
        position_limit: int | None = None,
    ) -> None:
        """Batches of `batch_size`, in rows of at most `most_tokens` tokens, or more if the longest window needs it.

        ranks: number of processes, each of which takes a row at a time; position_limit: positions of the model.
        """
        self.examples, self.objective, self.batch_size = examples, objective, batch_size
        self.longest = max(examples.longest, min(FILLER, position_limit or FILLER))
        batches = self.batches(0)
        lengths = examples.lengths
        totals = np.array([lengths[batch].sum() for batch in batches])
        self.tokens = row_size(totals, ranks, examples.longest, int(np.median(lengths)), most_tokens)
        self._most = batch_size
        seen = [len(rank) for batch in batches[:STRETCH] for row in self.divide(batch, ranks) for rank in row]
        self._most = min(batch_size, int(max(seen) * 1.1) + 1)
        self.slots = self._most + -(-self.tokens // self.longest) - 1

    def batches(self, epoch: int) -> list[Integers]:
        """Indices of each batch of an epoch; sets the examples to that epoch. The last batch may be smaller.

        Within each stretch of n batches the sequences are sorted by length, and each n consecutive ones are assigned to
        the n batches at random. So batches have similar numbers of tokens and mixes of lengths, and random labels.
        """
        self.examples.start_epoch(epoch)
        random = np.random.default_rng([self.examples.seed, epoch, len(self.examples)])
        order, lengths, size = random.permutation(len(self.examples)), self.examples.lengths, self.batch_size
        whole = len(order) // size * size
        batches: list[Integers] = []
        for at in range(0, whole, STRETCH * size):
            part = order[at : min(at + STRETCH * size, whole)]
            part = part[np.argsort(-lengths[part], kind="stable")]
            batches.extend(random.permuted(part.reshape(size, -1), axis=1).T.copy())
        return batches + ([order[whole:]] if whole < len(order) else [])

    def divide(self, batch: Integers, ranks: int) -> list[list[Integers]]:
        """Divide a batch among as few rows as possible, the same number for each rank, all about equally full."""
        lengths = self.examples.lengths_of(batch)
        rows = max(1, -(-int(lengths.sum()) // (ranks * self.tokens)))
        while True:
            shares = share(lengths, rows * ranks)
            if all(len(part) <= self._most and lengths[part].sum() <= self.tokens for part in shares):
                break
            rows += 1
        return [[batch[part] for part in shares[row * ranks : (row + 1) * ranks]] for row in range(rows)]

    def collate(self, indices: Integers, weights: NDArray[Any]) -> dict[str, torch.Tensor]:
        """The row of `indices`."""
        ids, lengths = self.examples.flat(indices)
        by_token = self.objective.unit == "token"
        targets = self.objective.targets(self.examples, indices, ids, lengths)
        row = lay_out(targets.ids, lengths, self.tokens, self.slots, self.longest, self.examples.specials.pad)
        if self.examples.segments > 1:
            row["token_type_ids"] = _filled(self.examples.segments_of(indices), self.tokens, 0)[None]
        units = self.tokens if by_token else self.slots
        counted = unit_weights(targets, lengths, weights, by_token)
        learnt = _filled(targets.values, units, IGNORED if by_token else 0)
        return {**row, "targets": learnt, "weights": _filled(counted, units, 0)}


def _filled(values: NDArray[Any], size: int, filler: int) -> torch.Tensor:
    """Values (n,), followed by filler up to (size,)."""
    filled = np.full(size, filler, dtype=values.dtype)
    filled[: len(values)] = values
    return torch.from_numpy(filled)


def lay_out(
    ids: Integers, lengths: Integers, tokens: int, slots: int, longest: int, filler: int
) -> dict[str, torch.Tensor]:
    """Sequences of `lengths`, concatenated in `ids`, as a row of `tokens` tokens and `slots` slots.

    longest: maximal length of a piece of filler; positions count from 0 in each piece, as in each sequence.
    """
    count, total = len(lengths), len(ids)
    pieces = np.arange(total, tokens, longest)[1:]
    if total > tokens or count + len(pieces) > slots:
        raise ValueError(f"{count} sequences of {total} tokens don't fit a row of {slots} slots and {tokens} tokens")
    boundaries = np.full(slots + 2, tokens, dtype=np.int32)
    boundaries[0] = 0
    boundaries[1 : count + 1] = lengths.cumsum()
    boundaries[count + 1 : count + 1 + len(pieces)] = pieces
    padded = np.full(tokens, filler, dtype=np.int64)
    padded[:total] = ids
    positions = np.arange(tokens) - np.repeat(boundaries[:-1], np.diff(boundaries))
    return {
        "input_ids": torch.from_numpy(padded)[None],
        "position_ids": torch.from_numpy(positions)[None],
        "boundaries": torch.from_numpy(boundaries),
    }


def row_size(totals: Integers, ranks: int, longest: int, usual: int, most_tokens: int) -> int:
    """The row size T that minimises the cost of batches of `totals` tokens, each divided into rows on every rank.

    T is at most `most_tokens`, or what the longest sequence needs. usual: a typical sequence's length, assumed to stay
    free in each row if a batch needs several, because rows are never filled to the last token.
    """
    least = -(-longest // UNIT) * UNIT
    shares = totals / ranks
    useful = -(-(int(shares.max()) + usual) // UNIT) * UNIT
    most = max(least, min(most_tokens // UNIT * UNIT, useful))
    sizes = np.unique(np.linspace(least // UNIT, most // UNIT, 512).astype(np.int64)) * UNIT
    rows = np.maximum(1, -(-shares // (sizes - min(usual, least // 2))[:, None]))
    if ranks == 1:
        rows = np.where(shares <= sizes[:, None], 1, rows)
    return int(sizes[np.argmin((rows * (sizes + OVERHEAD)[:, None]).sum(axis=1))])


def share(lengths: Integers, parts: int) -> list[Integers]:
    """Divide sequences into `parts` of nearly equal tokens: the longest first, each to the part with fewest tokens."""
    if parts == 1:
        return [np.arange(len(lengths))]
    order = np.argsort(-lengths, kind="stable")
    heap = [(0, part) for part in range(parts)]
    owner = np.empty(len(lengths), dtype=np.int64)
    for index in order.tolist():
        total, part = heap[0]
        owner[index] = part
        heapq.heapreplace(heap, (total + int(lengths[index]), part))
    return [np.flatnonzero(owner == part) for part in range(parts)]


class PackedModel(torch.nn.Module):
    """A model that takes packed rows: one pass of its body, then its head on the states that it reads.

    While it is wrapped, `model` has packed attention, and calling it directly is an error, except inside `padded()` and
    after `restore()`.
    """

    def __init__(self, model: Any, longest: int | None = None) -> None:
        """Wrap a model, or a peft model around one. longest: length limit of a row's sequences, None for the row's own.

        Raises `ValueError` for an architecture that can't be packed.
        """
        super().__init__()
        self.model, self.longest = model, longest
        self._plain = [unwrapped(model)]  # in a list, or torch would register the module twice
        reader = reader_of(self.plain)
        if reader is None:
            raise ValueError(f"the head of {type(self.plain).__name__} is not known")
        self._reader, self._first_position = reader, first_position(self.plain)
        self._typed = takes_types(self.plain)
        self._usual = self.plain.config._attn_implementation
        self._attend(PACKED)

    @property
    def plain(self) -> Any:
        """The model inside."""
        return self._plain[0]

    @contextmanager
    def padded(self) -> Iterator[Any]:
        """A context in which the model takes padded batches, as before it was wrapped."""
        self.restore()
        try:
            yield self.model
        finally:
            self._attend(PACKED)

    def restore(self) -> None:
        """Restore the model's own attention."""
        self._attend(self._usual)

    def _attend(self, kind: str) -> None:
        self.plain.set_attn_implementation(kind)
        if self.plain.config._attn_implementation != kind:
            raise ValueError(f"the attention of {type(self.plain).__name__} can't be replaced")

    def forward(self, micro: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits of a row: (S, outputs), or (T, outputs) if the head reads every token; meaningless for filler."""
        states = self.body_outputs(micro).last_hidden_state[0]
        return self._reader.logits(self.plain, self._read(states, micro["input_ids"][0], micro["boundaries"]))

    def body_outputs(self, micro: dict[str, torch.Tensor], **options: Any) -> Any:
        """What the model's body returns for a row; options: further arguments of its forward pass."""
        ends, ids = micro["boundaries"], micro["input_ids"]
        longest = self.longest or ids.shape[1]
        body = getattr(self.plain, self.plain.base_model_prefix)
        return body(
            input_ids=ids,
            position_ids=micro["position_ids"] + self._first_position,
            cu_seq_lens_q=ends,
            cu_seq_lens_k=ends,
            max_length_q=longest,
            max_length_k=longest,
            **({"token_type_ids": micro["token_type_ids"]} if "token_type_ids" in micro and self._typed else {}),
            **({"use_cache": False} if self._reader.reads in ("last", "every") else {}),
            **options,
        )

    def _read(self, states: torch.Tensor, ids: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """The head's inputs, (S, hidden) or (T, hidden), from states (T, hidden)."""
        if self._reader.reads == "every":
            return states
        tokens = len(ids)
        first = ends[:-2].clamp(max=tokens - 1)
        if self._reader.reads == "first":
            return states.index_select(0, first)
        if self._reader.reads == "last":
            return states.index_select(0, torch.maximum(first, self._last(ids, ends)))
        sequence = segments(ends, tokens)
        sums = states.new_zeros(len(ends), states.shape[1], dtype=torch.float32).index_add(0, sequence, states.float())
        sizes = (ends[1:] - ends[:-1]).clamp(min=1)
        return (sums[:-1] / sizes[:, None])[:-1].to(states.dtype)

    def _last(self, ids: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Index of each slot's last token that is not padding, found in the same way as by a decoder's own head."""
        padding = self.plain.config.get_text_config().pad_token_id
        if padding is None:
            return ends[1:-1] - 1
        place = torch.arange(len(ids), device=ids.device)
        last = torch.cummax(torch.where(ids == padding, 0, place), dim=0).values
        return last.index_select(0, ends[1:-1] - 1).to(ends.dtype)


def takes_types(model: Any) -> bool:
    """Whether a model uses `token_type_ids` to distinguish segments."""
    return getattr(model.config, "type_vocab_size", 0) > 1


def unwrapped(model: Any) -> Any:
    """The model inside a peft model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def first_position(model: Any) -> int:
    """The position of a sequence's first token: 0, except that RoBERTa-like models count from the padding id + 1."""
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
            return table.padding_idx + 1
    return 0

"""Encode sequences as token ids, in one process or several; a record's ids depend only on its sequence."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from multiprocessing import connection, get_context, parent_process
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.training.models.tokenizers import bases_per_token, kmer_of

Encoded = tuple[NDArray[Any], NDArray[np.int64]]
"""Concatenated token ids of n sequences, (total,), and the number of each sequence's, (n,)."""


class Encoder:
    """Encodes upper-cased sequences, without special tokens and without truncation."""

    def __init__(self, tokenizer: Any) -> None:
        """tokenizer: any of transformers."""
        self.tokenizer = tokenizer
        self.dtype = id_type(tokenizer)
        self._k = kmer_of(tokenizer)
        self._words = _Words(tokenizer)
        tokenizer("A", add_special_tokens=False)  # resets any truncation that a fast tokenizer was saved with
        self._core = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        self._bases = bases_per_token(tokenizer)
        self._unknown = tokenizer.unk_token_id

    def __call__(self, sequences: list[str]) -> Encoded:
        """Encode sequences."""
        rows = self._rows([sequence.upper() for sequence in sequences])
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(chain.from_iterable(rows), self.dtype, int(sizes.sum())), sizes

    def soft_masked(self, sequences: list[str], encoded: Encoded) -> NDArray[np.uint8]:
        """How many of each token's bases are lower case in the sequences that were encoded, (total,); 255 for more."""
        ids, sizes = encoded
        letters = np.frombuffer("".join(sequences).encode("ascii", "replace"), np.uint8)
        upto = np.concatenate(([0], np.cumsum((letters >= ord("a")) & (letters <= ord("z")), dtype=np.int64)))
        ends = np.cumsum(self._spans(sequences, ids, sizes))
        found = np.diff(upto[ends], prepend=0)
        if self._unknown is not None:
            found[ids == self._unknown] = 0
        return np.minimum(found, 255).astype(np.uint8)

    def _spans(self, sequences: list[str], ids: NDArray[Any], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The letters that each token stands for, (total,), those of unknown tokens too: they sum to all letters."""
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        first = np.cumsum(sizes) - sizes
        if self._k is not None:  # overlapping k-mers: the first k letters, then one each
            overlapping = np.ones(len(ids), np.int64)
            overlapping[first] = np.minimum(lengths, self._k)
            return overlapping
        spans: NDArray[np.int64] = self._bases[ids]
        if self._unknown is not None:
            missing = lengths - np.add.reduceat(spans, first)
            unknown = ids == self._unknown
            single = np.add.reduceat(unknown, first, dtype=np.int64) == missing
            spans[unknown & np.repeat(single, sizes)] = 1
            for row in np.flatnonzero(~single).tolist():  # several unknown letters may be one token
                here = slice(first[row], first[row] + sizes[row])
                spans[here] = self._read(sequences[row], spans[here])
        if (np.add.reduceat(spans, first) != lengths).any():
            raise UserError(
                f"{self.tokenizer.name_or_path}: its tokens do not spell the sequence, so soft-masked bases cannot be"
                " told apart; use another tokenizer for a corpus"
            )
        return spans

    def _read(self, sequence: str, spans: NDArray[np.int64]) -> NDArray[np.int64]:
        """The letters of one sequence's tokens, from the places that a fast tokenizer states."""
        if self._core is None:
            return spans
        places = self._core.encode(sequence.upper(), add_special_tokens=False).offsets
        return np.diff([0, *(end for _, end in places)])

    def _rows(self, sequences: list[str]) -> list[list[int]]:
        if self._k is not None:
            return [self._words.ids(sequence, self._k) for sequence in sequences]
        if self._core is not None:  # more than twice as fast as calling the tokenizer, which also computes offsets
            return [encoding.ids for encoding in self._core.encode_batch_fast(sequences, add_special_tokens=False)]
        rows = self.tokenizer(sequences, add_special_tokens=False, return_attention_mask=False, verbose=False)
        return list(rows["input_ids"])


class _Words(dict[str, list[int]]):
    """A cache of the ids of k-mers, which the tokenizer encodes independently, as words."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> list[int]:
        self[word] = list(self._tokenizer(word, add_special_tokens=False)["input_ids"])
        return self[word]

    def ids(self, sequence: str, k: int) -> list[int]:
        """Ids of a sequence's overlapping k-mers; one shorter than k is a single word."""
        starts = range(max(1, len(sequence) - k + 1))
        return list(chain.from_iterable([self[sequence[i : i + k]] for i in starts]))


def id_type(tokenizer: Any) -> np.dtype[Any]:
    """uint16 if it can hold every token id, else uint32."""
    return np.dtype(np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.uint32)


def encode_batches(
    tokenizer: Any, batches: Iterable[tuple[list[str], list[str]]], processes: int = 1, soft: bool = False
) -> Iterator[tuple[list[str], Encoded, NDArray[np.uint8] | None]]:
    """Encode batches of (record ids, sequences) in order; yield each batch's record ids and token ids.

    soft: yield the number of each token's lower-case letters too. At most a few batches per process are in memory.
    """
    if processes == 1:
        encoder = Encoder(tokenizer)
        yield from ((names, *_encoded(encoder, sequences, soft)) for names, sequences in batches)
        return
    # forked workers inherit the tokenizer and the imports; elsewhere fork is unsafe or does not exist
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (tokenizer,))
    waiting: deque[tuple[list[str], Future[tuple[Encoded, NDArray[np.uint8] | None]]]] = deque()
    try:
        for names, sequences in batches:
            waiting.append((names, pool.submit(_encode, sequences, soft)))
            if len(waiting) > 2 * processes:
                names, future = waiting.popleft()
                yield names, *future.result()
        for names, future in waiting:
            yield names, *future.result()
    except BrokenProcessPool as error:
        raise UserError("a tokenizing process was killed, perhaps out of memory; use fewer --threads") from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Encoder


def _start(tokenizer: Any) -> None:
    global _worker  # a worker process keeps its encoder between batches
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is one process for each requested thread
    _worker = Encoder(tokenizer)


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _encode(sequences: list[str], soft: bool) -> tuple[Encoded, NDArray[np.uint8] | None]:
    return _encoded(_worker, sequences, soft)


def _encoded(encoder: Encoder, sequences: list[str], soft: bool) -> tuple[Encoded, NDArray[np.uint8] | None]:
    encoded = encoder(sequences)
    return encoded, encoder.soft_masked(sequences, encoded) if soft else None

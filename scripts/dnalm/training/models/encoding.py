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
from dnalm.training.models.tokenizers import kmer_of

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

    def __call__(self, sequences: list[str]) -> Encoded:
        """Encode sequences."""
        rows = self._rows([sequence.upper() for sequence in sequences])
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(chain.from_iterable(rows), self.dtype, int(sizes.sum())), sizes

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
    tokenizer: Any, batches: Iterable[tuple[list[str], list[str]]], processes: int = 1
) -> Iterator[tuple[list[str], Encoded]]:
    """Encode batches of (record ids, sequences) in order; yield each batch's record ids and token ids.

    At most a few batches per process are in memory.
    """
    if processes == 1:
        encoder = Encoder(tokenizer)
        yield from ((names, encoder(sequences)) for names, sequences in batches)
        return
    # forked workers inherit the tokenizer and the imports; elsewhere fork is unsafe or does not exist
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (tokenizer,))
    waiting: deque[tuple[list[str], Future[Encoded]]] = deque()
    try:
        for names, sequences in batches:
            waiting.append((names, pool.submit(_encode, sequences)))
            if len(waiting) > 2 * processes:
                names, future = waiting.popleft()
                yield names, future.result()
        for names, future in waiting:
            yield names, future.result()
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


def _encode(sequences: list[str]) -> Encoded:
    return _worker(sequences)

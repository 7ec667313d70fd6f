"""Sequences as token ids, by one process or several: a record's ids depend on nothing but its sequence."""

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
"""Token ids of n sequences in a row, (total,), and how many are each sequence's, (n,)."""


class Encoder:
    """Token ids of sequences: upper-cased, without special tokens and uncut."""

    def __init__(self, tokenizer: Any) -> None:
        """Make ready to encode with any tokenizer of transformers."""
        self.tokenizer = tokenizer
        self.dtype = id_type(tokenizer)
        self._k = kmer_of(tokenizer)
        self._words = _Words(tokenizer)
        tokenizer("A", add_special_tokens=False)  # so a fast tokenizer's core forgets any truncation it was saved with
        self._core = tokenizer.backend_tokenizer if tokenizer.is_fast else None

    def __call__(self, sequences: list[str]) -> Encoded:
        """Encode sequences."""
        rows = self._rows([sequence.upper() for sequence in sequences])
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(chain.from_iterable(rows), self.dtype, int(sizes.sum())), sizes

    def _rows(self, sequences: list[str]) -> list[list[int]]:
        if self._k is not None:
            return [self._words.ids(sequence, self._k) for sequence in sequences]
        if self._core is not None:  # less than half the time of calling the tokenizer, which works out offsets too
            return [found.ids for found in self._core.encode_batch_fast(sequences, add_special_tokens=False)]
        rows = self.tokenizer(sequences, add_special_tokens=False, return_attention_mask=False, verbose=False)
        return list(rows["input_ids"])


class _Words(dict[str, list[int]]):
    """Ids of k-mers, each asked of the tokenizer once: to it they are words, which it encodes one by one."""

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
    """The smallest unsigned type that holds every token id."""
    return np.dtype(np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.uint32)


def encode_batches(
    tokenizer: Any, batches: Iterable[tuple[list[str], list[str]]], processes: int = 1
) -> Iterator[tuple[list[str], Encoded]]:
    """Encode batches of (record ids, sequences) in their order; yield each batch's record ids and token ids.

    A few batches for each process are in memory at a time.
    """
    if processes == 1:
        encoder = Encoder(tokenizer)
        yield from ((names, encoder(sequences)) for names, sequences in batches)
        return
    # forked workers have the tokenizer and the imports already; elsewhere fork is not safe or not there
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
        raise UserError("a tokenizing process was killed, perhaps for want of memory; use fewer --threads") from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Encoder


def _start(tokenizer: Any) -> None:
    global _worker  # what a worker process keeps between batches
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the threads asked for
    _worker = Encoder(tokenizer)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _encode(sequences: list[str]) -> Encoded:
    return _worker(sequences)

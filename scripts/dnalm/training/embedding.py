"""Embeddings: hidden states of a model's body, pooled over each record's tokens and streamed in the data's order."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.config.recipes import Pooling
from dnalm.errors import UserError
from dnalm.training.engine.devices import out_of_memory
from dnalm.training.engine.feeds import WIDTH, Examples, pad
from dnalm.training.engine.packing import UNIT, PackedModel, lay_out
from dnalm.training.engine.parity import prove
from dnalm.training.engine.steps import ahead
from dnalm.training.models.bodies import Body

CHUNK = 2**28
"""Bytes of vectors that are gathered before they are written; memory holds a few times as much."""

GPU_TOKENS, CPU_TOKENS = 2**16, 2**12
"""Tokens of a batch, special tokens and padding included; fewer for a model of many wide layers."""

STATES = 2**33
"""Bytes that the hidden states of a batch may take on a GPU."""

_LOWEST = float("-inf")


def chosen_layers(layers: str | Sequence[int], count: int) -> list[int]:
    """Layers as ascending numbers from 0, each once; count: number of the model's hidden states.

    0 is the embedding of tokens, count - 1 the last layer; negative ones count from the end. Raises `UserError` for one
    that the model does not have.
    """
    if isinstance(layers, str):
        return list(range(count))
    for layer in layers:
        if not -count <= layer < count:
            raise UserError(
                f"layers: {layer} is not a layer of this model, which has {count}: 0, the embedding of tokens, to"
                f" {count - 1}, the last (-1)"
            )
    return sorted({layer % count for layer in layers})


@dataclass(frozen=True)
class _Batch:
    """The tensors of some windows of the chunk that begins at record `chunk`; indices of tokens are into all rows.

    inputs: of the model. lengths: (s,) tokens of each sequence or piece of filler, the windows first. real: (t,) which
    tokens belong to a record. first, last: (b,) the first token and the last real one. size: (b,) real tokens. owner:
    (b,) each window's record in the chunk. weight: (b,) its share of the record's tokens.
    """

    chunk: int
    inputs: dict[str, torch.Tensor]
    tensors: dict[str, torch.Tensor]


class Embedder:
    """Pools the hidden states of a body.

    packed: whether it runs on packed rows, which `why_padded` allows only where results are shown to be the same.
    """

    def __init__(
        self, body: Body, count: int, layers: Sequence[int], poolings: Sequence[Pooling], packed: bool
    ) -> None:
        """body: on its device, in its number format; count: number of its hidden states."""
        self.body, self.layers, self.poolings = body, list(layers), list(poolings)
        self.hidden = int(getattr(body.config.get_text_config(), "hidden_size", 0) or _width(body))
        parameter = next(body.parameters())
        self.dtype = torch.float64 if parameter.dtype == torch.float64 else torch.float32
        self._last = count - 1
        self._packed = PackedModel(body) if packed else None
        on_gpu = body.device.type != "cpu"
        states = (count + 4) * self.hidden * parameter.element_size()
        self.most_tokens = max(512, min(GPU_TOKENS, STATES // states)) if on_gpu else CPU_TOKENS
        self._pins = body.device.type == "cuda"
        self._options = {"use_cache": False} if hasattr(body.config, "use_cache") else {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers, poolings and hidden size of a record's vectors."""
        return len(self.layers), len(self.poolings), self.hidden

    def vectors(self, examples: Examples, what: str = "") -> Iterator[NDArray[Any]]:
        """Vectors of all records in order, in chunks (k, layers, poolings, hidden); NaN for a record without a window.

        The windows of a record are averaged, weighted by their tokens; with `max` their maximum is taken. The result
        does not depend on how windows are batched, but for rounding. A number of k records take at most `CHUNK` bytes.
        what: label of the progress bar. Raises `UserError` if a state is not a number, or the memory runs out.
        """
        windows = examples.windows
        total = np.bincount(windows.record, _sizes(examples, np.arange(len(windows))), minlength=windows.records)
        size = int(np.clip(CHUNK // (np.prod(self.shape) * self.dtype.itemsize), 1, 2**16))
        starts = np.arange(0, windows.records, size)
        edges = np.searchsorted(windows.record, np.append(starts, windows.records))
        bar = tqdm(total=len(windows), desc=what, unit=" seq", mininterval=1, file=sys.stderr, disable=not what)
        jobs = self._jobs(examples, starts, edges)
        gathered: _Gathered | None = None
        sent: deque[_Gathered] = deque()
        try:
            with torch.no_grad(), bar:
                for batch in ahead(lambda job: self._batch(examples, total, *job), jobs):
                    if gathered is None or gathered.start != batch.chunk:
                        if gathered is not None:
                            sent.append(gathered.send())
                        gathered = _Gathered(self, batch.chunk, min(size, windows.records - batch.chunk))
                        if len(sent) > 1:  # one stays behind, so that the GPU is never waited for
                            yield sent.popleft().done()
                    gathered.add(batch)
                    bar.update(len(batch.tensors["owner"]))
                if gathered is not None:
                    sent.append(gathered.send())
                for last in sent:
                    yield last.done()
        except RuntimeError as error:
            raise out_of_memory(error) or error from error

    def _jobs(
        self, examples: Examples, starts: NDArray[np.int64], edges: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The first record of a chunk and the windows of a batch of it, which are of similar lengths if padded."""
        for start, (first, stop) in zip(starts.tolist(), pairwise(edges.tolist()), strict=True):
            order = np.arange(first, stop)
            lengths = examples.lengths_of(order)
            if self._packed is None:
                by_length = np.argsort(-lengths, kind="stable")
                order, lengths = order[by_length], lengths[by_length]
            if not len(order):
                yield start, order
            at = 0
            while at < len(order):
                if self._packed is None:
                    rows = self.most_tokens // (-(-int(lengths[at]) // WIDTH) * WIDTH)
                else:
                    near = lengths[at : at + self.most_tokens].cumsum()
                    rows = int(np.searchsorted(near, self.most_tokens, side="right"))
                rows = max(1, rows)
                yield start, order[at : at + rows]
                at += rows

    def _batch(self, examples: Examples, total: NDArray[Any], chunk: int, indices: NDArray[np.int64]) -> _Batch:
        owner = examples.windows.record[indices].astype(np.int64)
        size = _sizes(examples, indices)
        tensors = {"owner": owner - chunk, "size": size, "weight": size / np.maximum(total[owner], 1)}
        inputs: dict[str, torch.Tensor] = {}
        if len(indices):
            ids, lengths = examples.flat(indices)
            prefix = len(examples.wrapper[0])
            filler = examples.specials.pad
            if self._packed is None:
                inputs = pad(ids, lengths, filler, WIDTH)
                width = inputs["input_ids"].shape[1]
                first, pieces = np.arange(len(indices)) * width, np.full(len(indices), width)
            else:
                tokens = -(-len(ids) // UNIT) * UNIT
                slots = len(lengths) + -(-UNIT // examples.longest)
                inputs = lay_out(ids, lengths, tokens, slots, examples.longest, filler)
                first, pieces = lengths.cumsum() - lengths, np.diff(inputs["boundaries"].numpy())
            tokens = int(pieces.sum())
            place = np.arange(tokens) - np.repeat(pieces.cumsum() - pieces, pieces)
            inside = np.zeros(len(pieces), dtype=np.int64)
            inside[: len(size)] = size
            real = (place >= prefix) & (place < prefix + np.repeat(inside, pieces))
            tensors |= {"first": first, "last": first + prefix + size - 1, "pieces": pieces, "real": real}
        made = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in tensors.items()}
        made["weight"] = made["weight"].to(self.dtype)
        if self._pins:
            inputs, made = ({key: value.pin_memory() for key, value in part.items()} for part in (inputs, made))
        return _Batch(chunk, inputs, made)

    def pooled(self, inputs: dict[str, torch.Tensor], at: dict[str, torch.Tensor]) -> torch.Tensor:
        """Vectors of the windows of a batch, (b, layers, poolings, hidden)."""
        every = self.layers != [self._last]
        options = {"output_hidden_states": True} if every else {}
        if self._packed is not None:
            found = self._packed.body_outputs(inputs, **options)
        else:
            found = self.body.body(**inputs, **options, **self._options)
        rows = []
        for layer in self.layers:
            states = found.last_hidden_state if layer == self._last else found.hidden_states[layer]
            flat = states.reshape(-1, states.shape[-1])
            rows.append(torch.stack([self._pool(flat, pooling, at) for pooling in self.poolings], dim=1))
        return torch.stack(rows, dim=1)

    def _pool(self, states: torch.Tensor, pooling: Pooling, at: dict[str, torch.Tensor]) -> torch.Tensor:
        """One vector for each window, (b, hidden), from the states of all tokens, (t, hidden)."""
        if pooling in ("cls", "last"):
            return states.index_select(0, at["first" if pooling == "cls" else "last"]).to(self.dtype)
        count, special = len(at["size"]), ~at["real"][:, None]
        kind, filler = ("sum", 0.0) if pooling == "mean" else ("max", _LOWEST)
        kept = states.to(self.dtype).masked_fill(special, filler)
        found = torch.segment_reduce(kept, kind, lengths=at["pieces"], axis=0, unsafe=True)[:count]
        return found / at["size"][:, None] if pooling == "mean" else found


class _Gathered:
    """The vectors of a chunk on the model's device, to which batches are added."""

    def __init__(self, embedder: Embedder, start: int, records: int) -> None:
        """start: the chunk's first record."""
        self.start, self._embedder = start, embedder
        layers, poolings, hidden = embedder.shape
        device, dtype = embedder.body.device, embedder.dtype
        self._shape = (records, layers, poolings, hidden)
        self._average, self._largest = (
            torch.tensor([i for i, name in enumerate(embedder.poolings) if (name == "max") is largest])
            .long()
            .to(device)
            for largest in (False, True)
        )
        self._sums = torch.zeros(records, layers, len(self._average), hidden, dtype=dtype, device=device)
        self._most = torch.full((records, layers, len(self._largest), hidden), _LOWEST, dtype=dtype, device=device)
        self._found = np.zeros(records, dtype=bool)
        self._finite = torch.ones((), dtype=torch.bool, device=device)
        self._copy = torch.empty(0)
        self._event: Any = None

    def add(self, batch: _Batch) -> None:
        """Run the model on a batch and add its vectors."""
        if not batch.inputs:
            return
        self._found[batch.tensors["owner"].numpy()] = True
        inputs, at = (
            {name: value.to(self._sums.device, non_blocking=True) for name, value in part.items()}
            for part in (batch.inputs, batch.tensors)
        )
        found = self._embedder.pooled(inputs, at)
        self._finite &= found.isfinite().all()
        if len(self._average):
            weight = at["weight"][:, None, None, None]
            self._sums.index_add_(0, at["owner"], found.index_select(2, self._average) * weight)
        if len(self._largest):
            part = found.index_select(2, self._largest)
            self._most.scatter_reduce_(0, at["owner"][:, None, None, None].expand_as(part), part, "amax")

    def send(self) -> "_Gathered":
        """Start to copy the vectors to the CPU; returns itself."""
        vectors = torch.empty(self._shape, dtype=self._sums.dtype, device=self._sums.device)
        vectors.index_copy_(2, self._average, self._sums).index_copy_(2, self._largest, self._most)
        pinned = vectors.device.type == "cuda"
        self._copy = torch.empty(self._shape, dtype=vectors.dtype, pin_memory=pinned)
        self._copy.copy_(vectors, non_blocking=pinned)
        self._finite = self._finite.to("cpu", non_blocking=pinned)  # read in `done`, after the event
        if pinned:
            self._event = torch.cuda.Event()
            self._event.record()
        self._sums = self._most = torch.empty(0)
        return self

    def done(self) -> NDArray[Any]:
        """The vectors, once they are copied."""
        if self._event is not None:
            self._event.synchronize()
        vectors: NDArray[Any] = self._copy.numpy()
        if not bool(self._finite):
            raise UserError("the model's hidden states are not all numbers; is its checkpoint sound?")
        if not self._found.all():
            vectors[~self._found] = np.nan
        return vectors


def why_padded(body: Body, examples: Examples) -> str | None:
    """Why a body is not run on packed rows; None if it can be, and is worth it: on a CUDA GPU, in 16 bits."""
    dtype = next(body.parameters()).dtype
    if body.device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return "packed rows need a CUDA GPU and 16 bits"
    return prove(body, examples, body.device, dtype)


def in_bf16(body: Body) -> Body:
    """Round a body's weights to bfloat16, in place; its buffers, such as rotary frequencies, keep their precision."""
    for parameter in body.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.bfloat16)
    return body


def write_vectors(path: Path, chunks: Iterator[NDArray[Any]], records: int, shape: tuple[int, ...]) -> None:
    """Stream chunks of vectors into a .npy file of (records, *shape) float32; a thread writes."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (records, *shape)}
    written = 0
    with open(path, "wb") as stream, ThreadPoolExecutor(max_workers=1) as pool:
        np.lib.format.write_array_header_1_0(stream, header)
        writing: Future[None] | None = None
        for chunk in chunks:
            if writing is not None:
                writing.result()
            writing = pool.submit(np.asarray(chunk, dtype="<f4").tofile, stream)
            written += len(chunk)
        if writing is not None:
            writing.result()
    if written != records:
        raise AssertionError(f"{written} of {records} records were written")


def _sizes(examples: Examples, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens of windows without special ones, (k,)."""
    sizes: NDArray[np.int64] = examples.lengths_of(indices) - sum(map(len, examples.wrapper))
    return sizes


def _width(body: Body) -> int:
    return int(body.get_input_embeddings().weight.shape[1])

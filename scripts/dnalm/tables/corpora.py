"""The tables of a corpus: one row a window or sequence, written and read a row group at a time."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.names import spread

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "sequence": pa.string(),
        "group": pa.string(),
        "source": pa.string(),
        "chrom": pa.string(),
        "start": pa.int64(),
        "end": pa.int64(),
        "strand": pa.string(),
        "soft_masked": pa.list_(pa.int32()),
    }
)
"""Columns of a corpus table. `soft_masked`: half-open intervals in the sequence, from 0: start, end, start, end ..."""

GROUP_BASES, GROUP_ROWS = 2**24, 2**16
"""Bases and rows of a row group, at most: what a reader holds in memory."""


class CorpusWriter:
    """Writes a corpus table. With sequences of one length, the bytes do not depend on the sizes of what is added."""

    def __init__(self, path: Path, length: int = 1) -> None:
        """length: of the sequences, in bases, if all have one; use as a context manager."""
        self._rows = max(1, min(GROUP_ROWS, GROUP_BASES // length))
        self._waiting = SCHEMA.empty_table()
        self._file = pq.ParquetWriter(path, SCHEMA, compression="zstd", write_statistics=False)

    def add(self, rows: pa.Table) -> None:
        """Add rows of `SCHEMA`."""
        self._waiting = pa.concat_tables([self._waiting, rows])
        while len(self._waiting) >= self._rows:
            self._file.write_table(self._waiting[: self._rows], row_group_size=self._rows)
            self._waiting = self._waiting[self._rows :]
        if self._waiting.nbytes > 2 * GROUP_BASES:  # long sequences of different lengths
            self._flush()

    def _flush(self) -> None:
        if len(self._waiting):
            self._file.write_table(self._waiting, row_group_size=self._rows)
        self._waiting = SCHEMA.empty_table()

    def __enter__(self) -> "CorpusWriter":
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the rows that wait, and close the file."""
        if kind is None:
            self._flush()
        self._file.close()


def read_batches(path: Path | str, columns: Sequence[str], rows: int = 2**14) -> Iterator[pa.RecordBatch]:
    """Some columns of a table on disk, at most `rows` rows at a time; a damaged file is a `UserError`."""
    try:
        # these two options avoid reading a whole column into memory
        with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as table:
            yield from table.iter_batches(batch_size=rows, columns=list(columns))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: cannot read this parquet table ({str(error).splitlines()[0]})") from error


def sample(path: Path | str, columns: Sequence[str], records: int, bases: int) -> pa.Table:
    """Some columns of a table's rows in memory: at most `records` rows of about `bases` bases, evenly spread."""
    total = letters = first = 0
    for batch in read_batches(path, ["sequence"]):
        total += len(batch)
        letters += int(pc.sum(pc.binary_length(batch["sequence"])).as_py() or 0)
    wanted = np.array(spread(total, max(1, min(records, bases * total // max(letters, 1)))), np.int64)
    parts = []
    for batch in read_batches(path, columns):
        here = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
        parts.append(batch.take(pa.array(here)))
        first += len(batch)
    schema = pa.schema([pq.read_schema(path).field(name) for name in columns])
    return pa.Table.from_batches([part.cast(schema) for part in parts], schema).combine_chunks()


def codes_of(sequences: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The letters of a string column end to end as ASCII codes, without a copy, and their offsets, shape (n + 1,)."""
    if not len(sequences):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    kind = np.int64 if pa.types.is_large_string(sequences.type) else np.int32
    _, offsets, letters = sequences.buffers()
    starts = np.frombuffer(offsets, kind)[sequences.offset : sequences.offset + len(sequences) + 1].astype(np.int64)
    return np.frombuffer(letters or b"", np.uint8)[starts[0] : starts[-1]], starts - starts[0]


def in_case(rows: pa.RecordBatch) -> list[str]:
    """The sequences of some rows, soft-masked bases in lower case, as genomes have them."""
    letters, offsets = codes_of(rows["sequence"])
    marks = rows["soft_masked"]
    places = marks.flatten().to_numpy() + np.repeat(offsets[:-1], pc.list_value_length(marks).to_numpy())
    change = np.zeros(len(letters) + 1, np.int8)
    np.add.at(change, places[::2], 1)
    np.add.at(change, places[1::2], -1)
    lower = np.cumsum(change[:-1], dtype=np.int8)
    text = (letters | lower.view(np.uint8) << np.uint8(5)).tobytes().decode("ascii")  # 32 turns A into a
    return [text[start:end] for start, end in pairwise(offsets.tolist())]


Key = tuple[str, str]
"""A source, such as a genome, and a chromosome."""


def located(rows: pa.RecordBatch) -> list[tuple[Key, NDArray[np.int64], NDArray[np.int64]]]:
    """The rows that have a place, by source and chromosome: their numbers (m,), and their starts and ends (m, 2)."""
    known = pc.and_(pc.is_valid(rows["start"]), pc.is_valid(rows["chrom"]))
    numbers = np.flatnonzero(known.to_numpy(zero_copy_only=False))
    if not len(numbers):
        return []
    rows = rows.filter(known)
    keys = pc.binary_join_element_wise(*(rows[name].cast(pa.string()) for name in ("source", "chrom")), "\t")
    found = keys.dictionary_encode()
    codes = found.indices.to_numpy()
    places = np.stack([rows[name].cast(pa.int64()).to_numpy() for name in ("start", "end")], axis=1)
    result = []
    for code, key in enumerate(found.dictionary.to_pylist()):
        source, chrom = key.split("\t")
        result.append(((source, chrom), numbers[codes == code], places[codes == code]))
    return result

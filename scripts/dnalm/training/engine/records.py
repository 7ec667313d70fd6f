"""The records of a split for training: truth and tokens; sequences and ids stay on disk."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.files import read_table
from dnalm.names import LABEL, SEQUENCE
from dnalm.tables.tokens import Tokens, read_tokens
from dnalm.training.engine.windows import Windows
from dnalm.training.objectives.base import Objective


class Ids:
    """The ids of a table's records, read from disk one by one on demand: only error messages need them."""

    def __init__(self, table: Path) -> None:
        """table: a parquet file."""
        self._table = table

    def __getitem__(self, index: int, /) -> str:
        """The id of record `index`."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._table, buffer_size=2**20, pre_buffer=False) as table:
            for batch in table.iter_batches(columns=["id"]):
                if index < len(batch):
                    return str(batch.column(0)[index].as_py())
                index -= len(batch)
        raise IndexError(index)


class Split:
    """One split: `ids`; `truth` (n,), labels or targets, None if the sequence itself is learnt; `tokens`."""

    def __init__(self, data: Path, tokens: Path, name: str, truth: str = LABEL) -> None:
        """Open `{name}.parquet` in `data` and the tokens of its records in `tokens`; truth: the column to learn.

        Raises `UserError` for a table without records, or tokens of another number of records.
        """
        self.path, self._place = data / f"{name}.parquet", tokens
        self.truth: NDArray[Any] | None = None
        if truth == SEQUENCE:  # a corpus may have millions
            self._count = number_of_rows(self.path)
        else:
            kind = np.int64 if truth == LABEL else np.float64
            self.truth = read_table(self.path, columns=[truth])[truth].to_numpy(kind)
            self._count = len(self.truth)
        if not self._count:
            raise UserError(f"{self.path}: holds no records")
        self.ids = Ids(self.path)
        self.tokens = self._read(name)

    def reverse(self) -> Tokens:
        """Tokens of the reverse complements."""
        return self._read(f"{self.path.stem}_reverse")

    def _read(self, table: str) -> Tokens:
        found = read_tokens(self._place, table)
        if len(found) != self._count:
            raise UserError(f"{self._place}: has tokens of {len(found)} records, but {self.path} has {self._count}")
        return found

    def check(self, objective: Objective, config: Any) -> None:
        """Raise `UserError` if a record cannot be learnt by a model with this config."""
        if self.truth is not None and (found := objective.misfit(self.truth, config)) is not None:
            index, why = found
            raise UserError(f"{self.path}: record '{self.ids[index]}' {why}")

    def counts(self, windows: Windows, unknown: int | None) -> dict[str, int]:
        """Counts for run.json: the split's windows and its unknown tokens; unknown: the id of such a token."""
        return {**windows.counts(), "unknown_tokens": 0 if unknown is None else self.tokens.count(unknown)}


def number_of_rows(path: Path) -> int:
    """Records of a parquet table, without reading them; a file that is missing or not parquet is a `UserError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: cannot read this parquet table ({str(error).splitlines()[0]})") from error


def letters(path: Path) -> int:
    """Letters of all sequences of a table, read a part at a time."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        parts = table.iter_batches(columns=[SEQUENCE])
        return sum(pc.sum(pc.binary_length(part.column(0))).as_py() or 0 for part in parts)

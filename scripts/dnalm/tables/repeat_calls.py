"""The repeats that Tandem Repeats Finder calls in the records of a data set: one row a record, looked up by id.

Columns: `id`; `called`, whether TRF finds a tandem repeat (missing in every row if trf was not installed); `period`
(bases), `copies` and `score` of the repeat with the highest score (missing where there is none).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.files import read_table

_TYPES = {"id": "str", "called": "boolean", "period": "Int64", "copies": "Float64", "score": "Int64"}


def repeat_calls(ids: Sequence[str], found: Sequence[tuple[int, float, int] | None] | None) -> pd.DataFrame:
    """The table of records `ids`. found: period, copies and score of each repeat; None if trf is not installed."""
    rows = found if found is not None else [None] * len(ids)
    columns = {
        "id": list(ids),
        "called": [None if found is None else repeat is not None for repeat in rows],
        **{name: [repeat and repeat[at] for repeat in rows] for at, name in enumerate(("period", "copies", "score"))},
    }
    return pd.DataFrame(columns).astype(_TYPES)


def read_calls(path: Path, ids: Sequence[str]) -> NDArray[np.bool_] | None:
    """Whether TRF calls a repeat in each of the records `ids`, shape (n,); None if trf was not installed.

    Raises `UserError` if a record is not in the table.
    """
    called = read_table(path, ["id", "called"]).set_index("id")["called"]
    absent = pd.Index(ids).difference(called.index)
    if len(absent):
        raise UserError(f"{path}: no record '{absent[0]}'; it was made from other records: delete it and run again")
    chosen = called.loc[list(ids)]
    return None if chosen.isna().any() else chosen.to_numpy(bool)

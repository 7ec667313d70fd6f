"""Maps: vectors of records drawn in two dimensions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.errors import UserError

MOST = 10_000
"""Records on a map, at most; of more, a random sample is drawn."""

SEED = 1
"""Of that sample, and of UMAP."""


def sampled(records: int, most: int = MOST) -> NDArray[np.int64]:
    """Indices of at most `most` of `records` records, ascending."""
    if records <= most:
        return np.arange(records)
    chosen: NDArray[np.int64] = np.sort(np.random.default_rng(SEED).choice(records, most, replace=False))
    return chosen


def coordinates(vectors: NDArray[Any], method: str) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Two coordinates of each vector, (n, 2), and facts about them.

    `pca`: the first two principal components; facts: `explained`, the share of the variance of each. `umap`: by
    umap-learn (McInnes et al., 2018). Raises `UserError` for too few vectors, or if umap-learn is missing.
    """
    if len(vectors) < 3:
        raise UserError(f"a map needs 3 records or more, and there are {len(vectors)}")
    values = np.asarray(vectors, dtype=np.float64)
    if method == "umap":
        try:
            from umap import UMAP
        except ImportError as error:
            raise UserError(
                "embeddings.*.map: umap needs the package umap-learn, which is not installed; install it, or use pca"
            ) from error
        neighbours = min(15, len(values) - 1)
        made = UMAP(n_components=2, n_neighbors=neighbours, random_state=SEED, n_jobs=1).fit_transform(values)
        return np.asarray(made, dtype=np.float64), {}
    from sklearn.decomposition import PCA

    found = PCA(n_components=min(2, values.shape[1]), svd_solver="full").fit(values)
    placed = found.transform(values)
    # the sign of a component is arbitrary: fixed, so that the same vectors give the same map
    placed = placed * np.where(found.components_[:, np.abs(found.components_).argmax(axis=1)].diagonal() < 0, -1.0, 1.0)
    if placed.shape[1] == 1:
        placed = np.column_stack([placed, np.zeros(len(placed))])
    return placed, {"explained": [round(float(share), 6) for share in found.explained_variance_ratio_]}


def map_table(
    vectors: Sequence[NDArray[Any]], tables: Sequence[pd.DataFrame], names: Sequence[str], method: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row for each record on the map: `id`, `split`, the columns of `tables` beside the id, `x` and `y`; and facts.

    vectors: (n, hidden) of the records of each split in `names`; tables: their ids, labels or targets, in step.
    """
    split = np.repeat(np.arange(len(names)), [len(part) for part in vectors])
    chosen = sampled(len(split))
    starts = np.cumsum([0, *(len(part) for part in vectors)])
    rows, values = [], []
    for number, (part, table) in enumerate(zip(vectors, tables, strict=True)):
        mine = chosen[split[chosen] == number] - starts[number]
        values.append(np.asarray(part[mine]))
        rows.append(table.iloc[mine].assign(split=names[number]))
    placed, facts = coordinates(np.concatenate(values), method)
    table = pd.concat(rows, ignore_index=True)
    columns = ["id", "split", *(name for name in table.columns if name not in ("id", "split"))]
    table = table[columns].assign(x=placed[:, 0], y=placed[:, 1])
    return table, {"method": method, "records": len(split), "drawn": len(table), **facts}

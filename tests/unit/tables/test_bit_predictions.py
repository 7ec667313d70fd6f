"""Predictions of language models: bases and bits of each record."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnalm.errors import UserError
from dnalm.tables.predictions import BitPredictions, read_predictions, write_predictions


def _predictions(split: str, objective: str = "causal") -> BitPredictions:
    counts = np.array([[200, 380.123456789, 50, 90.5], [0, 0, 0, 0], [7, 14, 7, 14]], dtype=float)
    return BitPredictions(np.array([f"{split}:{i}" for i in range(3)], dtype=object), counts, objective)


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_what_is_written_is_read(objective: str, tmp_path: Path) -> None:
    """Counts in full precision, and the objective by the columns' names."""
    path = tmp_path / "predictions.parquet"
    write_predictions(path, {split: _predictions(split, objective) for split in ("validation", "test")})
    prefix = "masked_" if objective == "masked" else ""
    names = ["bases", "bits", "soft_masked_bases", "soft_masked_bits"]
    assert list(pd.read_parquet(path)) == ["id", "split", *(prefix + name for name in names)]
    found = read_predictions(path)
    for split, part in found.items():
        assert isinstance(part, BitPredictions)
        assert part.objective == objective
        assert part.ids.tolist() == _predictions(split).ids.tolist()
        np.testing.assert_array_equal(part.counts, _predictions(split).counts)
    assert found["test"].take(np.array([2])).counts.tolist() == [[7, 14, 7, 14]]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("bits", np.inf, "infinite"),
        ("bits", np.nan, "missing"),
        ("bases", -1, "below 0"),
        ("soft_masked_bases", 201, "exceeds the whole"),
        ("soft_masked_bits", 400.0, "exceeds the whole"),
        ("bases", 0, "exceeds the whole"),
        ("id", "validation:0", "occurs twice"),
        ("split", "train", "neither validation nor test"),
    ],
)
def test_a_bad_record_is_named(column: str, value: object, said: str, tmp_path: Path) -> None:
    """The first bad record, what is wrong with it, and how many there are."""
    path = tmp_path / "predictions.parquet"
    write_predictions(path, {split: _predictions(split) for split in ("validation", "test")})
    table = pd.read_parquet(path).astype({"bases": float})
    table.loc[3, column] = value
    table.to_parquet(path)
    with pytest.raises(UserError, match=said) as caught:
        read_predictions(path)
    assert "record '" in str(caught.value)
    table.drop(columns="soft_masked_bits").to_parquet(path)
    with pytest.raises(UserError, match="no column 'soft_masked_bits'"):
        read_predictions(path)

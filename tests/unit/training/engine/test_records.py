from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_models import records, tokens_of, write_tokens

from dnalm.errors import UserError
from dnalm.training.engine.records import Ids, Split
from dnalm.training.engine.windows import cut
from dnalm.training.objectives.classification import Classification


def write(root, labels, tokens=None, name="train"):
    table = records(len(labels), 3).assign(label=labels)
    (root / "data").mkdir(exist_ok=True)
    table.to_parquet(root / "data" / f"{name}.parquet", index=False, row_group_size=4)
    write_tokens(root / "tokens", name, tokens_of(tokens or [[1, 2]] * len(labels)))
    return table


def test_a_split_holds_labels_and_tokens(tmp_path):
    write(tmp_path, [0, 1, 2, 0, 1, 2, 0, 1, 2], [[5, 1], *[[7]] * 7, [5, 5, 8]])
    split = Split(tmp_path / "data", tmp_path / "tokens", "train")
    assert split.truth.tolist() == [0, 1, 2] * 3 and split.truth.dtype == np.int64
    assert isinstance(split.tokens.ids, np.memmap) and split.tokens.lengths.tolist() == [2, *[1] * 7, 3]
    windows = cut(split.tokens.lengths, 2, "truncate", split.ids)
    assert split.counts(windows, 5) == {"records": 9, "overlong": 1, "dropped": 0, "windows": 9, "unknown_tokens": 3}
    assert split.counts(windows, None)["unknown_tokens"] == 0


def test_ids_are_looked_up_one_by_one(tmp_path):
    table = write(tmp_path, [0] * 11)
    ids = Ids(tmp_path / "data" / "train.parquet")
    assert [ids[i] for i in range(11)] == table["id"].tolist()
    with pytest.raises(IndexError):
        ids[11]
    split = Split(tmp_path / "data", tmp_path / "tokens", "train")
    with pytest.raises(UserError, match="11 of 11 records are longer than 1 tokens, the first is 'r3-0'"):
        cut(split.tokens.lengths, 1, "error", split.ids)


def test_the_other_strand(tmp_path):
    write(tmp_path, [0, 1])
    write_tokens(tmp_path / "tokens", "train_reverse", tokens_of([[3], [4]]))
    split = Split(tmp_path / "data", tmp_path / "tokens", "train")
    assert split.reverse().ids.tolist() == [3, 4]
    write_tokens(tmp_path / "tokens", "train_reverse", tokens_of([[3]]))
    with pytest.raises(UserError, match=r"tokens: has tokens of 1 records, but .*train.parquet has 2"):
        split.reverse()


def test_what_does_not_fit_together_is_refused(tmp_path):
    write(tmp_path, [0, 1], [[1]] * 3)
    with pytest.raises(UserError, match=r"tokens: has tokens of 3 records, but .*train.parquet has 2"):
        Split(tmp_path / "data", tmp_path / "tokens", "train")
    write(tmp_path, [], [])
    with pytest.raises(UserError, match=r"train.parquet: holds no records"):
        Split(tmp_path / "data", tmp_path / "tokens", "train")
    pd.DataFrame({"id": ["a"]}).to_parquet(tmp_path / "data" / "train.parquet")
    with pytest.raises(UserError, match=r"train.parquet: cannot read this parquet table"):
        Split(tmp_path / "data", tmp_path / "tokens", "train")


@pytest.mark.parametrize(("labels", "said"), [([0, 1, 2], "'r3-2' has label 2"), ([-1, 5], "'r3-0' has label -1")])
def test_labels_without_a_class_are_named(tmp_path, labels, said):
    write(tmp_path, labels)
    split = Split(tmp_path / "data", tmp_path / "tokens", "train")
    with pytest.raises(UserError, match=f"train.parquet: record {said} and the model 2 classes"):
        split.check(Classification(), SimpleNamespace(num_labels=2))
    if min(labels) >= 0:
        split.check(Classification(), SimpleNamespace(num_labels=3))

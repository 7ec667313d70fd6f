"""Variants of a data set: the same records in another split, or fewer of them to train on."""

from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

from pydantic import Field

from dnalm.config.base import Name, Settings
from dnalm.config.datasets import Dataset, Labelled, MaxRecords, RepeatedSplitting
from dnalm.names import LONGEST_NAME

AnyDataset = TypeVar("AnyDataset", bound=Dataset)


class Variant(Settings):
    """What makes a data set differ from the one that a user wrote."""

    base: Name = Field(description="The data set in the config.")
    varied: Literal["split seed", "train records"]
    value: int = Field(description="The seed of the split, or the most records of train.")


def variants_of(base: str, dataset: AnyDataset) -> Iterator[tuple[str, Variant, AnyDataset]]:
    """(name, what varies, data set) of each variant of a data set, which itself is the first split and all of train.

    They are not crossed: the learning curve is that of the first split.
    """
    if not isinstance(dataset, Labelled):
        return
    for number in range(2, dataset.split.repeats + 1):
        seed = dataset.split.seed + number - 1
        split = RepeatedSplitting.model_validate({**dict(dataset.split), "repeats": 1, "seed": seed})
        changes = {"split": split, "max_train_records": []}
        varied = Variant(base=base, varied="split seed", value=seed)
        yield f"{base}.split{number}", varied, dataset.model_copy(update=changes)
    for records in sorted(dataset.max_train_records):
        caps = dataset.caps()
        fewer = MaxRecords.model_validate({**caps, "train": min(records, caps["train"] or records)})
        once = dataset.split.model_copy(update={"repeats": 1})
        changes = {"split": once, "max_train_records": [], "max_records": fewer}
        varied = Variant(base=base, varied="train records", value=records)
        yield f"{base}.train{records}", varied, dataset.model_copy(update=changes)


def problems(datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """What is wrong with the names of the variants of these data sets."""
    for base, dataset in datasets.items():
        repeats = isinstance(dataset, Labelled) and dataset.split.repeats > 1
        key = "split.repeats" if repeats else "max_train_records"
        for name, _, _ in variants_of(base, dataset):
            if name in datasets:
                yield f"datasets.{name}: `{key}` of data set '{base}' makes one of this name; call yours something else"
            if len(name) > LONGEST_NAME:
                yield f"datasets.{base}: '{name}' would be longer than {LONGEST_NAME} characters; use a shorter name"

"""Embeddings: vectors of a data set's records, by a model's hidden states."""

from typing import Literal

from pydantic import Field

from dnalm.config.base import Name, Settings
from dnalm.config.datasets import Split
from dnalm.config.recipes import Layer, Overlong, Pooling


class Embedding(Settings):
    """Vectors of records: hidden states of a model, pooled over the real tokens, in results/embeddings/{name}/."""

    model: Name = Field(description="Any model; one that is a run begins where that ended.")
    dataset: Name = Field(description="Data set whose records are embedded.")
    splits: list[Split] = Field(["test"], min_length=1, description="Splits to embed.")
    pooling: list[Pooling] = Field(
        ["mean"],
        min_length=1,
        description="`mean` and `max` over a record's tokens without special ones, `cls` the first token, `last` the "
        "last one.",
    )
    layers: Literal["all"] | list[Layer] = Field(
        [-1], description="Layers: 0 is the embedding of tokens, -1 the last layer; `all` for each of them."
    )
    overlong: Overlong = Field(
        "window", description="Records longer than the model's limit; vectors of windows are averaged by tokens."
    )
    map: Literal["pca", "umap"] = Field(
        "pca",
        description="Map of the vectors in the report; `umap` needs the package umap-learn, "
        "which no environment has: `pip install umap-learn` where the rules run.",
    )

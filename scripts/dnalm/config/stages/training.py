"""Settings of the stages from tokens to predictions; `train_tokenizer` reads the config's `Tokenizer` itself."""

from typing import Any, Literal

from pydantic import Field

from dnalm.config.base import Labels, Name, Settings, Text
from dnalm.config.datasets import Split
from dnalm.config.models import Initialisation
from dnalm.config.recipes import Layer, Overlong, Pooling, Recipe


class FetchModelSettings(Settings):
    """A checkpoint to fetch from the Hugging Face hub."""

    checkpoint: Text = Field(description="Hub id.")
    revision: Name = Field(description="Commit, branch or tag.")
    trust_remote_code: bool = Field(False, description="Fetch its code too, without running it.")


class TokenizeSettings(Settings):
    """How records are tokenized."""

    reverse_complement: bool = Field(description="Tokenize the other strand.")
    trust_remote_code: bool = Field(False, description="Run the tokenizer's own code.")


class CertifySettings(Settings):
    """A checkpoint to certify."""

    checkpoint: Text = Field(description="Its name in results; its directory is a command-line option.")
    dataset: Name = Field(description="The data set whose validation split provides the test sequences.")
    max_tokens: int | None = Field(description="Maximum tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the checkpoint's own code.")


class FinetuneSettings(Settings):
    """A fine-tuning: the recipe, the model and the labels."""

    recipe: Recipe
    seed: int = Field(ge=0)
    architecture: dict[str, Any] | None = Field(description="A transformers config, if there is no checkpoint.")
    checkpoint: Text | None = Field(
        description="The checkpoint's name in results; its directory is a command-line option."
    )
    initialisation: Initialisation = Field(
        "pretrained", description="`random`: the checkpoint's architecture with random weights."
    )
    max_tokens: int | None = Field(description="Maximum tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the checkpoint's own code.")
    labels: Labels | None = Field(description="Name of each label; None if they have only numbers.")
    soft_masked_weight: float = Field(
        1.0, ge=0, le=1, description="Weight of a soft-masked base in a language model's loss; that of others is 1."
    )


class PredictSplitsSettings(Settings):
    """How a finished model is applied to a data set."""

    overlong: Overlong
    max_tokens: int | None = Field(description="Maximum tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the model's own code.")
    background: bool = Field(False, description="Score background.parquet too.")


class EmbedSettings(Settings):
    """What is stored of a model's hidden states of a split: for all probes and embeddings that read them."""

    dataset: Name
    model: Name
    split: Split
    architecture: dict[str, Any] | None = Field(description="A transformers config, if there is no checkpoint.")
    checkpoint: Text | None = Field(description="The checkpoint's name in results.")
    seed: int | None = Field(description="Seed of random weights; None for those of the checkpoint.")
    max_tokens: int | None = Field(description="Maximum tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the checkpoint's own code.")
    pooling: list[Pooling]
    layers: Literal["all"] | list[Layer]
    overlong: Overlong


class SelectEmbeddingsSettings(Settings):
    """Which of the stored vectors an embedding has."""

    name: Name
    pooling: list[Pooling]
    layers: Literal["all"] | list[Layer]


class MapEmbeddingsSettings(Settings):
    """How vectors are drawn."""

    name: Name
    dataset: Name
    model: Name
    splits: list[Split]
    map: Literal["pca", "umap"]


class BaselineCnnSettings(Settings):
    """The convolutional baseline."""

    seed: int = Field(ge=0)
    most_settings: int | None = Field(None, ge=1, description="Settings tried at most; None for the whole grid.")
    background: bool = Field(False, description="Score background.parquet too.")

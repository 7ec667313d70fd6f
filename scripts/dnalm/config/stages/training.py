"""Settings of the stages from tokens to predictions; `train_tokenizer` reads the config's `Tokenizer` itself."""

from typing import Any

from pydantic import Field

from dnalm.config.base import Labels, Name, Settings, Text
from dnalm.config.models import Initialisation
from dnalm.config.recipes import Overlong, Recipe


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


class PredictSplitsSettings(Settings):
    """How a finished model is applied to a data set."""

    overlong: Overlong
    max_tokens: int | None = Field(description="Maximum tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the model's own code.")
    background: bool = Field(False, description="Score background.parquet too.")


class BaselineCnnSettings(Settings):
    """The convolutional baseline."""

    seed: int = Field(ge=0)
    most_settings: int | None = Field(None, ge=1, description="Settings tried at most; None for the whole grid.")
    background: bool = Field(False, description="Score background.parquet too.")

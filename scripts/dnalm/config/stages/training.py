"""What the stages from tokens to predictions are told. A tokenizer to train is told as the config has it."""

from typing import Any

from pydantic import Field

from dnalm.config.base import Labels, Name, Settings, Text
from dnalm.config.models import Initialisation
from dnalm.config.recipes import Overlong, Recipe


class FetchModelSettings(Settings):
    """A checkpoint to fetch from the Hugging Face hub."""

    checkpoint: Text = Field(description="Hub id.")
    revision: Name = Field(description="Commit, branch or tag.")
    trust_remote_code: bool = Field(False, description="Fetch the code that comes with it too; it is not run.")


class TokenizeSettings(Settings):
    """How records are tokenized."""

    reverse_complement: bool = Field(description="Tokenize the other strand.")
    trust_remote_code: bool = Field(False, description="Run the tokenizer's own code.")


class CertifySettings(Settings):
    """A checkpoint to certify."""

    checkpoint: Text = Field(description="What results call it; its directory is an option.")
    dataset: Name = Field(description="The data set whose validation split it is asked about.")
    max_tokens: int | None = Field(description="Most tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the checkpoint's own code.")


class FinetuneSettings(Settings):
    """A fine-tuning: what is learnt, and what of."""

    recipe: Recipe
    seed: int = Field(ge=0)
    architecture: dict[str, Any] | None = Field(description="A transformers config, if there is no checkpoint.")
    checkpoint: Text | None = Field(description="What results call the checkpoint; its directory is an option.")
    initialisation: Initialisation = Field(
        "pretrained", description="`random`: only the checkpoint's architecture is taken, none of its weights."
    )
    max_tokens: int | None = Field(description="Most tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the checkpoint's own code.")
    labels: Labels | None = Field(description="None for numbers alone.")


class PredictSplitsSettings(Settings):
    """How a finished model is applied to a data set."""

    overlong: Overlong
    max_tokens: int | None = Field(description="Most tokens of one input; None for the model's own limit.")
    trust_remote_code: bool = Field(False, description="Run the model's own code.")
    background: bool = Field(False, description="Score background.parquet too.")


class BaselineCnnSettings(Settings):
    """The convolutional baseline."""

    seed: int = Field(ge=0)
    background: bool = Field(False, description="Score background.parquet too.")

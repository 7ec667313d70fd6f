"""Models: a pre-trained checkpoint, an architecture with a tokenizer, or what a run of this config trained."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from dnalm.config.base import MOST, Name, Settings, Text, exactly_one
from dnalm.config.runs import SeededRun
from dnalm.names import NAME, is_hub_id

Initialisation = Literal["pretrained", "random"]

RUN = rf"^{NAME}/{NAME}/{NAME}/seed\d+$"
"""How a model names the run that it begins with."""


class Tokenizer(Settings):
    """A tokenizer trained on the training split, or one from a directory."""

    train: Literal["bpe", "kmer", "bases"] | None = Field(
        None,
        description="`bpe`: a byte-pair encoding trained on the training split. `kmer`: all k-mers. `bases`: single "
        "bases. The last two need no training.",
    )
    vocabulary: int = Field(
        609, ge=10, le=65536, description="Entries of a trained vocabulary (bpe), special tokens included."
    )
    k: int = Field(6, ge=1, le=8, description="Length of the k-mers (kmer).")
    overlapping: bool = Field(
        False,
        description="Whether k-mers start at every base, as in DNABERT, or each where the last one ended (kmer).",
    )
    path: Text | None = Field(None, description="A directory with a tokenizer.json (or what `AutoTokenizer` loads).")

    @model_validator(mode="after")
    def _one_source(self) -> "Tokenizer":
        exactly_one(self, "train", "path")
        for key, kind in (("vocabulary", "bpe"), ("k", "kmer"), ("overlapping", "kmer")):
            if getattr(self, key) != type(self).model_fields[key].default and self.train != kind:
                raise ValueError(f"{key}: goes with train: {kind}")
        return self


class Model(Settings):
    """A pre-trained checkpoint, an architecture with random weights, or the model of a run."""

    run: Annotated[str, StringConstraints(pattern=RUN)] | None = Field(
        None,
        description="A run of this config, `dataset/model/recipe/seed1`: begin with the model that it trained, with "
        "its tokenizer. So runs form a chain, e.g. pre-training, then fine-tuning.",
    )
    checkpoint: Text | None = Field(None, description="A Hugging Face hub id (with `revision`) or a local directory.")
    revision: Name | None = Field(
        None,
        description="Commit of the hub repository, so that a result can be repeated. A branch or tag works too; the "
        "commit it pointed to is recorded.",
    )
    architecture: dict[str, Any] | None = Field(
        None,
        description="A transformers config: `model_type` and its keys; the vocabulary size comes from the tokenizer.",
    )
    initialisation: Initialisation = Field(
        "pretrained",
        description="`random`: the architecture and tokenizer of the checkpoint or run with random weights, to measure "
        "what pre-training contributes.",
    )
    tokenizer: Tokenizer | None = Field(
        None, description="The tokenizer; needed with `architecture`. A checkpoint or run brings its own."
    )
    max_tokens: int | None = Field(
        None,
        ge=8,
        le=MOST,
        description="Maximum tokens of one input, special tokens included. Default: the model's own limit.",
    )

    trust_remote_code: bool = Field(
        False,
        description="Run the code (`*.py`) that comes with the checkpoint, as DNABERT-2, HyenaDNA and Caduceus need. "
        "It runs with your permissions, so read it first, and give a commit as `revision`.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Model":
        exactly_one(self, "checkpoint", "architecture", "run")
        if self.architecture is not None and not isinstance(self.architecture.get("model_type"), str):
            raise ValueError("architecture: give its model_type, e.g. bert")
        for key, value in _numbers(self.architecture or {}, "architecture"):
            if not abs(value) <= MOST:
                raise ValueError(f"{key}: give a number of at most {MOST:,} (found {value:g})")
        if (self.architecture is None) == (self.tokenizer is not None):
            raise ValueError("an `architecture` needs a `tokenizer`; a checkpoint or run brings its own")
        if self.initialisation == "random" and self.architecture is not None:
            raise ValueError("initialisation: goes with a checkpoint or run; an architecture always has random weights")
        if self.revision and not self.checkpoint:
            raise ValueError("revision: goes with a hub checkpoint")
        if self.revision and not is_hub_id(self.checkpoint or ""):
            raise ValueError(
                f"checkpoint: '{self.checkpoint}' is not a hub id (owner/name); a local directory has no `revision`"
            )
        if self.trust_remote_code and not self.checkpoint:
            raise ValueError("trust_remote_code: goes with a checkpoint; an `architecture` is part of transformers")
        return self

    @property
    def limit(self) -> int | None:
        """The longest input, in tokens, if the config states one."""
        positions = (self.architecture or {}).get("max_position_embeddings")
        stated = [self.max_tokens, positions if isinstance(positions, int) else None]
        return min((limit for limit in stated if limit is not None), default=None)

    @property
    def begins_with(self) -> SeededRun | None:
        """The run whose model this is, if it is one."""
        if self.run is None:
            return None
        dataset, model, recipe, seed = self.run.split("/")
        return SeededRun(dataset=dataset, model=model, recipe=recipe, seed=int(seed.removeprefix("seed")))

    @property
    def on_hub(self) -> bool:
        """Whether the checkpoint is fetched from the Hugging Face hub."""
        return self.revision is not None


def _numbers(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """The numbers in a section without a schema, each with its key."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _numbers(part, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{key}[{index}]")
    elif isinstance(value, int | float):
        yield key, value

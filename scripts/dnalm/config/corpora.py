"""Corpora: unlabelled sequence, which language models are trained on."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dnalm.config.base import Name, Seed, Settings, Text, exactly_one
from dnalm.config.datasets import Dataset, Fractions, Split, check_chromosomes
from dnalm.names import SEQUENCE


class CorpusSplitting(Settings):
    """How the windows of a corpus are divided into train, validation and test."""

    method: Literal["stretch", "chromosome", "random"] = Field(
        "stretch",
        description="`stretch`: the genome is cut into stretches, each of which is in one split, so that no test "
        "window has a neighbour in train. `chromosome`: by the lists below. `random`: by window; neighbours are then "
        "in different splits. Sequences of a table are one stretch each.",
    )
    stretch: int = Field(
        100_000,
        ge=100,
        le=1_000_000_000,
        description="Length of a stretch, in bases. Intervals are resampled by stretch, whatever the method.",
    )
    fractions: Fractions = Field(
        Fractions(train=0.9, validation=0.05, test=0.05), description="Share of each split (stretch, random)."
    )
    chromosomes: dict[Split, list[Text]] | None = Field(None, description="Chromosomes of each split (chromosome).")
    seed: Seed = Field(42, description="Seed of the split.")

    @model_validator(mode="after")
    def _lists(self) -> "CorpusSplitting":
        check_chromosomes(self.method, self.chromosomes)
        return self


class Corpus(Dataset):
    """Unlabelled windows of genomes, or the sequences of a table, to train a language model on."""

    kind: Literal["corpus"]
    genome: Name | Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="Genome that windows are cut from, or a list of genomes."
    )
    path: Text | None = Field(None, description="A table of sequences, instead of a genome: CSV, TSV or parquet.")
    sequence_column: Text = Field("sequence", description="Column of the table's sequences.")
    window: int = Field(200, ge=10, le=10_000_000, description="Length of a window, in bases.")
    stride: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Bases from one window to the next. Default: the window's length.",
    )
    max_unknown: float = Field(
        0.0, ge=0, lt=1, description="Largest fraction of letters other than A, C, G and T; other windows are dropped."
    )
    max_soft_masked: float = Field(
        1.0, ge=0, le=1, description="Largest fraction of soft-masked (lower-case) bases; other windows are dropped."
    )
    soft_masked_weight: float = Field(
        1.0, ge=0, le=1, description="Weight of a soft-masked base in the training loss; that of the others is 1."
    )
    both_strands: bool = Field(
        False, description="Train on the reverse complement of each training window too, as a record of its own."
    )
    split: CorpusSplitting = Field(CorpusSplitting(), description="How windows are divided.")

    @model_validator(mode="after")
    def _one_source(self) -> "Corpus":
        exactly_one(self, "genome", "path")
        if len(set(self.genomes)) < len(self.genomes):
            raise ValueError("genome: one is listed twice")
        if self.path and self.stride:
            raise ValueError("stride: goes with `genome`; the sequences of a table are used whole")
        if self.path and self.split.method == "chromosome":
            raise ValueError("split: a table of sequences has no chromosomes; use stretch or random")
        if self.split.method == "stretch" and self.window > self.split.stretch:
            raise ValueError("split.stretch: shorter than a window, so none would be left")
        return self

    @property
    def truth(self) -> str:
        """The column that is learnt: the sequence."""
        return SEQUENCE

    @property
    def genomes(self) -> list[str]:
        """The genomes that windows are cut from; empty for a table."""
        return [self.genome] if isinstance(self.genome, str) else (self.genome or [])

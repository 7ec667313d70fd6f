"""Settings of the stages from genomes and catalogues to sequence tables."""

from typing import Literal

from pydantic import Field

from dnalm.config.base import Labels, Md5, Name, Settings, Sha256, Text
from dnalm.config.catalogues import ArraySimulation
from dnalm.config.corpora import CorpusSplitting
from dnalm.config.datasets import Balance, Kind, Related, Source, Splitting

Pieces = Literal["unique", "interspersed", "context"]
"""Which part of a genome is left when the rest is masked."""


class DownloadSettings(Settings):
    """A file to fetch, and its checksums."""

    url: Text
    sha256: Sha256 | None
    md5: Md5 | None


class ImportGenomeSettings(Settings):
    """The parts of a genome, in the order of its files, and the chromosomes to keep."""

    parts: list[Text]
    chromosomes: list[Text] | None = Field(description="In this order; None for all.")


class FindRepeatsSettings(Settings):
    """How Tandem Repeats Finder is run."""

    parameters: list[int] = Field(description="As on its command line.")


class ImportCatalogueSettings(Settings):
    """How a catalogue is read."""

    catalogue: Name
    format: Text
    filters: list[Text] | None = Field(description="VCF FILTER values to keep; None for all.")


class PlaceCatalogueSettings(Settings):
    """A catalogue that is placed on a genome by its sequences."""

    catalogue: Name = Field(description="Its name, for the ledger.")


class SimulateArraysSettings(ArraySimulation):
    """Simulated arrays, and the name of their catalogue."""

    catalogue: Name


class MaskSettings(Settings):
    """What is masked as well as the catalogues."""

    soft: bool = Field(description="Soft-masked bases too.")
    source: Pieces


class SplitSettings(Settings):
    """Which pieces of a masked genome are kept."""

    min_length: int = Field(ge=1, description="In bases.")
    source: Pieces


class ExtractSettings(Settings):
    """Which arrays of a catalogue become positives."""

    format: Text
    located: bool = Field(description="Whether the catalogue lies on a genome.")
    min_length: int = Field(ge=1, description="In bases.")
    flank: int = Field(ge=0, description="Bases of context on both sides.")
    deduplicate: bool


class BalanceSettings(Balance):
    """How negatives are drawn."""

    negatives: dict[Source, float] = Field(description="Weights, all above 0.")
    flank: int = Field(ge=0, description="Bases of context on both sides.")
    zones: dict[Text, list[Text]] | None = Field(description="Chromosomes of each split, with split.method chromosome.")


class ImportTableSettings(Settings):
    """How a labelled table is read."""

    parts: list[Text] = Field(description="What its files hold: `all`, or splits in this order.")
    file_labels: list[Text | None] = Field(description="The label of all rows of each file; None if rows have theirs.")
    sequence_column: Text
    label_column: Text
    target_column: Text | None = Field(description="Column of numbers to predict, instead of labels.")
    labels: Labels | None
    extra: dict[str, Text] = Field({}, description="Columns of groups, chromosomes and batches, by name in the result.")
    zones: dict[Text, list[Text]] | None = Field(
        None, description="Chromosomes of each split, with split.method chromosome."
    )


class RelateSettings(Related):
    """When two sequences are relatives."""


class SplitLabelsSettings(Splitting):
    """How a data set is divided."""

    kind: Kind
    related: Related
    given: bool = Field(description="Whether it was published with its splits.")
    labels: Labels | None
    caps: dict[str, int | None] = Field(description="Maximum number of records of each split; None for no limit.")


class DrawBackgroundSettings(Settings):
    """Windows of the genome that are scored as well as a data set's splits."""

    number: int = Field(ge=1)
    seed: int = Field(ge=0)
    flank: int = Field(ge=0, description="Bases of context on both sides of the data set's arrays.")
    related: Related


class CompareSplitsSettings(Settings):
    """The kind of the data set, and when two sequences are relatives."""

    kind: Kind
    related: Related


class WindowCorpusSettings(Settings):
    """How a corpus is cut from genomes, or read from a table, and divided."""

    genomes: list[Name] = Field(description="In this order; none for a table.")
    sequence_column: Text = Field(description="Column of a table's sequences.")
    window: int = Field(ge=1, description="In bases.")
    stride: int = Field(ge=1, description="In bases.")
    max_unknown: float
    max_soft_masked: float
    both_strands: bool
    split: CorpusSplitting
    caps: dict[str, int | None] = Field(description="Maximum number of records of each split; None for no limit.")


class ComparePretrainingSettings(Settings):
    """A corpus that a data set's records are looked for in."""

    corpus: Name
    genome: Name | None = Field(description="Genome of the records' positions; None if their `source` says it.")

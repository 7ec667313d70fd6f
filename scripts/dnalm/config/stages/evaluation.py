"""Settings of the stages that audit, evaluate, compare and report."""

from typing import Any

from pydantic import Field

from dnalm.config.audits import Audit
from dnalm.config.base import Labels, Name, Settings, Text
from dnalm.config.corpora import CorpusSplitting
from dnalm.config.datasets import Baseline, Kind, MaxRecords, Splitting
from dnalm.config.evaluation import Published, Resampling, Scoring
from dnalm.config.models import Model
from dnalm.config.recipes import Recipe
from dnalm.config.runs import SeededRun
from dnalm.config.variants import Variant


class AuditSettings(Settings):
    """A data set and the limits of its audit."""

    dataset: Name
    kind: Kind
    audit: Audit
    labels: Labels | None
    models: dict[Name, int | None] = Field(description="Maximum tokens of one input; None if the config has no limit.")
    pretraining: dict[Name, list[Name]] = Field(
        {}, description="Corpora that models were pre-trained on, and which models these are."
    )


class BaselineSettings(Settings):
    """A baseline to fit."""

    name: Baseline
    seed: int = Field(ge=0, description="Only recorded: no baseline is random.")
    most_settings: int | None = Field(None, ge=1, description="Settings tried at most; None for the whole grid.")
    background: bool = Field(False, description="Score background.parquet too.")


class GroupLimits(Settings):
    """What intervals ask of the groups of records."""

    effective_groups: int = Field(description="Fewest effective groups of records for which there are intervals.")
    largest_group: float = Field(description="Largest share of the records that one group may hold without a caution.")


class IntervalSettings(Resampling, GroupLimits):
    """How confidence intervals are made."""


class EvaluateSettings(IntervalSettings, Scoring):
    """How a run is scored."""


class PlanSettings(Settings):
    """What is decided before the test split is scored."""

    metric: Text = Field(description="Metric by which runs are chosen and compared.")
    runs: list[SeededRun]
    models: dict[Name, Model] = Field(description="The models of the runs, with names in place of local paths.")
    recipes: dict[Name, Recipe] = Field(description="The recipes of the runs.")
    baseline_settings: int | None = Field(description="Settings that a baseline tries at most; None for all.")
    split: Splitting | CorpusSplitting | None = Field(
        description="How records are divided; None if they were published divided."
    )
    max_records: MaxRecords
    intervals: IntervalSettings


class PairLimits(GroupLimits):
    """How two runs are compared."""

    confidence: float = Field(description="Level of the intervals.")


class CompareSettings(PairLimits):
    """The runs that are compared on a data set."""

    dataset: Name
    kind: Kind
    runs: list[SeededRun]
    twins: dict[Name, Name] = Field(
        description="Pre-trained models, and for each the model of the same checkpoint with random weights."
    )


class ModelCardSettings(Settings):
    """A run, and what its card says besides the results."""

    run: SeededRun
    dataset: dict[str, Any] = Field(description="The data set's config.")
    checkpoint: Text | None = Field(description="Hub id of the model's checkpoint; None if it is not on the hub.")
    confidence: float = Field(description="Level of the intervals.")


class SummarizeSettings(Settings):
    """The runs of a workflow."""

    runs: list[SeededRun]


class ReportSettings(Settings):
    """The runs of a workflow, and the config to print."""

    runs: list[SeededRun] = Field(description="Their order is that of the report's data sets.")
    datasets: dict[Name, dict[str, Any]] = Field(description="Config of each data set.")
    variants: dict[Name, Variant] = Field({}, description="Data sets that are variants of another one.")
    confidence: float = Field(description="Level of the intervals.")
    ladder: list[Name] = Field([], description="Data sets that are rungs, from the top down.")
    embeddings: dict[Name, Name] = Field({}, description="Embeddings whose maps are drawn, and the data set of each.")
    leaderboard: list[tuple[Text, list[Name]]] = Field(
        [], description="Titles of groups of data sets and their names: a list, as the keys of settings are sorted."
    )
    replicates: int = Field(2000, description="Resamples for the intervals of mean ranks.")
    seed: int = Field(1, description="Seed of these resamples.")
    published: list[Published] = Field([], description="Figures that others reported.")
    config: dict[str, Any] = Field(description="The whole config, to print.")

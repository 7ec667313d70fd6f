"""How results are measured."""

from typing import Annotated

from pydantic import Field

from dnalm.config.base import Name, Seed, Settings, Text


class Resampling(Settings):
    """Confidence intervals and permutation tests."""

    confidence: float = Field(0.95, gt=0.5, lt=1, description="Level of confidence intervals.")
    replicates: int = Field(2000, ge=200, le=100_000, description="Bootstrap replicates.")
    seed: Seed = Field(1, description="Seed of the bootstrap and of permutations.")


class Scoring(Resampling):
    """How a run is scored."""

    calibration_bins: int = Field(
        15, ge=2, le=100, description="Bins of the calibration error, of equal numbers of records."
    )
    temperature: bool = Field(
        False, description="Fit a temperature on validation, and report the calibration with and without it."
    )
    prevalences: list[Annotated[float, Field(ge=1e-9, lt=1)]] = Field(
        [0.5, 0.01, 0.001],
        min_length=1,
        description="Prevalences of label 1 at which precision is given (two classes).",
    )


class Published(Settings):
    """A figure that others reported, shown beside ours."""

    dataset: Name = Field(description="The data set in this config that it is about.")
    metric: Text = Field(description="`mcc`, accuracy, macro_f1, macro_precision, macro_recall, spearman ...")
    value: float = Field(ge=-1e30, le=1e30, description="As our metrics are given: fractions, not per cents.")
    model: Text = Field(description="What it was measured with, in the source's words.")
    source: Text = Field(description="Where it stands, e.g. a DOI, with the table.")
    comparable: bool = Field(
        description="Whether it was measured on the same records with the same metric. Only then does the report say "
        "whether it lies in our interval."
    )
    why: Text = Field(description="Why it can be compared with ours, or why not.")


class Evaluation(Scoring):
    """How results are measured."""

    ladder: list[Name] = Field(
        [],
        description="Data sets that remove one shortcut after another, the first rung first: the report shows how much "
        "of a score is left on each. Empty: it lists the data sets as unrelated.",
    )
    leaderboard: dict[Text, Annotated[list[Name], Field(min_length=1)]] = Field(
        {},
        description="Groups of data sets, by title, over which run groups are compared: mean of the primary metric in "
        "each group and overall, wins and mean ranks. A table with `each` stands for its data sets, and "
        "`<name>.<group>` for those of a group.",
    )
    published: list[Published] = Field([], description="Figures that others reported, shown beside ours.")

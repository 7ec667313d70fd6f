"""The limits of the audit of a data set."""

from typing import Literal

from pydantic import Field

from dnalm.config.base import MOST, Settings

Check = Literal[
    "classes",
    "sizes",
    "target_distributions",
    "duplicates",
    "shared_sequences",
    "near_duplicates",
    "given_groups",
    "conflicting_labels",
    "conflicting_targets",
    "locus_overlap",
    "motif_families",
    "negatives_in_catalogue",
    "negatives_called_by_trf",
    "shortcuts",
    "markers",
    "origin",
    "split_balance",
    "overlong",
    "unknown_tokens",
    "effective_groups",
    "overlapping_windows",
    "shared_kmers",
    "pretraining",
]


class Audit(Settings):
    """Limits of the audit, and which of its checks stop the workflow before anything is trained."""

    fail_on: list[Literal["all", Check]] = Field(
        ["classes", "sizes"],
        description="Checks whose failure stops the workflow before any training; `all` for every check. The others "
        "are only reported.",
    )
    shortcut_auroc: float = Field(
        0.60,
        ge=0.5,
        le=1,
        description="A shortcut (length, GC ...) fails if the lower confidence bound of its AUROC is above this.",
    )
    shortcut_spearman: float = Field(
        0.3,
        ge=0,
        le=1,
        description="The same for targets: a shortcut fails if the lower confidence bound of its Spearman correlation "
        "with them is above this.",
    )
    duplicates: float = Field(
        0.01, ge=0, le=1, description="Largest fraction of a split's records that may repeat others within it."
    )
    leaked: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Largest fraction of the test or validation records with a relative in another split.",
    )
    negatives_called: float = Field(
        0.01, ge=0, le=1, description="Largest fraction of the negatives that a catalogue or TRF calls a repeat."
    )
    overlong: float = Field(
        0.01, ge=0, le=1, description="Largest fraction of records longer than a model's limit of tokens."
    )
    unknown: float = Field(0.01, ge=0, le=1, description="Largest fraction of unknown tokens of a model's tokenizer.")
    effective_groups: int = Field(
        30,
        ge=2,
        le=MOST,
        description="Fewest effective groups of the test split for which confidence intervals are given.",
    )
    largest_group: float = Field(
        0.05, gt=0, le=1, description="Largest share of the test records that one group may hold without a caution."
    )

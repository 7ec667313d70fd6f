"""Names and constants that more than one stage must agree on."""

import re
from collections.abc import Mapping

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""What a genome, catalogue, dataset, model or recipe may be called: safe in paths, shells and HTML."""

LONGEST_NAME = 100
"""Characters of such a name, at most: file systems allow 255 bytes for a file's name, and names are joined in some."""

HUB_ID = r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?"
"""What a repository of the Hugging Face hub may be called; neither `--` nor `..` may be in it."""

RESERVED_DATASETS = frozenset(
    {"summary", "report", "benchmark", "genomes", "catalogues", "models", "pretrainings", "embeddings", "index"}
)
"""Folders of results, and the report's first page."""
RESERVED_MODELS = frozenset({"baseline"})

SPLITS = ("train", "validation", "test")
SCORED_SPLITS = ("validation", "test")

BACKGROUND = "background"
"""A third set of scored records, where there is one, and their source: unmatched windows of the genome, label 0."""


def scored_splits(background: bool) -> tuple[str, ...]:
    """The splits that are scored, in the order in which predictions are written."""
    return (*SCORED_SPLITS, BACKGROUND) if background else SCORED_SPLITS


SHARDS = 8
"""Number of jobs that a genome is divided among. No result depends on it."""

BASELINE_SEED = 1

LABEL, TARGET, SEQUENCE = "label", "target", "sequence"
"""Columns of a sequence table that hold what is learnt: a class (int), a number (float), or the sequence itself."""

METRICS = {
    "classification": ("mcc", "accuracy", "macro_f1", "macro_precision", "macro_recall"),
    "regression": ("spearman", "pearson", "r2", "rmse"),
    "causal": ("bits_per_base",),
    "masked": ("masked_bits_per_base",),
}
"""Validation metrics of each objective; by default the first one picks the epoch to keep."""

TRUTH = {"classification": LABEL, "regression": TARGET, "causal": SEQUENCE, "masked": SEQUENCE}
"""The column that an objective learns from."""

BASELINES = {
    LABEL: ("majority", "length_gc", "kmer", "boosting", "periodicity"),
    TARGET: ("mean", "length_gc", "kmer", "boosting", "periodicity"),
    SEQUENCE: ("uniform", "markov", "mixture"),
}
"""Baselines that are run by default, by the column that is learnt."""

OTHER_BASELINES = {LABEL: ("cnn", "trf"), TARGET: (), SEQUENCE: ()}
"""Baselines that are run only if the config lists them."""

BITS_PER_BASE = tuple(
    f"{METRICS[objective][0]}{part}" for objective in ("causal", "masked") for part in ("", "_soft_masked", "_unmasked")
)
"""Metrics of language models: of all scored bases, of soft-masked ones and of the others."""

SMALLER_IS_BETTER = frozenset({"loss", "rmse", "log_loss", "brier", "ece", *BITS_PER_BASE})
"""Metrics that measure errors."""

TRF_PARAMETERS = (2, 5, 7, 80, 10, 50, 2000)
"""Match, mismatch, delta, PM, PI, minimum score, longest period: as VNTRseek runs Tandem Repeats Finder."""

DECIMALS = 6
"""Decimals that probabilities are written with."""

SEQUENCE_COLUMNS = (
    "id", "sequence", "label", "group", "source", "chrom", "start", "end", "strand",
    "motif", "motif_length", "copies", "divergence",
)  # fmt: skip
"""Columns of a sequence table of labels, in this order; coordinates are 0-based, half-open, and nullable."""


def sequence_columns(truth: str = LABEL) -> tuple[str, ...]:
    """Columns of a sequence table whose records have a `label` or a `target` in its place."""
    return tuple(truth if name == LABEL else name for name in SEQUENCE_COLUMNS)


def is_name(text: str) -> bool:
    """Whether `text` can name an entry of the config."""
    return re.fullmatch(NAME, text) is not None and len(text) <= LONGEST_NAME


def is_hub_id(text: str) -> bool:
    """Whether `text` can name a repository of the Hugging Face hub."""
    parts_fit = all(len(part) <= LONGEST_NAME for part in text.split("/"))
    return re.fullmatch(HUB_ID, text) is not None and parts_fit and "--" not in text and ".." not in text


def shard_chromosomes(lengths: Mapping[str, int], shard: int, shards: int = SHARDS) -> list[str]:
    """The chromosomes of one shard, in the genome's order.

    Longest first, each to the shard with the fewest bases so far (ties: the lower number), so that shards take
    about the same time. `lengths` maps a chromosome to its length in bases, in the genome's order.
    """
    loads = [0] * shards
    home: dict[str, int] = {}
    for name in sorted(lengths, key=lambda name: (-lengths[name], name)):
        home[name] = loads.index(min(loads))
        loads[home[name]] += lengths[name]
    return [name for name in lengths if home[name] == shard]


def spread(number: int, most: int | None) -> list[int]:
    """At most `most` of the indices 0 .. number - 1, evenly spaced; all of them without a limit."""
    kept = number if most is None else min(most, number)
    return [(2 * i + 1) * number // (2 * kept) for i in range(kept)]

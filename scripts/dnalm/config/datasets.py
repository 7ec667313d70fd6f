"""The config's data sets: every key, its default, unit and meaning."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dnalm.config.base import Labels, Name, Settings, Text
from dnalm.config.catalogues import Catalogue
from dnalm.names import BASELINES, LABEL, OTHER_BASELINES, SPLITS, TARGET

Kind = Literal["repeats", "table"]
Split = Literal["train", "validation", "test"]
Source = Literal["unique", "interspersed", "shuffled"]
Check = Literal[
    "classes",
    "sizes",
    "target_distributions",
    "duplicates",
    "shared_sequences",
    "near_duplicates",
    "conflicting_labels",
    "conflicting_targets",
    "locus_overlap",
    "motif_families",
    "array_identity",
    "negatives_in_catalogue",
    "negatives_called_by_trf",
    "shortcuts",
    "markers",
    "origin",
    "split_balance",
    "overlong",
    "unknown_tokens",
    "effective_groups",
]
Baseline = Literal["majority", "mean", "length_gc", "kmer", "boosting", "periodicity", "cnn", "trf"]


class Mask(Settings):
    """What of a genome is masked before negatives are drawn from it."""

    soft: bool = Field(True, description="Mask soft-masked (lower-case) bases too.")
    catalogues: list[Name] = Field(
        [], description="Catalogues whose intervals are masked. Soft-masking misses most VNTRs, so give at least one."
    )


class Balance(Settings):
    """How negatives are matched to positives."""

    match: list[Literal["length", "gc"]] = Field(
        ["length", "gc"],
        description="What a negative shares with its positive. With an empty list, negatives are random whole pieces "
        "of the genome.",
    )
    gc_tolerance: float = Field(
        0.02, ge=0, le=1, description="Largest difference of GC fraction between a positive and its negative."
    )
    ratio: int = Field(1, ge=1, le=1000, description="Negatives for each positive.")
    exclude_trf: bool = Field(
        False,
        description="Leave out negatives in which Tandem Repeats Finder calls a repeat, with the positive each was "
        "drawn for; counted as dropped.",
    )
    seed: int = Field(42, ge=0, description="Seed of negative sampling.")

    @model_validator(mode="after")
    def _needs_length(self) -> "Balance":
        if self.match == ["gc"]:
            raise ValueError("match: gc is matched together with length; use [length, gc], [length] or []")
        return self


class Fractions(Settings):
    """Fractions of the records; they sum to 1."""

    train: float = Field(0.6, gt=0, lt=1)
    validation: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _sum(self) -> "Fractions":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"fractions sum to {total:g}, not 1")
        return self


class Splitting(Settings):
    """How records are divided into train, validation and test."""

    method: Literal["grouped", "random", "chromosome"] = Field(
        "grouped",
        description="`grouped`: a motif family, a locus or near-identical sequences are never in two splits. "
        "`random`: by record. `chromosome`: by the lists below.",
    )
    fractions: Fractions = Field(Fractions(), description="Share of each split (grouped, random).")
    chromosomes: dict[Split, list[Text]] | None = Field(None, description="Chromosomes of each split (chromosome).")
    seed: int = Field(42, ge=0, description="Seed of the split.")

    @model_validator(mode="after")
    def _lists(self) -> "Splitting":
        if (self.method == "chromosome") != (self.chromosomes is not None):
            raise ValueError("`chromosomes` goes with method: chromosome, and the method needs it")
        if self.chromosomes is not None:
            listed = [name for names in self.chromosomes.values() for name in names]
            twice = sorted({name for name in listed if listed.count(name) > 1})
            missing = [split for split in SPLITS if split not in self.chromosomes or not self.chromosomes[split]]
            if twice or missing:
                raise ValueError(
                    f"chromosomes: {', '.join(twice)} listed twice"
                    if twice
                    else f"chromosomes: none for {', '.join(missing)}"
                )
        return self


class MaxRecords(Settings):
    """Maximum number of records of each split."""

    train: int | None = Field(None, ge=1)
    validation: int | None = Field(None, ge=1)
    test: int | None = Field(None, ge=1)


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
        30, ge=2, description="Fewest effective groups of the test split for which confidence intervals are given."
    )
    largest_group: float = Field(
        0.05, gt=0, le=1, description="Largest share of the test records that one group may hold without a caution."
    )


class Dataset(Settings):
    """What every kind of data set has."""

    split: Splitting = Field(Splitting(), description="How records are divided.")
    baselines: list[Baseline] | None = Field(
        None,
        description="Simple models to compare with: `majority` (the most frequent class; with `target_column` it is "
        "`mean`, the mean target), `length_gc` (length and GC), `kmer` (logistic or ridge regression on k-mers), "
        "`boosting` (gradient boosting on k-mers) and `periodicity` (best self-match at any period). These five are "
        "the default. For labels also `cnn` (a small 1-D convolutional network) and `trf` (Tandem Repeats Finder, "
        "which has to be installed: the reference that made the labels, not a competitor).",
    )
    baseline_settings: int | None = Field(
        None,
        ge=1,
        description="Maximum number of settings that a baseline tries, spread evenly over its grid in the grid's order "
        "(k-mer length first, then penalty or leaves); None for all of them. A model tries as many settings as it has "
        "recipes: 1 gives both sides the same budget of search.",
    )
    audit: Audit = Field(Audit(), description="Limits of the audit, and what stops the workflow.")
    max_records: int | MaxRecords | None = Field(
        None,
        description="Maximum number of records, for all splits or for each by name. A random sample is kept; the "
        "others are counted as dropped.",
    )

    @model_validator(mode="after")
    def _baselines_of_what_is_learnt(self) -> "Dataset":
        known = (*BASELINES[self.truth], *OTHER_BASELINES[self.truth])
        for name in self.baselines or ():
            if name not in known:
                raise ValueError(f"baselines: '{name}' predicts no {self.truth}; use any of {', '.join(known)}")
        return self

    @property
    def truth(self) -> str:
        """The column that holds what is learnt: `label` (a class) or `target` (a number)."""
        return LABEL

    @property
    def simple_models(self) -> list[str]:
        """The baselines that are run, sorted: those of the config, or the default for labels or targets."""
        return sorted(set(BASELINES[self.truth] if self.baselines is None else self.baselines))

    @property
    def has_background(self) -> bool:
        """Whether windows of the genome are scored beside the splits."""
        return False

    def caps(self) -> dict[str, int | None]:
        """Maximum number of records of each split, None for no limit."""
        if isinstance(self.max_records, MaxRecords):
            return self.max_records.model_dump()
        return dict.fromkeys(SPLITS, self.max_records)


class Repeats(Dataset):
    """Tandem repeats of a catalogue against non-repetitive sequence."""

    kind: Literal["repeats"]
    genome: Name = Field(description="Genome that negatives are drawn from.")
    catalogue: Name = Field(description="Catalogue whose arrays are the positives.")
    mask: Mask = Field(
        Mask(),
        description="What is masked before negatives are drawn; the positives' own catalogue always is, if it lies on "
        "this genome.",
    )
    min_length: int = Field(26, ge=1, description="Shortest array and shortest unmasked piece, in bases.")
    flank: int = Field(0, ge=0, description="Bases of genomic context on both sides of arrays and negatives alike.")
    deduplicate: bool = Field(True, description="Keep one of several arrays of the same sequence.")
    negatives: dict[Source, Annotated[float, Field(ge=0)]] = Field(
        {"unique": 1.0},
        description="Weights of `unique` (unmasked pieces), `interspersed` (soft-masked, not tandem) and `shuffled` "
        "(dinucleotide-preserving shuffles of the positives).",
    )
    balance: Balance = Field(Balance(), description="How each negative is matched to its positive.")
    background: int = Field(
        10_000,
        ge=0,
        description="Number of windows at random places outside the masked catalogues, with the positives' lengths "
        "and otherwise unmatched. They are scored as well as the test split, to estimate precision where repeats are "
        "rare; 0 for none.",
    )

    @model_validator(mode="after")
    def _weights(self) -> "Repeats":
        if not any(self.negatives.values()):
            raise ValueError("negatives: give at least one source a weight above 0")
        if self.negatives.get("shuffled") and not self.balance.match:
            raise ValueError(
                "negatives: shuffled ones are always matched; `balance.match: []` takes unique and interspersed only"
            )
        return self

    def masked_catalogues(self, catalogues: Mapping[str, Catalogue]) -> list[str]:
        """Catalogues masked before negatives are drawn: those asked for, and the positives' own if it lies here."""
        own = [self.catalogue] if catalogues[self.catalogue].home == self.genome else []
        return sorted({*self.mask.catalogues, *own})

    @property
    def has_background(self) -> bool:
        """Whether windows of the genome are scored beside the splits."""
        return self.background > 0

    def piece_sources(self) -> list[str]:
        """The sources of negatives that are cut from the genome."""
        return sorted(source for source, weight in self.negatives.items() if weight and source != "shuffled")


class Table(Dataset):
    """A table with labels or numbers to predict: CSV, TSV or parquet."""

    kind: Literal["table"]
    train: Text | None = Field(None, description="Table of the training split, as published.")
    validation: Text | None = Field(None, description="Table of the validation split.")
    test: Text | None = Field(None, description="Table of the test split.")
    path: Text | None = Field(None, description="One table, divided by `split`.")
    sequence_column: Text = Field("sequence", description="Column of the sequences.")
    label_column: Text = Field("label", description="Column of the labels: 0, 1, 2 ... or, with `labels`, their names.")
    target_column: Text | None = Field(
        None, description="Column of numbers to predict (objective `regression`), instead of labels."
    )
    labels: Labels | None = Field(None, description="Name of each label, e.g. {0: background, 1: promoter}.")

    @model_validator(mode="after")
    def _one_source(self) -> "Table":
        given = [split for split in SPLITS if getattr(self, split)]
        if bool(self.path) == bool(given) or (given and len(given) != len(SPLITS)):
            raise ValueError("give either `path`, or all of `train`, `validation` and `test`")
        if given and "split" in self.model_fields_set:
            raise ValueError("`split` goes with `path`; train, validation and test are already divided")
        if self.target_column and (self.labels or "label_column" in self.model_fields_set):
            raise ValueError("target_column: a table of numbers has no labels; leave `labels` and `label_column` out")
        if self.split.method == "chromosome":
            raise ValueError("split: a table has no chromosomes; use method grouped or random")
        names = list((self.labels or {}).values())
        if len(set(names)) < len(names) or any(
            self.labels.get(int(n)) != n for n in names if n.isdigit() and self.labels
        ):
            raise ValueError("labels: the names must differ, and a number can only name itself")
        if self.labels is not None and sorted(self.labels) != list(range(len(self.labels))):
            raise ValueError("labels: number them 0, 1, 2 ... without gaps")
        return self

    @property
    def truth(self) -> str:
        """The column that holds what is learnt."""
        return TARGET if self.target_column else LABEL

    def parts(self) -> dict[str, str]:
        """The files to read, by split, or as `all`."""
        return {"all": self.path} if self.path else {split: getattr(self, split) for split in SPLITS}

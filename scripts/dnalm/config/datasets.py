"""The config's data sets: every key, its default, unit and meaning."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from dnalm.config.audits import Audit
from dnalm.config.base import Count, Label, Labels, Name, Seed, Settings, Text
from dnalm.config.catalogues import Catalogue
from dnalm.names import BASELINES, LABEL, OTHER_BASELINES, SPLITS, TARGET

Kind = Literal["repeats", "table", "corpus"]
Split = Literal["train", "validation", "test"]
Source = Literal["unique", "interspersed", "shuffled"]
Baseline = Literal[
    "majority", "mean", "length_gc", "kmer", "boosting", "periodicity", "cnn", "trf", "uniform", "markov", "mixture"
]


class Mask(Settings):
    """What of a genome is masked before negatives are drawn from it."""

    soft: bool = Field(True, description="Mask soft-masked (lower-case) bases too.")
    catalogues: list[Name] = Field(
        [],
        description="Catalogues whose intervals are masked; one without `genome` is placed by its sequences. "
        "Soft-masking misses most VNTRs, so give at least one.",
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
    seed: Seed = Field(42, description="Seed of negative sampling.")

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


def check_chromosomes(method: str, chromosomes: Mapping[Split, list[str]] | None) -> None:
    """Raise `ValueError` unless chromosomes are listed with method `chromosome`, once each and some for each split."""
    if (method == "chromosome") != (chromosomes is not None):
        raise ValueError("`chromosomes` goes with method: chromosome, and the method needs it")
    if chromosomes is None:
        return
    listed = [name for names in chromosomes.values() for name in names]
    if twice := sorted({name for name in listed if listed.count(name) > 1}):
        raise ValueError(f"chromosomes: {', '.join(twice)} listed twice")
    given = {split for split, names in chromosomes.items() if names}
    if missing := [split for split in SPLITS if split not in given]:
        raise ValueError(f"chromosomes: none for {', '.join(missing)}")


class Splitting(Settings):
    """How records are divided into train, validation and test."""

    method: Literal["grouped", "random", "chromosome"] = Field(
        "grouped",
        description="`grouped`: similar sequences, a motif family or a locus are kept in one split. "
        "`random`: by record. `chromosome`: by the lists below.",
    )
    fractions: Fractions = Field(Fractions(), description="Share of each split (grouped, random).")
    chromosomes: dict[Split, list[Text]] | None = Field(None, description="Chromosomes of each split (chromosome).")
    largest_group: float = Field(
        0.4,
        gt=0,
        le=1,
        description="Largest share of the records that links of similar sequences and motifs may join into one group "
        "(grouped). Links are made in order of identity; one that would make a larger group is refused and counted, "
        "and the audit reports the relatives that are then in different splits. Lower shares give more independent "
        "groups and more such relatives.",
    )
    seed: Seed = Field(42, description="Seed of the split.")

    @model_validator(mode="after")
    def _lists(self) -> "Splitting":
        check_chromosomes(self.method, self.chromosomes)
        return self


class RepeatedSplitting(Splitting):
    """How records are divided, and how often."""

    repeats: int = Field(
        1,
        ge=1,
        le=100,
        description="Number of splits, with the seeds `seed`, `seed` + 1 ..., so that a result is a mean over splits "
        "and not that of one draw. Each further split is a data set of its own, `<name>.split2` ..., with the same "
        "runs. Goes with methods grouped and random.",
    )

    @model_validator(mode="after")
    def _different(self) -> "RepeatedSplitting":
        if self.repeats > 1 and self.method == "chromosome":
            raise ValueError("repeats: the chromosomes are one split only; use method grouped or random")
        if self.seed + self.repeats > 2**32:
            raise ValueError(f"seed: with {self.repeats} repeats at most {2**32 - self.repeats} (found {self.seed})")
        return self


class MaxRecords(Settings):
    """Maximum number of records of each split."""

    train: Count | None = None
    validation: Count | None = None
    test: Count | None = None


class Related(Settings):
    """When two sequences are relatives: for the groups that a split keeps together, and for the audit."""

    identity: float = Field(
        0.8, ge=0.7, le=1, description="Least identity of a local alignment, on either strand; gaps are differences."
    )
    coverage: float = Field(
        0.5, gt=0, le=1, description="Least length of that alignment, as a fraction of the shorter sequence."
    )
    exact: int = Field(
        30, ge=20, le=64, description="Or so many exact bases in common, whatever the rest of the sequences."
    )


class Dataset(Settings):
    """What every kind of data set has."""

    baselines: list[Baseline] | None = Field(
        None,
        description="Simple models to compare with: `majority` (the most frequent class; with `target_column` it is "
        "`mean`, the mean target), `length_gc` (length and GC), `kmer` (logistic or ridge regression on k-mers), "
        "`boosting` (gradient boosting on k-mers) and `periodicity` (best self-match at any period). These five are "
        "the default. For labels also `cnn` (a small 1-D convolutional network) and `trf` (Tandem Repeats Finder, "
        "which has to be installed: the reference that made the labels, not a competitor). For a corpus: `uniform` "
        "(2 bits a base), `markov` (an order-k Markov chain) and `mixture` (finite-context models, as DNA compressors "
        "use); all three are the default.",
    )
    baseline_settings: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Maximum number of settings that a baseline tries, spread evenly over its grid in the grid's order "
        "(k-mer length first, then penalty or leaves); None for all of them. A model tries as many settings as it has "
        "recipes: 1 gives both sides the same budget of search.",
    )
    audit: Audit = Field(Audit(), description="Limits of the audit, and what stops the workflow.")
    max_records: Count | MaxRecords | None = Field(
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


class Labelled(Dataset):
    """What data sets of labels or numbers have."""

    related: Related = Field(Related(), description="When two sequences are relatives.")
    split: RepeatedSplitting = Field(RepeatedSplitting(), description="How records are divided.")
    max_train_records: list[Count] = Field(
        [],
        max_length=20,
        description="Numbers of training records for a learning curve, e.g. [100, 1000]. Each is a data set of its "
        "own, `<name>.train100` ..., with the same runs, validation and test; a smaller training split is part of a "
        "larger one.",
    )

    @model_validator(mode="after")
    def _points_of_a_curve(self) -> "Labelled":
        if len(set(self.max_train_records)) < len(self.max_train_records):
            raise ValueError("max_train_records: a number is listed twice")
        return self


class Repeats(Labelled):
    """Tandem repeats of a catalogue against non-repetitive sequence."""

    kind: Literal["repeats"]
    genome: Name = Field(description="Genome that negatives are drawn from.")
    catalogue: Name = Field(description="Catalogue whose arrays are the positives.")
    mask: Mask = Field(
        Mask(),
        description="What is masked before negatives are drawn; the positives' own catalogue always is: at its "
        "positions or, without `genome`, wherever this genome holds half of an array or more at 90 % identity.",
    )
    min_length: int = Field(26, ge=1, le=1_000_000, description="Shortest array and shortest unmasked piece, in bases.")
    flank: int = Field(
        0, ge=0, le=1_000_000, description="Bases of genomic context on both sides of arrays and negatives alike."
    )
    deduplicate: bool = Field(True, description="Keep one of several arrays of the same sequence.")
    negatives: dict[Source, Annotated[float, Field(ge=0, le=1e6)]] = Field(
        {"unique": 1.0},
        description="Weights of `unique` (unmasked pieces), `interspersed` (soft-masked, not tandem) and `shuffled` "
        "(dinucleotide-preserving shuffles of the positives).",
    )
    balance: Balance = Field(Balance(), description="How each negative is matched to its positive.")
    background: int = Field(
        10_000,
        ge=0,
        le=10_000_000,
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
        """Catalogues masked before negatives are drawn: those asked for, and the positives' own unless simulated."""
        own = [] if catalogues[self.catalogue].simulate else [self.catalogue]
        return sorted({*self.mask.catalogues, *own})

    @property
    def has_background(self) -> bool:
        """Whether windows of the genome are scored beside the splits."""
        return self.background > 0

    def piece_sources(self) -> list[str]:
        """The sources of negatives that are cut from the genome."""
        return sorted(source for source, weight in self.negatives.items() if weight and source != "shuffled")


class TableFile(NamedTuple):
    """A file of a table. part: `all` or a split; label: that of all its rows, None if they have theirs."""

    part: str
    label: str | None
    path: str
    key: str


Task = Annotated[Name, Field(coerce_numbers_to_str=True)]
"""What a task is called in file names and in the name of its data set."""


def _file_or_several(value: Any) -> Any:
    each = value.values() if isinstance(value, dict) and len(value) > 1 else [value]
    if not all(isinstance(path, str) for path in each):
        raise ValueError("give a file, or one for each of several labels: {0: negatives.fa, 1: positives.fa}")
    return value


Files = Annotated[Text | dict[Label, Text], BeforeValidator(_file_or_several)]
"""A file with labels, or a file for each label."""


class Table(Labelled):
    """Sequences with labels or numbers to predict: CSV, TSV, parquet, JSON Lines or FASTA, all but parquet also .gz.

    JSON Lines (.jsonl, .ndjson, .json) hold an object a line, whose keys are columns. Of a FASTA header
    `>name key=value ...`, the name (`name`) and every key is a column; in `>name|1`, what follows the last `|` of the
    name is the label or target.
    """

    kind: Literal["table"]
    train: Files | None = Field(
        None,
        description="Table of the training split, as published; or a file for each label, by number or name: "
        "`{0: negatives.fa, 1: positives.fa}`.",
    )
    validation: Files | None = Field(None, description="Table of the validation split, or a file for each label.")
    test: Files | None = Field(None, description="Table of the test split, or a file for each label.")
    path: Files | None = Field(None, description="One table, or a file for each label, divided by `split`.")
    each: dict[Name, Annotated[list[Task], Field(min_length=1)]] | None = Field(
        None,
        min_length=1,
        description="Tasks by group, e.g. {EMP: [H3, H4], tf: [0, 1]}: makes a data set `<name>.<group>.<task>` of "
        "each, with {group} and {task} in the paths filled in. In `runs` and `evaluation.leaderboard`, `<name>` stands "
        "for all of them and `<name>.<group>` for those of a group.",
    )
    sequence_column: Text = Field("sequence", description="Column of the sequences.")
    label_column: Text = Field("label", description="Column of the labels: 0, 1, 2 ... or, with `labels`, their names.")
    target_column: Text | None = Field(
        None, description="Column of numbers to predict (objective `regression`), instead of labels."
    )
    labels: Labels | None = Field(None, description="Name of each label, e.g. {0: background, 1: promoter}.")
    group_column: Text | None = Field(
        None,
        description="Column of groups that must not be divided, such as genes or patients: method `grouped` keeps each "
        "in one split, and the audit counts groups in two. A row without one belongs to none.",
    )
    chromosome_column: Text | None = Field(
        None, description="Column of chromosomes, for method `chromosome` and the audit of where labels come from."
    )
    batch_column: Text | None = Field(
        None, description="Column of batches (laboratory, run, source), for the audit of where labels come from."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Table":
        given = [split for split in SPLITS if getattr(self, split)]
        if bool(self.path) == bool(given) or (given and len(given) != len(SPLITS)):
            raise ValueError("give either `path`, or all of `train`, `validation` and `test`")
        if given and "split" in self.model_fields_set:
            raise ValueError("`split` goes with `path`; train, validation and test are already divided")
        if self.target_column and (self.labels or "label_column" in self.model_fields_set):
            raise ValueError("target_column: a table of numbers has no labels; leave `labels` and `label_column` out")
        if self.target_column and any(file.label is not None for file in self.files()):
            raise ValueError("target_column: a table of numbers has no file for each label; give one file")
        known = {*map(str, self.labels), *self.labels.values()} if self.labels else None
        for file in self.files():
            if file.label is not None and not (file.label in known if known else file.label.isdecimal()):
                raise ValueError(
                    f"{file.key}: '{file.label}' is not one of `labels`"
                    if known
                    else f"{file.key}: labels are 0, 1, 2 ...; give the names of others in `labels`"
                )
        if self.split.method == "chromosome" and not self.chromosome_column:
            raise ValueError("split: method chromosome needs `chromosome_column`; without one use grouped or random")
        for group, tasks in (self.each or {}).items():
            if len(set(tasks)) < len(tasks):
                raise ValueError(f"each.{group}: a task is listed twice")
        read = [self.sequence_column, self.target_column or self.label_column, *self.extra_columns().values()]
        if len(set(read)) < len(read):
            twice = next(name for name in read if read.count(name) > 1)
            raise ValueError(f"column '{twice}' is given for two things; each needs a column of its own")
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

    def extra_columns(self) -> dict[str, str]:
        """The table's own columns of groups, chromosomes and batches, by their name in a sequence table."""
        named = {"given_group": self.group_column, "chrom": self.chromosome_column, "batch": self.batch_column}
        return {name: column for name, column in named.items() if column}

    def files(self) -> list[TableFile]:
        """The files to read, in the order of splits."""
        found = []
        for key in ("path",) if self.path else SPLITS:
            given: str | dict[str, str] = getattr(self, key)
            part = "all" if key == "path" else key
            if isinstance(given, str):
                found.append(TableFile(part, None, given, key))
            else:
                found += [TableFile(part, label, path, f"{key}.{label}") for label, path in given.items()]
        return found

"""The config's genomes, catalogues and data sets: every key, its default, unit and meaning."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from dnalm.names import NAME, SPLITS, is_name

if TYPE_CHECKING:
    from dnalm.config import Config

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")]
Md5 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{32}$")]
Split = Literal["train", "validation", "test"]
Source = Literal["unique", "interspersed", "shuffled"]
Baseline = Literal["length_gc", "kmer", "periodicity"]


class Settings(BaseModel):
    """Base of every section: unknown keys are errors, values are checked and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def exactly_one(settings: Settings, *keys: str) -> None:
    """Raise `ValueError` unless one of `keys` is set."""
    given = [key for key in keys if getattr(settings, key)]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise ValueError(f"give exactly one of {', '.join(keys)} (found {found})")


class Simulation(Settings):
    """A simulated, soft-masked genome with tandem arrays, interspersed repeats and gaps."""

    chromosomes: int = Field(4, ge=1, le=1000, description="Number of chromosomes, named chr1, chr2 ...")
    length: int = Field(500_000, ge=10_000, description="Length of each chromosome, in bases.")
    order: int = Field(3, ge=0, le=8, description="Order of the Markov chain that makes the background.")
    gc: float = Field(0.41, gt=0.1, lt=0.9, description="GC fraction of the background.")
    arrays: int = Field(1200, ge=1, description="Tandem arrays in the whole genome.")
    unit_length: tuple[int, int] = Field((7, 60), description="Shortest and longest repeat unit, in bases.")
    copies: tuple[float, float] = Field((2.0, 20.0), description="Fewest and most copies of the unit in an array.")
    substitutions: float = Field(0.05, ge=0, le=0.5, description="Substitutions a base of an array.")
    indels: float = Field(0.01, ge=0, le=0.2, description="Insertions and deletions a base of an array.")
    interspersed: float = Field(0.3, ge=0, le=0.8, description="Fraction of the genome in interspersed repeats.")
    families: int = Field(8, ge=1, description="Families of interspersed repeats.")
    gaps: float = Field(0.01, ge=0, le=0.5, description="Fraction of the genome in runs of N.")
    seed: int = Field(1, ge=0, description="Seed of the simulation.")

    @model_validator(mode="after")
    def _ranges(self) -> "Simulation":
        for key in ("unit_length", "copies"):
            low, high = getattr(self, key)
            if not 1 <= low <= high:
                raise ValueError(f"{key}: give [smallest, largest], both at least 1")
        return self


class Genome(Settings):
    """A genome: from the network, from a file, or simulated."""

    url: Text | None = Field(
        None,
        description="http(s) or ftp address of a FASTA (plain, gzip or bgzip). `{chromosome}` in it stands for each of `chromosomes`.",
    )
    path: Text | None = Field(
        None, description="A FASTA file (plain, gzip or bgzip). `{chromosome}` in it stands for each of `chromosomes`."
    )
    simulate: Simulation | None = Field(None, description="Simulate a small genome (`{}` for the defaults).")
    sha256: Sha256 | dict[str, Sha256] | None = Field(
        None, description="Checksum of the downloaded file; with `{chromosome}`, one for each chromosome."
    )
    md5: Md5 | dict[str, Md5] | None = Field(None, description="Like `sha256`, where the provider publishes MD5.")
    chromosomes: list[Text] | None = Field(
        None, description="Keep these chromosomes only, in this order. Default: all."
    )

    @model_validator(mode="before")
    @classmethod
    def _default_simulation(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("simulate") in ({}, True):
            return {**value, "simulate": Simulation()}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "Genome":
        exactly_one(self, "url", "path", "simulate")
        _check_url(self.url)
        if "{chromosome}" in (self.url or self.path or ""):
            if not self.chromosomes:
                raise ValueError("an address with {chromosome} needs `chromosomes`, the list of them")
            if strange := [name for name in self.chromosomes if not is_name(name)]:
                raise ValueError(f"chromosomes: '{strange[0]}' cannot be a part of a file name")
        _check_sums(self.url, set(self.parts()), sha256=self.sha256, md5=self.md5)
        return self

    def parts(self) -> dict[str, str]:
        """The files to fetch or read, by part name: one for each chromosome, or a single one called `all`."""
        place = self.url or self.path or ""
        if "{chromosome}" in place:
            return {name: place.replace("{chromosome}", name) for name in self.chromosomes or []}
        return {"all": place}


class Catalogue(Settings):
    """Tandem repeats: where they are, or (with VNTRseek and TRF) what they look like."""

    format: Literal["vntrseek", "ucsc", "trf", "bed"] | None = Field(
        None, description="`vntrseek` (VCF 4.1), `ucsc` (simpleRepeat.txt), `trf` (.dat, either layout) or `bed`."
    )
    genome: Name | None = Field(
        None,
        description="The genome its positions lie on; checked against its sequence. Without it only the catalogue's own sequences are used.",
    )
    url: Text | None = Field(None, description="http(s) or ftp address.")
    path: Text | None = Field(None, description="A file.")
    simulated: bool = Field(
        False, description="The arrays implanted in `genome`, which must be a simulated one, in VNTRseek's format."
    )
    find: Literal["trf"] | None = Field(None, description="Find the repeats of `genome` with Tandem Repeats Finder.")
    sha256: Sha256 | None = Field(None, description="Checksum of the downloaded file.")
    md5: Md5 | None = Field(None, description="Like `sha256`, where the provider publishes MD5.")
    filters: list[Text] | None = Field(None, description="VCF FILTER values to keep, e.g. [PASS]. Default: all.")

    @model_validator(mode="after")
    def _one_source(self) -> "Catalogue":
        exactly_one(self, "url", "path", "simulated", "find")
        _check_url(self.url)
        _check_sums(self.url, {"all"}, sha256=self.sha256, md5=self.md5)
        if (self.url or self.path) and self.format is None:
            raise ValueError("give its `format`: vntrseek, ucsc, trf or bed")
        if self.simulated and self.format not in (None, "vntrseek"):
            raise ValueError("a simulated catalogue has format vntrseek; leave `format` out")
        if self.find and self.format not in (None, "trf"):
            raise ValueError("`find: trf` has format trf; leave `format` out")
        if self.genome is None and (self.simulated or self.find or self.format in ("ucsc", "bed")):
            raise ValueError("needs a `genome`: it holds positions and no sequences")
        if self.filters is not None and self.layout != "vntrseek":
            raise ValueError("`filters` are for format vntrseek")
        return self

    @property
    def layout(self) -> str:
        """The format of the file that is read."""
        return self.format or ("trf" if self.find else "vntrseek")


def _check_url(url: str | None) -> None:
    if url and not url.startswith(("http://", "https://", "ftp://")):
        raise ValueError(f"url: '{url}' is not an http, https or ftp address; for a local file use `path`")


def _check_sums(url: str | None, parts: set[str], **sums: str | dict[str, str] | None) -> None:
    for key, value in sums.items():
        if value is not None and url is None:
            raise ValueError(f"{key}: goes with `url`; a file given by path is used as it is")
        if value is not None and (set(value) if isinstance(value, dict) else {"all"}) != parts:
            raise ValueError(
                f"{key}: give one for each of `chromosomes` with {{chromosome}} in the url, else a single one"
            )


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
        description="What a negative shares with its positive. An empty list takes whole pieces of the genome as they come.",
    )
    gc_tolerance: float = Field(
        0.02, ge=0, le=1, description="Largest difference of GC fraction between a positive and its negative."
    )
    ratio: int = Field(1, ge=1, le=1000, description="Negatives for each positive.")
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
        description="`grouped`: a motif family, a locus or near-identical sequences never in two splits. `random`: by record. `chromosome`: by the lists below.",
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
    """Most records of each split."""

    train: int | None = Field(None, ge=1)
    validation: int | None = Field(None, ge=1)
    test: int | None = Field(None, ge=1)


class Dataset(Settings):
    """What every kind of data set has."""

    split: Splitting = Field(Splitting(), description="How records are divided.")
    baselines: list[Baseline] = Field(
        ["length_gc", "kmer", "periodicity"],
        description="Simple models run beside the others: length and GC, k-mer logistic regression, best self-match at any period.",
    )
    max_records: int | MaxRecords | None = Field(
        None, description="Most records of each split, or of each by name; a random sample, counted as dropped."
    )

    def caps(self) -> dict[str, int | None]:
        """Most records of each split, None for no limit."""
        if isinstance(self.max_records, MaxRecords):
            return self.max_records.model_dump()
        return dict.fromkeys(SPLITS, self.max_records)


class Repeats(Dataset):
    """Tandem repeats of a catalogue against sequence that is none."""

    kind: Literal["repeats"]
    genome: Name = Field(description="Genome that negatives are drawn from.")
    catalogue: Name = Field(description="Catalogue whose arrays are the positives.")
    mask: Mask = Field(
        Mask(),
        description="What is masked before negatives are drawn; the positives' own catalogue always is, if it lies on this genome.",
    )
    min_length: int = Field(26, ge=1, description="Shortest array and shortest unmasked piece, in bases.")
    flank: int = Field(0, ge=0, description="Bases of genomic context on both sides of arrays and negatives alike.")
    deduplicate: bool = Field(True, description="Keep one of several arrays of the same sequence.")
    negatives: dict[Source, Annotated[float, Field(ge=0)]] = Field(
        {"unique": 1.0},
        description="Weights of `unique` (unmasked pieces), `interspersed` (soft-masked, not tandem) and `shuffled` (dinucleotide-preserving shuffles of the positives).",
    )
    balance: Balance = Field(Balance(), description="How each negative is matched to its positive.")

    @model_validator(mode="after")
    def _weights(self) -> "Repeats":
        if not any(self.negatives.values()):
            raise ValueError("negatives: give at least one source a weight above 0")
        if self.negatives.get("shuffled") and not self.balance.match:
            raise ValueError(
                "negatives: shuffled ones match by nature; `balance.match: []` takes unique and interspersed only"
            )
        return self

    def masked_catalogues(self, config: "Config") -> list[str]:
        """Catalogues masked before negatives are drawn: those asked for, and the positives' own if it lies here."""
        own = [self.catalogue] if config.catalogues[self.catalogue].genome == self.genome else []
        return sorted({*self.mask.catalogues, *own})

    def piece_sources(self) -> list[str]:
        """The sources of negatives that are cut from the genome."""
        return sorted(source for source, weight in self.negatives.items() if weight and source != "shuffled")


class Table(Dataset):
    """A labelled table: CSV, TSV or parquet."""

    kind: Literal["table"]
    train: Text | None = Field(None, description="Table of the training split, as published.")
    validation: Text | None = Field(None, description="Table of the validation split.")
    test: Text | None = Field(None, description="Table of the test split.")
    path: Text | None = Field(None, description="One table, divided by `split`.")
    sequence_column: Text = Field("sequence", description="Column of the sequences.")
    label_column: Text = Field("label", description="Column of the labels: 0, 1, 2 ... or, with `labels`, their names.")
    labels: dict[int, Text] | None = Field(None, description="Name of each label, e.g. {0: background, 1: promoter}.")

    @model_validator(mode="after")
    def _one_source(self) -> "Table":
        given = [split for split in SPLITS if getattr(self, split)]
        if bool(self.path) == bool(given) or (given and len(given) != len(SPLITS)):
            raise ValueError("give either `path`, or all of `train`, `validation` and `test`")
        if given and "split" in self.model_fields_set:
            raise ValueError("`split` goes with `path`; train, validation and test are already divided")
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

    def parts(self) -> dict[str, str]:
        """The files to read, by split, or as `all`."""
        return {"all": self.path} if self.path else {split: getattr(self, split) for split in SPLITS}

"""The config: every key, its default, unit and meaning, in one place.

`config/README.md` and `workflow/schemas/config.schema.json` are generated from here. Unknown keys are errors.
Defaults are chosen for DNA classification with a pre-trained encoder.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from dnalm.names import NAME, SPLITS

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


def _exactly_one(settings: Settings, *keys: str) -> None:
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
        _exactly_one(self, "url", "path", "simulate")
        _check_url(self.url)
        if "{chromosome}" in (self.url or self.path or "") and not self.chromosomes:
            raise ValueError("an address with {chromosome} needs `chromosomes`, the list of them")
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
        _exactly_one(self, "url", "path", "simulated", "find")
        _check_url(self.url)
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
        if self.labels is not None and sorted(self.labels) != list(range(len(self.labels))):
            raise ValueError("labels: number them 0, 1, 2 ... without gaps")
        return self

    def parts(self) -> dict[str, str]:
        """The files to read, by split, or as `all`."""
        return {"all": self.path} if self.path else {split: getattr(self, split) for split in SPLITS}


class Tokenizer(Settings):
    """A tokenizer trained on the training split, or one from a directory."""

    train: Literal["bpe"] | None = Field(None, description="Train a byte-pair encoding on the training split.")
    vocabulary: int = Field(
        609, ge=10, le=65536, description="Entries of a trained vocabulary, special tokens included."
    )
    path: Text | None = Field(None, description="A directory with a tokenizer.json (or what `AutoTokenizer` loads).")

    @model_validator(mode="after")
    def _one_source(self) -> "Tokenizer":
        _exactly_one(self, "train", "path")
        return self


class Model(Settings):
    """A pre-trained checkpoint, or an architecture with random weights."""

    checkpoint: Text | None = Field(None, description="A Hugging Face hub id (with `revision`) or a local directory.")
    revision: Name | None = Field(
        None,
        description="Commit of the hub repository, so that a result can be repeated; a branch or tag works too, and the "
        "commit it stood for is recorded.",
    )
    architecture: dict[str, Any] | None = Field(
        None,
        description="A transformers config: `model_type` and its keys; the vocabulary size comes from the tokenizer.",
    )
    tokenizer: Tokenizer | None = Field(
        None, description="The tokenizer; needed with `architecture`. A checkpoint brings its own."
    )
    max_tokens: int | None = Field(
        None, ge=8, description="Most tokens of one input, special tokens included. Default: the model's own limit."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Model":
        _exactly_one(self, "checkpoint", "architecture")
        if self.architecture is not None and not isinstance(self.architecture.get("model_type"), str):
            raise ValueError("architecture: give its model_type, e.g. bert")
        if (self.architecture is None) == (self.tokenizer is not None):
            raise ValueError("an `architecture` needs a `tokenizer`; a checkpoint brings its own")
        if self.revision and not self.checkpoint:
            raise ValueError("revision: goes with a hub checkpoint")
        return self

    @property
    def on_hub(self) -> bool:
        """Whether the checkpoint is fetched from the Hugging Face hub."""
        return self.revision is not None


class Lora(Settings):
    """Low-rank adapters: each target's weights stay, and alpha / rank times the product of two thin matrices is added.

    The classification head is trained too. The finished model has the adapters merged into its weights, and carries
    them alone in `model/adapter/`.
    """

    rank: int = Field(8, ge=1, description="Rank of the two thin matrices.")
    alpha: int = Field(16, ge=1, description="Scale of what the adapters add, as a multiple of 1 / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")
    target_modules: list[Text] | None = Field(
        None,
        min_length=1,
        description="Layers to adapt, by name or by the end of it, e.g. `query`. Default: what peft adapts in this "
        "architecture, or none if there are `target_parameters`.",
    )
    target_parameters: list[Text] | None = Field(
        None,
        min_length=1,
        description="Tensors to adapt that are no layers: a mixture's fused experts, e.g. `mlp.experts.down_proj`.",
    )
    modules_to_save: list[Text] | None = Field(
        None, min_length=1, description="Modules to train in full, beside the classification head."
    )

    @model_validator(mode="after")
    def _no_dropout_on_parameters(self) -> "Lora":
        if self.dropout and self.target_parameters:
            raise ValueError("dropout: `target_parameters` cannot have any; use 0")
        return self


class Recipe(Settings):
    """How a model is fine-tuned."""

    objective: Literal["classification"] = Field("classification", description="What is learnt.")
    method: Literal["full", "lora", "frozen", "none"] = Field(
        "full",
        description="`full`: all weights are trained. `lora`: low-rank adapters and the classification head are. "
        "`frozen`: only the head is, with the encoder's pooler if it has one. `none`: the checkpoint is scored as it is.",
    )
    lora: Lora | None = Field(None, description="The adapters of method `lora`; without it, all its defaults.")
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    epochs: float = Field(3, gt=0, description="Passes over the training split.")
    batch_size: int = Field(32, ge=1, description="Sequences an optimizer step.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the steps in which the learning rate rises linearly."
    )
    scheduler: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="Course of the learning rate after warm-up."
    )
    max_gradient_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    best_metric: Literal["mcc", "accuracy", "macro_f1", "loss"] = Field(
        "mcc", description="Validation metric that picks the epoch to keep."
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Stop after so many epochs without a better `best_metric`."
    )
    reverse_complement: bool = Field(False, description="Show each training sequence as either strand, at random.")
    overlong: Literal["window", "truncate", "drop", "error"] = Field(
        "window",
        description="Records longer than the model's limit: cut into windows (scores are averaged), cut off, left out, or refused. All are counted.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Number format of training; auto: bf16 on a GPU that has it, else fp32."
    )
    max_train_records: int | None = Field(
        None, ge=1, description="Train on a random sample of this size, drawn by the run's seed."
    )

    @model_validator(mode="after")
    def _adapters(self) -> "Recipe":
        if self.lora is not None and self.method != "lora":
            raise ValueError(f"lora: goes with method: lora (found {self.method})")
        return self


class Run(Settings):
    """One model, trained by one recipe on one data set, once for each seed."""

    dataset: Name
    model: Name
    recipe: Name
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(
        [1], min_length=1, description="Seeds of initialisation and order."
    )


class Config(Settings):
    """A whole workflow."""

    genomes: dict[Name, Genome] = Field({}, description="Genomes by name.")
    catalogues: dict[Name, Catalogue] = Field({}, description="Tandem-repeat catalogues by name.")
    datasets: dict[Name, Annotated[Repeats | Table, Field(discriminator="kind")]] = Field(
        description="Data sets by name."
    )
    models: dict[Name, Model] = Field({}, description="Models by name.")
    recipes: dict[Name, Recipe] = Field({}, description="Recipes by name.")
    runs: list[Run] = Field([], description="What is run: no cross product, each line is one model on one data set.")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto", description="Where models run; auto takes the best there is."
    )

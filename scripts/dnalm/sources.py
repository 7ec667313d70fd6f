"""The config's genomes and catalogues, and what every section of it is made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from dnalm.names import NAME, is_name

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Text = Annotated[str, StringConstraints(min_length=1, pattern=PRINTABLE)]
"""Any words, without line breaks and other control characters."""
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")]
Md5 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{32}$")]


class Settings(BaseModel):
    """Base of every section: unknown keys are errors, values are checked and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AllDefaults = BeforeValidator(lambda value: {} if value is True else value)
"""`true` in place of a section stands for all its defaults, as `{}` does."""


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


class ArraySimulation(Settings):
    """Tandem arrays of known divergence, whose units are cut from a genome: positives that no repeat finder has chosen."""

    arrays: int = Field(3000, ge=1, description="Number of arrays.")
    unit_length: tuple[int, int] = Field((7, 60), description="Shortest and longest repeat unit, in bases.")
    copies: tuple[float, float] = Field((1.8, 4.0), description="Fewest and most copies of the unit in an array.")
    divergence: tuple[float, float] = Field(
        (0.05, 0.3), description="Lowest and highest fraction of changed bases of an array against its unit."
    )
    indels: float = Field(0.2, ge=0, le=1, description="Share of the changes that are insertions or deletions.")
    seed: int = Field(1, ge=0, description="Seed of the simulation.")

    @model_validator(mode="after")
    def _ranges(self) -> "ArraySimulation":
        for key, least in (("unit_length", 1), ("copies", 1), ("divergence", 0)):
            low, high = getattr(self, key)
            if not least <= low <= high:
                raise ValueError(f"{key}: give [smallest, largest], both at least {least}")
        if self.divergence[1] > 0.5:
            raise ValueError("divergence: at most 0.5; beyond that nothing of the unit is left")
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
    simulate: Annotated[Simulation | None, AllDefaults] = Field(
        None, description="Simulate a small genome (`{}` for the defaults)."
    )
    sha256: Sha256 | dict[str, Sha256] | None = Field(
        None, description="Checksum of the downloaded file; with `{chromosome}`, one for each chromosome."
    )
    md5: Md5 | dict[str, Md5] | None = Field(None, description="Like `sha256`, where the provider publishes MD5.")
    chromosomes: list[Text] | None = Field(
        None, description="Keep these chromosomes only, in this order. Default: all."
    )

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
    simulate: Annotated[ArraySimulation | None, AllDefaults] = Field(
        None,
        description="Simulate arrays of known divergence whose units are cut from `genome` (`{}` for the defaults).",
    )
    sha256: Sha256 | None = Field(None, description="Checksum of the downloaded file.")
    md5: Md5 | None = Field(None, description="Like `sha256`, where the provider publishes MD5.")
    filters: list[Text] | None = Field(None, description="VCF FILTER values to keep, e.g. [PASS]. Default: all.")

    @model_validator(mode="after")
    def _one_source(self) -> "Catalogue":
        exactly_one(self, "url", "path", "simulated", "find", "simulate")
        _check_url(self.url)
        _check_sums(self.url, {"all"}, sha256=self.sha256, md5=self.md5)
        if (self.url or self.path) and self.format is None:
            raise ValueError("give its `format`: vntrseek, ucsc, trf or bed")
        if self.simulated and self.format not in (None, "vntrseek"):
            raise ValueError("a simulated catalogue has format vntrseek; leave `format` out")
        if self.find and self.format not in (None, "trf"):
            raise ValueError("`find: trf` has format trf; leave `format` out")
        if self.simulate and self.format is not None:
            raise ValueError("simulated arrays have no format; leave `format` out")
        if self.genome is None and (self.simulated or self.find or self.simulate or self.format in ("ucsc", "bed")):
            raise ValueError("needs a `genome`: it holds positions and no sequences")
        if self.filters is not None and self.layout != "vntrseek":
            raise ValueError("`filters` are for format vntrseek")
        return self

    @property
    def layout(self) -> str:
        """The format of the records, which names their source."""
        return self.format or ("trf" if self.find else "simulated" if self.simulate else "vntrseek")

    @property
    def home(self) -> str | None:
        """The genome that its records lie on: none for sequences alone, as simulated arrays are."""
        return None if self.simulate else self.genome


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

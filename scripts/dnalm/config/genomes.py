"""Genomes: downloaded, given or simulated."""

from typing import Annotated

from pydantic import Field, model_validator

from dnalm.config.base import (
    LONGEST_UNIT,
    AllDefaults,
    Md5,
    Seed,
    Settings,
    Sha256,
    Text,
    check_sums,
    check_url,
    exactly_one,
)
from dnalm.names import is_name


class Simulation(Settings):
    """A simulated, soft-masked genome with tandem arrays, interspersed repeats and gaps."""

    chromosomes: int = Field(4, ge=1, le=1000, description="Number of chromosomes, named chr1, chr2 ...")
    length: int = Field(500_000, ge=10_000, le=300_000_000, description="Length of each chromosome, in bases.")
    order: int = Field(3, ge=0, le=8, description="Order of the Markov chain that generates the background.")
    gc: float = Field(0.41, gt=0.1, lt=0.9, description="GC fraction of the background.")
    arrays: int = Field(1200, ge=1, le=10_000_000, description="Tandem arrays in the whole genome.")
    unit_length: tuple[int, int] = Field((7, 60), description="Shortest and longest repeat unit, in bases.")
    copies: tuple[float, float] = Field((2.0, 20.0), description="Fewest and most copies of the unit in an array.")
    substitutions: float = Field(0.05, ge=0, le=0.5, description="Substitutions per base of an array.")
    indels: float = Field(0.01, ge=0, le=0.2, description="Insertions and deletions per base of an array.")
    interspersed: float = Field(0.3, ge=0, le=0.8, description="Fraction of the genome in interspersed repeats.")
    families: int = Field(8, ge=1, le=100_000, description="Families of interspersed repeats.")
    gaps: float = Field(0.01, ge=0, le=0.5, description="Fraction of the genome in runs of N.")
    seed: Seed = Field(1, description="Seed of the simulation.")

    @model_validator(mode="after")
    def _ranges(self) -> "Simulation":
        for key in ("unit_length", "copies"):
            low, high = getattr(self, key)
            if not 1 <= low <= high <= LONGEST_UNIT:
                raise ValueError(f"{key}: give [smallest, largest], from 1 to {LONGEST_UNIT:,}")
        return self


class Genome(Settings):
    """A genome: from the network, from a file, or simulated."""

    url: Text | None = Field(
        None,
        description="http(s) or ftp address of a FASTA (plain, gzip or bgzip). `{chromosome}` in it stands for each of "
        "`chromosomes`.",
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
        check_url(self.url)
        if "{chromosome}" in (self.url or self.path or ""):
            if not self.chromosomes:
                raise ValueError("an address with {chromosome} needs `chromosomes`, the list of them")
            if strange := [name for name in self.chromosomes if not is_name(name)]:
                raise ValueError(f"chromosomes: '{strange[0]}' cannot be a part of a file name")
        check_sums(self.url, set(self.parts()), sha256=self.sha256, md5=self.md5)
        return self

    def parts(self) -> dict[str, str]:
        """The files to fetch or read, by part name: one for each chromosome, or a single one called `all`."""
        place = self.url or self.path or ""
        if "{chromosome}" in place:
            return {name: place.replace("{chromosome}", name) for name in self.chromosomes or []}
        return {"all": place}

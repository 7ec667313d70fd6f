"""Catalogues of tandem repeats."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dnalm.config.base import (
    LONGEST_UNIT,
    AllDefaults,
    Md5,
    Name,
    Seed,
    Settings,
    Sha256,
    Text,
    check_sums,
    check_url,
    exactly_one,
)


class ArraySimulation(Settings):
    """Tandem arrays of known divergence, with units cut from a genome: positives not selected by any repeat finder."""

    arrays: int = Field(3000, ge=1, le=10_000_000, description="Number of arrays.")
    unit_length: tuple[int, int] = Field((7, 60), description="Shortest and longest repeat unit, in bases.")
    copies: tuple[float, float] = Field((1.8, 4.0), description="Fewest and most copies of the unit in an array.")
    divergence: tuple[float, float] = Field(
        (0.05, 0.3), description="Lowest and highest fraction of changed bases of an array against its unit."
    )
    indels: float = Field(0.2, ge=0, le=1, description="Share of the changes that are insertions or deletions.")
    seed: Seed = Field(1, description="Seed of the simulation.")

    @model_validator(mode="after")
    def _ranges(self) -> "ArraySimulation":
        for key, least in (("unit_length", 1), ("copies", 1), ("divergence", 0)):
            low, high = getattr(self, key)
            if not least <= low <= high <= LONGEST_UNIT:
                raise ValueError(f"{key}: give [smallest, largest], from {least} to {LONGEST_UNIT:,}")
        if self.divergence[1] > 0.5:
            raise ValueError("divergence: at most 0.5; beyond that nothing of the unit is left")
        return self


class Catalogue(Settings):
    """Tandem repeats: where they are, or (with VNTRseek and TRF) what they look like."""

    format: Literal["vntrseek", "ucsc", "trf", "bed"] | None = Field(
        None, description="`vntrseek` (VCF 4.1), `ucsc` (simpleRepeat.txt), `trf` (.dat, either layout) or `bed`."
    )
    genome: Name | None = Field(
        None,
        description="The genome its positions lie on; checked against its sequence. Without it only the catalogue's "
        "own sequences are used: they are the positives, and every copy of them that a data set's genome holds is "
        "masked.",
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
        check_url(self.url)
        check_sums(self.url, {"all"}, sha256=self.sha256, md5=self.md5)
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
        """The format of the records, which is also the name of their source."""
        return self.format or ("trf" if self.find else "simulated" if self.simulate else "vntrseek")

    @property
    def home(self) -> str | None:
        """The genome that its records lie on; None for sequences without positions, such as simulated arrays."""
        return None if self.simulate else self.genome

    @property
    def is_placed(self) -> bool:
        """Whether it is placed on a data set's genome by its sequences; simulated arrays are on none."""
        return self.genome is None

"""The base class and common field types of the config's sections."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from dnalm.names import LONGEST_NAME, NAME

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$", max_length=LONGEST_NAME)]


Seed = Annotated[int, Field(ge=0, lt=2**32)]


MOST = 10**9
"""Bound of counts and lengths that nothing real reaches: above it is a slip, and memory or a file's format ends."""


LONGEST_UNIT = 10_000
"""Bases of a simulated repeat unit, and copies of it, at most."""


Count = Annotated[int, Field(ge=1, le=MOST)]


PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"


Text = Annotated[str, StringConstraints(min_length=1, pattern=PRINTABLE)]
"""Any text without line breaks and other control characters."""


Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")]


Md5 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{32}$")]


Label = Annotated[str, StringConstraints(min_length=1, pattern=PRINTABLE), Field(coerce_numbers_to_str=True)]
"""A label, by name or number."""


Labels = dict[int, Text]
"""Name of each label."""


class Settings(BaseModel):
    """Base of every section: unknown keys are errors, values are checked and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AllDefaults = BeforeValidator(lambda value: {} if value is True else value)
"""Lets `true` in place of a section mean all its defaults, as `{}` does."""


def exactly_one(settings: Settings, *keys: str) -> None:
    """Raise `ValueError` unless one of `keys` is set."""
    given = [key for key in keys if getattr(settings, key)]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise ValueError(f"give exactly one of {', '.join(keys)} (found {found})")


def check_url(url: str | None) -> None:
    """Raise `ValueError` for an address that is not http, https or ftp."""
    if url and not url.startswith(("http://", "https://", "ftp://")):
        raise ValueError(f"url: '{url}' is not an http, https or ftp address; for a local file use `path`")


def check_sums(url: str | None, parts: set[str], **sums: str | dict[str, str] | None) -> None:
    """Raise `ValueError` for checksums without a `url`, or unless there is one for each of its `parts`."""
    for key, value in sums.items():
        if value is not None and url is None:
            raise ValueError(f"{key}: goes with `url`; a file given by path is used as it is")
        if value is not None and (set(value) if isinstance(value, dict) else {"all"}) != parts:
            raise ValueError(
                f"{key}: give one for each of `chromosomes` with {{chromosome}} in the url, else a single one"
            )

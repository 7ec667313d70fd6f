"""Variants of a data set: other splits of the same records, or fewer records to train on."""

from typing import Literal

from pydantic import Field

from dnalm.config.base import Name, Settings


class Variant(Settings):
    """What a variant is made of."""

    base: Name = Field(description="The data set in the user's file.")
    varied: Literal["split seed", "train records"] = Field(description="What differs from the base.")
    value: int = Field(description="The seed, or the most records of train.")

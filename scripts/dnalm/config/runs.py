"""Runs: which model is trained by which recipe on which data set."""

from typing import Annotated

from pydantic import Field

from dnalm.config.base import Name, Settings


class Run(Settings):
    """One model, trained by one recipe on one data set, once for each seed."""

    dataset: Name
    model: Name
    recipe: Name
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(
        [1], min_length=1, description="Seeds of initialisation and order."
    )

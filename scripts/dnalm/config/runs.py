"""Runs: which model is trained by which recipe on which data set."""

from pydantic import Field

from dnalm.config.base import Name, Seed, Settings


class Run(Settings):
    """One model, trained by one recipe on one data set, once for each seed."""

    dataset: Name
    model: Name
    recipe: Name
    seeds: list[Seed] = Field([1], min_length=1, description="Seeds of initialisation and order.")


class SeededRun(Settings):
    """One training, or one baseline: its model is `baseline`, and its recipe the baseline's name."""

    dataset: Name
    model: Name
    recipe: Name
    seed: Seed

    @property
    def folder(self) -> str:
        """Its folder, relative to the folder of all results."""
        return f"{self.dataset}/runs/{self.model}/{self.recipe}/seed{self.seed}"

"""A whole config: all its sections together.

`config/README.md` and `workflow/schemas/config.schema.json` are generated from these classes. Unknown keys are errors.
"""

from typing import Annotated, Literal

from pydantic import Field

from dnalm.config.base import Name, Settings
from dnalm.config.catalogues import Catalogue
from dnalm.config.corpora import Corpus
from dnalm.config.datasets import Repeats, Table
from dnalm.config.embeddings import Embedding
from dnalm.config.evaluation import Evaluation
from dnalm.config.genomes import Genome
from dnalm.config.models import Model
from dnalm.config.recipes import Recipe
from dnalm.config.runs import Run
from dnalm.config.variants import Variant, variants_of


class Config(Settings):
    """A whole workflow."""

    genomes: dict[Name, Genome] = Field({}, description="Genomes by name.")
    catalogues: dict[Name, Catalogue] = Field({}, description="Tandem-repeat catalogues by name.")
    datasets: dict[Name, Annotated[Repeats | Table | Corpus, Field(discriminator="kind")]] = Field(
        description="Data sets by name."
    )
    models: dict[Name, Model] = Field({}, description="Models by name.")
    recipes: dict[Name, Recipe] = Field({}, description="Recipes by name.")
    runs: list[Run] = Field([], description="What is run. Each line is one model on one data set: no cross product.")
    embeddings: dict[Name, Embedding] = Field({}, description="Vectors of records, by name.")
    evaluation: Evaluation = Field(Evaluation(), description="How results are measured.")
    # `exclude`: these change no result, so no stage's settings hold them.
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto", exclude=True, description="Where models run; auto: CUDA, else MPS, else the CPU."
    )
    checkpoint_minutes: float = Field(
        5,
        gt=0,
        le=1_000_000,
        exclude=True,
        description="Minutes between two checkpoints of a training; there is one after each validation too.",
    )
    report_to: list[Literal["tensorboard", "wandb"]] = Field(
        [], exclude=True, description="Experiment trackers that a training logs to; each has to be installed."
    )

    def variants(self) -> dict[str, Variant]:
        """The variants of data sets, by name: what each varies, and of which data set."""
        return {
            name: variant for base, dataset in self.datasets.items() for name, variant, _ in variants_of(base, dataset)
        }

    def base(self, dataset: str) -> str:
        """The data set in the user's config that a data set is a variant of, or is itself."""
        variant = self.variants().get(dataset)
        return variant.base if variant else dataset

    def with_variants(self) -> "Config":
        """The same config with each data set followed by its variants; for a config as written."""
        datasets = {
            name: one
            for base, dataset in self.datasets.items()
            for name, one in [(base, dataset), *((name, one) for name, _, one in variants_of(base, dataset))]
        }
        return self.model_copy(update={"datasets": datasets})

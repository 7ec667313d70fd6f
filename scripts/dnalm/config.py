"""The config: every key, its default, unit and meaning, here, in `datasets` and in `sources`.

`config/README.md` and `workflow/schemas/config.schema.json` are generated from these. Unknown keys are errors.
Defaults are chosen for DNA classification with a pre-trained encoder.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from dnalm.datasets import Repeats, Table
from dnalm.names import is_hub_id
from dnalm.sources import Catalogue, Genome, Name, Settings, Text, exactly_one


class Tokenizer(Settings):
    """A tokenizer trained on the training split, or one from a directory."""

    train: Literal["bpe"] | None = Field(None, description="Train a byte-pair encoding on the training split.")
    vocabulary: int = Field(
        609, ge=10, le=65536, description="Entries of a trained vocabulary, special tokens included."
    )
    path: Text | None = Field(None, description="A directory with a tokenizer.json (or what `AutoTokenizer` loads).")

    @model_validator(mode="after")
    def _one_source(self) -> "Tokenizer":
        exactly_one(self, "train", "path")
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
    initialisation: Literal["pretrained", "random"] = Field(
        "pretrained",
        description="`random`: the checkpoint's architecture and tokenizer with random weights, the twin that tells what pre-training is worth.",
    )
    tokenizer: Tokenizer | None = Field(
        None, description="The tokenizer; needed with `architecture`. A checkpoint brings its own."
    )
    max_tokens: int | None = Field(
        None, ge=8, description="Most tokens of one input, special tokens included. Default: the model's own limit."
    )

    trust_remote_code: bool = Field(
        False,
        description="Run the code (`*.py`) that comes with the checkpoint, as DNABERT-2, HyenaDNA and Caduceus need: it may do "
        "whatever you may, so read it first, and give a commit as `revision`.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Model":
        exactly_one(self, "checkpoint", "architecture")
        if self.architecture is not None and not isinstance(self.architecture.get("model_type"), str):
            raise ValueError("architecture: give its model_type, e.g. bert")
        if (self.architecture is None) == (self.tokenizer is not None):
            raise ValueError("an `architecture` needs a `tokenizer`; a checkpoint brings its own")
        if self.initialisation == "random" and not self.checkpoint:
            raise ValueError("initialisation: goes with a checkpoint; an architecture always begins at random")
        if self.revision and not self.checkpoint:
            raise ValueError("revision: goes with a hub checkpoint")
        if self.revision and not is_hub_id(self.checkpoint or ""):
            raise ValueError(
                f"checkpoint: '{self.checkpoint}' is no hub id (owner/name); a local directory goes without `revision`"
            )
        if self.trust_remote_code and not self.checkpoint:
            raise ValueError("trust_remote_code: goes with a checkpoint; an architecture is transformers' own")
        return self

    @property
    def limit(self) -> int | None:
        """The longest input, in tokens, as far as the config says it."""
        positions = (self.architecture or {}).get("max_position_embeddings")
        stated = [self.max_tokens, positions if isinstance(positions, int) else None]
        return min((limit for limit in stated if limit is not None), default=None)

    @property
    def on_hub(self) -> bool:
        """Whether the checkpoint is fetched from the Hugging Face hub."""
        return self.revision is not None


Label = Annotated[str, Field(min_length=1, coerce_numbers_to_str=True)]


class Lora(Settings):
    """Low-rank adapters: each target's weights stay, and alpha / rank times the product of two thin matrices is added.

    The classification head is trained too. The finished model has the adapters merged into its weights, and carries
    them alone in `model/adapter/`. With method `qlora` they are merged into what the 4-bit weights stand for, in fp32:
    the model that was validated, which needs nothing but transformers. (The adapter alone, put on the checkpoint in
    full precision, scores a little differently.)
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
    method: Literal["full", "lora", "qlora", "frozen", "none"] = Field(
        "full",
        description="`full`: all weights are trained. `lora`: low-rank adapters and the classification head are. "
        "`qlora`: the same, while the body's linear layers are held in 4 bits (NF4, doubly quantised; the rest stays "
        "fp32, also tensors that are no layers, as a mixture's fused experts); it needs a CUDA GPU and the package "
        "bitsandbytes, and run.json says what is quantised. `frozen`: only the head is trained, with the encoder's "
        "pooler if it has one. `none`: the checkpoint is scored as it is.",
    )
    lora: Lora | None = Field(
        None, description="The adapters of methods `lora` and `qlora`; without it, all its defaults."
    )
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    epochs: float = Field(3, gt=0, description="Passes over the training split.")
    batch_size: int = Field(
        32,
        ge=1,
        description="Sequences an optimizer step, over all processes. What does not fit into a GPU at once is "
        "accumulated, with the same result.",
    )
    class_weights: Literal["none", "balanced"] | dict[Label, Annotated[float, Field(gt=0)]] = Field(
        "none",
        description="How much a training sequence counts, by its class. `balanced`: each class as much as any other, "
        "whatever its size. Or a weight for some labels, by name or number; the others weigh 1.",
    )
    focal_gamma: float = Field(
        0.0,
        ge=0,
        description="Above 0, a sequence's loss is multiplied by (1 - probability of its label) to this power (focal "
        "loss; 2 is usual): what is learnt already counts less.",
    )
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
    engine: Literal["auto", "packed", "padded"] = Field(
        "auto",
        description="How sequences share a batch. `packed`: one after another in rows of a fixed size, without "
        "padding. `padded`: like lengths together, padded to the longest. `auto`: packed where the architecture is "
        "proven to give the same results so, else padded; run.json says which and why.",
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="Compile a packed model on a CUDA GPU before training (no other is); auto: where a training is long "
        "enough to pay for it.",
    )
    max_train_records: int | None = Field(
        None, ge=1, description="Train on a random sample of this size, drawn by the run's seed."
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share a training (torchrun), each with a GPU of its own. This key and the next two "
        "change nothing of the result but its rounding, so changing them repeats no finished run.",
    )
    gpus: int | None = Field(
        None,
        ge=0,
        description="GPUs that a training asks of the scheduler. Default: one a process, none with device `cpu`.",
    )
    sharding: Literal["none", "fsdp", "zero2"] = Field(
        "none",
        description="What processes share: `none`: each holds the whole model. `fsdp`: weights, gradients and optimizer "
        "state are divided among them (FSDP2). `zero2`: gradients and optimizer state are (DeepSpeed, which has to be "
        "installed).",
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if any(isinstance(label, bool) or not isinstance(label, str | int) for label in value):
                raise ValueError("quote the labels: without quotes YAML takes some, like no, for something else")
            right = bool(value) and all(
                isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < math.inf
                for weight in value.values()
            )
        else:
            right = value in ("none", "balanced")
        if not right:
            raise ValueError(f"give none, balanced, or labels with weights above 0 (found {value!r})")
        return value

    @field_validator("compile", mode="before")
    @classmethod
    def _auto_or_not(cls, value: Any) -> Any:
        if value != "auto" and not isinstance(value, bool):
            raise ValueError(f"give auto, true or false (found {value!r})")
        return value

    @model_validator(mode="after")
    def _adapters(self) -> "Recipe":
        if self.lora is not None and self.method not in ("lora", "qlora"):
            raise ValueError(f"lora: goes with method: lora or qlora (found {self.method})")
        if self.method == "qlora" and self.sharding != "none":
            raise ValueError("sharding: 4-bit weights are not divided among processes; use none")
        if self.engine == "packed" and self.sharding != "none":
            raise ValueError("engine: a model divided among processes is padded; use auto, or sharding: none")
        if self.sharding != "none" and self.processes == 1:
            raise ValueError(
                f"sharding: {self.sharding} divides a model among processes, and there is 1; set processes"
            )
        return self


class Run(Settings):
    """One model, trained by one recipe on one data set, once for each seed."""

    dataset: Name
    model: Name
    recipe: Name
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(
        [1], min_length=1, description="Seeds of initialisation and order."
    )


class Evaluation(Settings):
    """How results are measured."""

    confidence: float = Field(0.95, gt=0.5, lt=1, description="Level of confidence intervals.")
    replicates: int = Field(2000, ge=200, le=100_000, description="Bootstrap replicates.")
    seed: int = Field(1, ge=0, description="Seed of the bootstrap and of permutations.")
    calibration_bins: int = Field(
        15, ge=2, le=100, description="Bins of the calibration error, of equal numbers of records."
    )
    temperature: bool = Field(
        False, description="Fit a temperature on validation, and report the calibration with it beside the plain one."
    )
    prevalences: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.5, 0.01, 0.001],
        min_length=1,
        description="Prevalences of label 1 at which precision is given (two classes).",
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
    evaluation: Evaluation = Field(Evaluation(), description="How results are measured.")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto", description="Where models run; auto takes the best there is."
    )
    checkpoint_minutes: float = Field(
        5, gt=0, description="Minutes between two saves of a training's state, which is also saved at each epoch's end."
    )
    report_to: list[Literal["tensorboard", "wandb"]] = Field(
        [], description="Where a training's course is reported, beside its log; each has to be installed."
    )

"""Recipes: how a model is trained."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from dnalm.config.base import Settings, Text
from dnalm.names import METRICS

Overlong = Literal["window", "truncate", "drop", "error"]

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

    objective: Literal["classification", "regression"] = Field(
        "classification",
        description="What is learnt of a data set's records: `classification` their label, `regression` their target, a number.",
    )
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
    best_metric: Text | None = Field(
        None,
        description="Validation metric that picks the epoch to keep: `loss`, or one of the objective's (classification: `mcc`, "
        "accuracy, macro_f1, macro_precision, macro_recall; regression: `spearman`, pearson, r2, rmse). Default: its first.",
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Stop after so many epochs without a better `best_metric`."
    )
    reverse_complement: bool = Field(False, description="Show each training sequence as either strand, at random.")
    overlong: Overlong = Field(
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
    # The last three keys are options of finetune.py; `exclude` keeps them out of what a stage is told, so that changing
    # them re-runs nothing.
    processes: int = Field(
        1,
        ge=1,
        exclude=True,
        description="Processes that share a training (torchrun), each with a GPU of its own. This key and the next two "
        "change nothing of the result but its rounding, so changing them repeats no finished run.",
    )
    gpus: int | None = Field(
        None,
        ge=0,
        exclude=True,
        description="GPUs that a training asks of the scheduler. Default: one a process, none with device `cpu`.",
    )
    sharding: Literal["none", "fsdp", "zero2"] = Field(
        "none",
        exclude=True,
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
    def _metric(self) -> "Recipe":
        known = ("loss", *METRICS[self.objective])
        if self.best_metric is not None and self.best_metric not in known:
            raise ValueError(
                f"best_metric: '{self.best_metric}' is no metric of objective {self.objective}; use one of {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _weights_of_classes(self) -> "Recipe":
        if self.objective != "classification" and (self.class_weights != "none" or self.focal_gamma):
            key = "focal_gamma" if self.focal_gamma else "class_weights"
            raise ValueError(f"{key}: goes with objective: classification (found {self.objective})")
        return self

    @property
    def chosen_by(self) -> str:
        """The validation metric that picks the epoch to keep."""
        return self.best_metric or METRICS[self.objective][0]

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

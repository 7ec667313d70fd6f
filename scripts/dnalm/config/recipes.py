"""Recipes: how a model is trained."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from dnalm.config.base import MOST, Count, Label, Settings, Text
from dnalm.names import METRICS

Overlong = Literal["window", "truncate", "drop", "error"]

Pooling = Literal["mean", "max", "cls", "last"]

Layer = Annotated[int, Field(ge=-1000, le=1000)]

HEAVIEST = 1e9
"""Weight of a class, at most."""


class Lora(Settings):
    """Low-rank adapters: to each frozen target weight, alpha / rank times the product of two thin matrices is added.

    The head is trained too. The finished model has the adapters merged into its weights; `model/adapter/` holds them
    alone. With method `qlora` they are merged into the dequantised 4-bit weights, in fp32: that is the model that was
    validated, and it needs only transformers. (The adapter on the checkpoint in full precision scores slightly
    differently.)
    """

    rank: int = Field(8, ge=1, le=65_536, description="Rank of the two thin matrices.")
    alpha: int = Field(16, ge=1, le=1_000_000, description="Scale of what the adapters add, as a multiple of 1 / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")
    target_modules: list[Text] | None = Field(
        None,
        min_length=1,
        description="Layers to adapt, by name or the end of it, e.g. `query`. Default: peft's choice for the "
        "architecture, or none if there are `target_parameters`.",
    )
    target_parameters: list[Text] | None = Field(
        None,
        min_length=1,
        description="Tensors to adapt that are not layers: the fused experts of a mixture of experts, e.g. "
        "`mlp.experts.down_proj`.",
    )
    modules_to_save: list[Text] | None = Field(
        None, min_length=1, description="Modules to train in full, beside the classification head."
    )

    @model_validator(mode="after")
    def _no_dropout_on_parameters(self) -> "Lora":
        if self.dropout and self.target_parameters:
            raise ValueError("dropout: `target_parameters` cannot have any; use 0")
        return self


class Masking(Settings):
    """Which tokens a masked language model has to fill in (Devlin et al., 2019, BERT)."""

    fraction: float = Field(0.15, gt=0, lt=1, description="Share of the tokens to fill in.")
    masked: float = Field(0.8, ge=0, le=1, description="Share of these that is replaced by the mask token.")
    random: float = Field(0.1, ge=0, le=1, description="Share of these that is replaced by a random token.")
    span: int = Field(
        1, ge=1, le=100, description="Mean length of the spans of tokens that are filled in together (geometric)."
    )

    @model_validator(mode="after")
    def _shares(self) -> "Masking":
        if self.masked + self.random > 1:
            raise ValueError("masked and random: together they are at most 1")
        return self


OF_PROBES = frozenset(
    {"objective", "method", "pooling", "layers", "class_weights", "best_metric", "overlong", "max_train_records"}
)
"""Keys of a recipe that change what a probe learns."""


class Recipe(Settings):
    """How a model is fine-tuned, or trained from scratch."""

    objective: Literal["classification", "regression", "causal", "masked"] = Field(
        "classification",
        description="What is learnt: `classification` a record's label, `regression` its target, a number; on a corpus "
        "`causal` each next token, `masked` the tokens that are masked.",
    )
    method: Literal["full", "lora", "qlora", "frozen", "probe", "none"] = Field(
        "full",
        description="`full`: all weights are trained. `lora`: only low-rank adapters and the head. `qlora`: the same, "
        "with the body's linear layers held in 4 bits (NF4, double quantisation; the rest stays fp32, also tensors "
        "that are not layers, such as the fused experts of a mixture); it needs a CUDA GPU and the package "
        "bitsandbytes, and run.json lists what is quantised. `frozen`: only the head, with the encoder's pooler if it "
        "has one. `probe`: L2-regularised logistic regression, or ridge, on embeddings of the frozen model; layer, "
        "pooling and penalty are chosen on validation by `best_metric`. `none`: the checkpoint is scored as it is.",
    )
    lora: Lora | None = Field(
        None, description="The adapters of methods `lora` and `qlora`. Default: all its defaults."
    )
    masking: Masking | None = Field(None, description="What is masked with objective `masked`. Default: as BERT does.")
    pooling: list[Pooling] = Field(
        ["mean"], min_length=1, description="Ways to turn a record's hidden states into one vector (method `probe`)."
    )
    layers: Literal["all"] | list[Layer] = Field(
        "all", description="Layers that a probe tries: 0 is the embedding, -1 the last layer (method `probe`)."
    )
    optimizer: Literal["adamw", "muon", "adamw8bit", "lion"] = Field(
        "adamw",
        description="`adamw`. `muon`: Muon for the body's matrices (each expert's of a mixture apart), AdamW for "
        "embeddings, head, norms and biases; one learning rate suits both. `adamw8bit`: AdamW with 8-bit state, and "
        "`lion`: both need a CUDA GPU and the package bitsandbytes; Lion wants a rate 3 to 10 times smaller than "
        "AdamW's. Only adamw goes with `sharding`.",
    )
    learning_rate: float = Field(5e-5, gt=0, le=1e30, description="Peak learning rate of the optimizer.")
    epochs: float = Field(3, gt=0, le=1_000_000, description="Passes over the training split.")
    max_steps: Count | None = Field(None, description="Stop after this many optimizer steps, if epochs are not over.")
    max_tokens: int | None = Field(
        None,
        ge=1,
        le=10**15,
        description="Stop with the first optimizer step that brings the tokens trained on (over all processes, special "
        "ones included, padding not) to this number, if epochs are not over.",
    )
    validate_every: Count | None = Field(
        None,
        description="Optimizer steps from one validation to the next; there is one at the end too. Default: once an "
        "epoch.",
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=10_000_000,
        description="Sequences per optimizer step, over all processes. What does not fit into a GPU at once is "
        "accumulated over micro-batches, with the same result.",
    )
    class_weights: Literal["none", "balanced"] | dict[Label, Annotated[float, Field(gt=0, le=HEAVIEST)]] = Field(
        "none",
        description="Weight of a training sequence in the loss, by its class. `balanced`: every class has the same "
        "total weight. Or a weight for some labels, by name or number; the others have weight 1.",
    )
    focal_gamma: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Above 0, a sequence's loss is multiplied by (1 - probability of its label) to this power (focal "
        "loss; 2 is usual), so that easy sequences count less.",
    )
    weight_decay: float = Field(0.01, ge=0, le=1000, description="Weight decay.")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the steps over which the learning rate rises linearly."
    )
    scheduler: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="Learning-rate schedule after warm-up."
    )
    max_gradient_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    best_metric: Text | None = Field(
        None,
        description="Validation metric that picks the model to keep: `loss`, or one of the objective's "
        "(classification: `mcc`, accuracy, macro_f1, macro_precision, macro_recall; regression: `spearman`, pearson, "
        "r2, rmse; causal: `bits_per_base`; masked: `masked_bits_per_base`). Default: the first of these.",
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, le=MOST, description="Stop after this many validations without a better `best_metric`."
    )
    reverse_complement: bool = Field(False, description="Show each training sequence as either strand, at random.")
    overlong: Overlong = Field(
        "window",
        description="Records longer than the model's limit: `window` cuts them into windows and averages the scores, "
        "`truncate` shortens them, `drop` leaves them out, `error` stops. All are counted.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Number format of training; auto: bf16 on a GPU that has it, else fp32."
    )
    engine: Literal["auto", "packed", "padded"] = Field(
        "auto",
        description="How sequences are batched. `packed`: one after another in rows of a fixed size, without padding. "
        "`padded`: similar lengths together, padded to the longest. `auto`: packed where this is shown to give the "
        "same results with the architecture, else padded; run.json says which and why.",
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="Compile the model before training; only packed models on a CUDA GPU are. auto: where the "
        "training is long enough to gain from it.",
    )
    max_train_records: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Train on a random sample of this size, drawn by the run's seed. A learning curve on nested "
        "samples is a data set's `max_train_records`.",
    )
    # The last three keys are options of finetune.py; `exclude` keeps them out of the stage's settings, so that a change
    # re-runs nothing.
    processes: int = Field(
        1,
        ge=1,
        le=10_000,
        exclude=True,
        description="Processes that share a training (torchrun), each with its own GPU. This key and the next two "
        "change only the rounding of a result, so changing them re-runs nothing.",
    )
    gpus: int | None = Field(
        None,
        ge=0,
        le=10_000,
        exclude=True,
        description="GPUs that a training requests from the scheduler. Default: one per process, none with device "
        "`cpu`.",
    )
    sharding: Literal["none", "fsdp", "zero2"] = Field(
        "none",
        exclude=True,
        description="What is divided among the processes. `none`: nothing, each holds the whole model. `fsdp`: "
        "weights, gradients and optimizer state (FSDP2). `zero2`: gradients and optimizer state (DeepSpeed, which has "
        "to be installed).",
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if any(isinstance(label, bool) or not isinstance(label, str | int) for label in value):
                raise ValueError("quote the labels: without quotes YAML reads some, such as no, as another type")
            valid = bool(value) and all(
                isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight <= HEAVIEST
                for weight in value.values()
            )
        else:
            valid = value in ("none", "balanced")
        if not valid:
            raise ValueError(
                f"give none, balanced, or labels with weights above 0 and up to {HEAVIEST:g} (found {value!r})"
            )
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
                f"best_metric: '{self.best_metric}' is no metric of objective {self.objective}; "
                f"use one of {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _weights_of_classes(self) -> "Recipe":
        if self.objective != "classification" and (self.class_weights != "none" or self.focal_gamma):
            key = "focal_gamma" if self.focal_gamma else "class_weights"
            raise ValueError(f"{key}: goes with objective: classification (found {self.objective})")
        return self

    @model_validator(mode="after")
    def _of_language_models(self) -> "Recipe":
        if self.masking is not None and self.objective != "masked":
            raise ValueError(f"masking: goes with objective: masked (found {self.objective})")
        if self.method in ("frozen", "probe") and self.objective in ("causal", "masked"):
            raise ValueError(f"method: {self.method} trains a head for labels; objective {self.objective} has none")
        for key in ("pooling", "layers"):
            if getattr(self, key) != type(self).model_fields[key].default and self.method != "probe":
                raise ValueError(f"{key}: goes with method: probe (found {self.method})")
        return self

    @model_validator(mode="after")
    def _of_probes(self) -> "Recipe":
        fields = type(self).model_fields
        for key, field in fields.items() if self.method == "probe" else ():
            changed = getattr(self, key) != field.default and not field.exclude
            if changed and key not in OF_PROBES:
                raise ValueError(
                    f"{key}: has no effect on a probe, whose keys are {', '.join(sorted(OF_PROBES))}; leave it out"
                )
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
        if self.sharding != "none" and self.optimizer != "adamw":
            raise ValueError(
                f"optimizer: {self.optimizer} needs whole tensors, which sharding: {self.sharding} divides; use adamw, "
                "or sharding: none"
            )
        if self.sharding != "none" and self.processes == 1:
            raise ValueError(
                f"sharding: {self.sharding} divides a model among processes, and there is 1; set processes"
            )
        return self

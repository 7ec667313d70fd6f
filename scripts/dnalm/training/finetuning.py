"""One fine-tuning, from tables and tokens to a finished model: what `finetune.py` runs."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnalm.config.stages.training import FinetuneSettings
from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.names import TRUTH
from dnalm.training.engine.devices import describe, make_repeatable, quiet
from dnalm.training.engine.execution import Execution
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.loop import fine_tune, validate
from dnalm.training.engine.progress import Progress, log_row
from dnalm.training.engine.records import Split
from dnalm.training.engine.windows import cut
from dnalm.training.models.certificate import check_head
from dnalm.training.models.hub import FETCHED
from dnalm.training.models.loading import (
    Loaded,
    build,
    check_vocabulary,
    label_names,
    load,
    save,
    token_limit,
    window_size,
    with_random_weights,
)
from dnalm.training.models.methods import (
    ADAPTER,
    ADAPTING,
    merge,
    prepare,
    quantised_parameters,
    save_adapter,
    trainable_parameters,
)
from dnalm.training.models.tokenizers import load_tokenizer, specials_of
from dnalm.training.objectives import objective_of, objective_of_model


@dataclass(frozen=True)
class Inputs:
    """What a fine-tuning reads: directories of the splits' tables, their tokens, the tokenizer and the checkpoint.

    certificate: the checkpoint's certificate.json, which is only copied into run.json.
    """

    data: Path
    tokens: Path
    tokenizer: Path
    checkpoint: Path | None
    certificate: Path | None = None

    def files(self, method: str | None) -> dict[str, Path | None]:
        """What a training by `method` reads, by role."""
        read = {"tokenizer": self.tokenizer, "checkpoint": self.checkpoint}
        for split in splits_for(method):
            read[split] = self.data / f"{split}.parquet"
            read |= {path.name: path for path in sorted(self.tokens.glob(f"{split}*.npy"))}
        return read


def finetune(
    settings: FinetuneSettings, inputs: Inputs, execution: Execution, directory: Path | None
) -> tuple[Progress, dict[str, Any]]:
    """Write the finished model of a run to `directory`; return its training progress and the facts for its run.json.

    With method `none` the checkpoint is checked, scored on the validation records and kept as it is. With
    initialisation `random` only its architecture is used, so there are no weights to check. directory: None in all
    ranks but the main one.
    """
    quiet()
    make_repeatable()
    recipe, seed, place = settings.recipe, settings.seed, execution.team.device
    trains, random = recipe.method != "none", settings.initialisation == "random"
    if random and not trains:
        raise UserError(
            "recipe.method: none keeps a checkpoint as it is, but initialisation: random discards its weights"
        )
    trust = settings.trust_remote_code
    tokenizer = load_tokenizer(inputs.tokenizer, trust)
    specials = specials_of(tokenizer)
    truth = TRUTH[recipe.objective]
    splits = {name: Split(inputs.data, inputs.tokens, name, truth) for name in splits_for(recipe.method)}
    truths = {name: split.truth for name, split in splits.items() if split.truth is not None}
    objective = objective_of(settings, truths, tokenizer)

    def build_or_load() -> tuple[Any, Loaded | None]:
        if inputs.checkpoint is None:
            return build(settings.architecture or {}, objective.head, specials, len(tokenizer), seed), None
        if random:
            return with_random_weights(inputs.checkpoint, objective.head, specials, seed, trust), None
        loaded = load(inputs.checkpoint, objective.head, specials, seed, trust)
        return loaded.model, loaded

    model, loaded = build_or_load()
    check_vocabulary(model, tokenizer, inputs.tokenizer)
    limit = token_limit(model, tokenizer, settings.max_tokens)
    size = window_size(limit, specials)
    for split in splits.values():
        split.check(objective, model.config)
    if not trains:
        objective = objective_of_model(model, tokenizer)

    validation = splits["validation"]
    validation_windows = cut(validation.tokens.lengths, size, recipe.overlong, validation.ids)
    held_out = Examples(validation.tokens, validation_windows, specials, validation.truth)
    _check_some(held_out, "validation")
    counts = {"validation": validation.counts(validation_windows, specials.unknown)}
    if trains:
        training = splits["train"]
        reverse = training.reverse() if recipe.reverse_complement else None
        lengths = training.tokens.lengths if reverse is None else np.maximum(training.tokens.lengths, reverse.lengths)
        chosen = sample(len(lengths), recipe.max_train_records, seed)
        train_windows = cut(lengths, size, recipe.overlong, training.ids, chosen)
        examples = Examples(training.tokens, train_windows, specials, training.truth, reverse, seed)
        _check_some(examples, "train")
        counts["train"] = training.counts(train_windows, specials.unknown)

    if loaded is not None and inputs.checkpoint is not None and not trains:
        check_head(loaded, objective, inputs.checkpoint)
    if limit is not None:
        tokenizer.model_max_length = limit  # saved with the finished model, which then needs no max_tokens
    facts: dict[str, Any] = {
        "device": describe(place),
        "counts": counts,
        "fetched": _fetched(inputs.checkpoint),
        "certificate": read_json(inputs.certificate) if inputs.certificate else None,
        "initialisation": "pretrained" if loaded else "random",
        "objective": objective.name,
        "labels": label_names(model) if recipe.objective == "classification" else None,
        "max_tokens": limit,
        "parameters": model.num_parameters(),
        "trainable_parameters": 0,
        "engine": None,
        "quantisation": None,
    }
    if not trains:
        model.to(place)
        quality = validate(model, objective, held_out, "validation", execution.team)
        progress = Progress(log=[log_row(0, 0, 0, None, quality, 0.0)])
        if directory:
            save(model, tokenizer, directory)
        return progress, facts

    trainee = prepare(model, recipe.method, recipe.lora, seed, place)
    facts |= {"trainable_parameters": trainable_parameters(trainee), "quantisation": quantised_parameters(trainee)}
    adapts = recipe.method in ADAPTING

    def save_best(folder: Path, weights: dict[str, Any] | None) -> None:
        if adapts:
            save_adapter(trainee, None if random else settings.checkpoint, folder, weights)
        else:
            save(model, tokenizer, folder, weights)

    progress, facts["engine"] = fine_tune(trainee, objective, examples, held_out, recipe, seed, execution, save_best)
    if directory and execution.store and progress.best is not None:
        best = execution.store.best(progress.best)
        shutil.copytree(best, directory / ADAPTER if adapts else directory, dirs_exist_ok=True)
        if adapts:
            if execution.sharding != "none":  # this process holds only a part of the model
                trainee = prepare(build_or_load()[0], recipe.method, recipe.lora, seed, place)
            save(merge(trainee, directory / ADAPTER), tokenizer, directory)
    return progress, facts


def splits_for(method: str | None) -> list[str]:
    """The splits that a method reads: never test, and train only if it trains."""
    return ["validation"] if method == "none" else ["train", "validation"]


def sample(records: int, limit: int | None, seed: int) -> Any:
    """Indices of at most `limit` of `records` records, ascending, drawn without replacement."""
    if limit is None or limit >= records:
        return np.arange(records)
    return np.sort(np.random.default_rng(seed).choice(records, size=limit, replace=False))


def _fetched(checkpoint: Path | None) -> Any:
    """The hub commit of a checkpoint; None if it was not fetched from the hub."""
    path = checkpoint and checkpoint / FETCHED
    return read_json(path) if path and path.is_file() else None


def _check_some(examples: Examples, split: str) -> None:
    if not len(examples):
        raise UserError(
            f"recipe.overlong: all {split} records are longer than {examples.windows.size} tokens, so none is left"
        )

"""One fine-tuning from tables and tokens to a finished model: what `finetune.py` runs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.files import read_json, read_table
from dnalm.training.batches import Examples
from dnalm.training.devices import choose_device, describe, make_repeatable, quiet
from dnalm.training.engine import Outcome, Recipe, fine_tune, log_row, sample, validate
from dnalm.training.gate import check_weights
from dnalm.training.hub import FETCHED
from dnalm.training.methods import ADAPTER, merge, prepare, save_adapter, trainable_parameters
from dnalm.training.models import build, check_vocabulary, label_names, load, save, token_limit, window_size
from dnalm.training.tokens import Tokens, read_tokens
from dnalm.training.vocabulary import load_tokenizer, specials_of
from dnalm.training.windows import Windows, cut


def finetune(
    spec: dict[str, Any],
    data: Path,
    tokens: Path,
    tokenizer_directory: Path,
    checkpoint: Path | None,
    device: str,
    directory: Path,
) -> tuple[Outcome, dict[str, Any]]:
    """Make the finished model of a run in `directory`; return its log and what its run.json shall say.

    spec: recipe, seed, architecture, max_tokens, labels. data, tokens: directories with a file for each split; of
    these `test` is never opened, and `train` only to train. With method `none` the checkpoint is checked, scored on
    the validation records and kept as it is.
    """
    quiet()
    make_repeatable()
    recipe, seed, place = Recipe(**spec["recipe"]), spec["seed"], choose_device(device)
    trains = recipe.method != "none"
    tokenizer = load_tokenizer(tokenizer_directory)
    specials = specials_of(tokenizer)
    splits = {name: _Split(data, tokens, name) for name in (["train"] if trains else []) + ["validation"]}
    names = {int(label): name for label, name in (spec["labels"] or {}).items()} or None
    if names is None and trains:
        classes = max(2, *(int(split.labels.max()) + 1 for split in splits.values()))
        names = {label: str(label) for label in range(classes)}

    loaded = None
    if checkpoint is None:
        model = build(spec["architecture"], names or {}, specials, len(tokenizer), seed)
    else:
        loaded = load(checkpoint, names, specials, seed)
        model = loaded.model
    check_vocabulary(model, tokenizer, tokenizer_directory)
    limit = token_limit(model, tokenizer, spec["max_tokens"])
    size = window_size(limit, specials)
    for split in splits.values():
        split.check_labels(model.config.num_labels)

    validation = splits["validation"]
    validation_windows = cut(validation.tokens.lengths, size, recipe.overlong, validation.ids)
    held_out = Examples(validation.tokens, validation_windows, specials, validation.labels)
    _check_some(held_out, "validation")
    counts = {"validation": validation.counts(validation_windows, specials.unknown)}
    if trains:
        training = splits["train"]
        reverse = training.reverse(tokens) if recipe.reverse_complement else None
        lengths = training.tokens.lengths if reverse is None else np.maximum(training.tokens.lengths, reverse.lengths)
        chosen = sample(len(lengths), recipe.max_train_records, seed)
        train_windows = cut(lengths, size, recipe.overlong, training.ids, chosen)
        examples = Examples(training.tokens, train_windows, specials, training.labels, reverse, seed)
        _check_some(examples, "train")
        counts["train"] = training.counts(train_windows, specials.unknown)

    gate = None
    if loaded is not None and checkpoint is not None:
        probes = examples if trains else held_out
        gate = check_weights(loaded, checkpoint, names, probes, seed, trained_head=not trains)
    if limit is not None:
        tokenizer.model_max_length = limit  # a finished model carries its limit wherever it goes
    parameters, trained = model.num_parameters(), 0
    if trains:
        trainee = prepare(model, recipe.method, recipe.lora, seed)
        trained = trainable_parameters(trainee)
        adapter = directory / ADAPTER if recipe.method == "lora" else None
        outcome = fine_tune(
            trainee,
            examples,
            held_out,
            recipe,
            seed,
            place,
            scratch=directory,
            keep=lambda: (
                save_adapter(trainee, spec["checkpoint"], adapter) if adapter else save(model, tokenizer, directory)
            ),
        )
        if adapter:  # merged only now, so that keeping an epoch changes nothing of the next
            model = merge(trainee, adapter)
            save(model, tokenizer, directory)
    else:
        model.to(place)
        outcome = Outcome([log_row(0, 0, None, validate(model, held_out, "validation"), 0.0)])
        save(model, tokenizer, directory)
    facts = {
        "device": describe(place),
        "counts": counts,
        "fetched": _fetched(checkpoint),
        "gate": gate,
        "labels": label_names(model),
        "max_tokens": limit,
        "parameters": parameters,
        "trainable_parameters": trained,
    }
    return outcome, facts


def _fetched(checkpoint: Path | None) -> Any:
    """Which commit of the hub a checkpoint is; None if it was not fetched from there."""
    path = checkpoint and checkpoint / FETCHED
    return read_json(path) if path and path.is_file() else None


class _Split:
    """The ids, labels and tokens of one split."""

    def __init__(self, data: Path, tokens: Path, name: str) -> None:
        self.path = data / f"{name}.parquet"
        table = read_table(self.path, columns=["id", "label"])
        self.ids: list[str] = table["id"].tolist()
        self.labels: NDArray[np.int64] = table["label"].to_numpy(np.int64)
        self.tokens: Tokens = read_tokens(tokens, name)
        if not len(table):
            raise UserError(f"{self.path}: holds no records")
        self._check_number(self.tokens, tokens)

    def reverse(self, tokens: Path) -> Tokens:
        """Tokens of the reverse complements."""
        found = read_tokens(tokens, "train_reverse")
        self._check_number(found, tokens)
        return found

    def _check_number(self, found: Tokens, place: Path) -> None:
        if len(found) != len(self.ids):
            raise UserError(f"{place}: holds tokens of {len(found)} records, {self.path} has {len(self.ids)}")

    def check_labels(self, classes: int) -> None:
        """Refuse labels that the model has no class for."""
        wrong = (self.labels < 0) | (self.labels >= classes)
        if wrong.any():
            first = int(wrong.argmax())
            raise UserError(
                f"{self.path}: record '{self.ids[first]}' has label {self.labels[first]} and the model {classes} classes"
            )

    def counts(self, windows: Windows, unknown: int | None) -> dict[str, int]:
        """What run.json says of the split: its windows, and its tokens that are unknown."""
        missed = 0 if unknown is None else int(np.count_nonzero(self.tokens.ids == unknown))
        return {**windows.counts(), "unknown_tokens": missed}


def _check_some(examples: Examples, split: str) -> None:
    if not len(examples):
        raise UserError(
            f"recipe.overlong: all {split} records are longer than {examples.windows.size} tokens, so none is left"
        )

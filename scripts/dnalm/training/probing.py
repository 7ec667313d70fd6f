"""Probes: regularised linear models on frozen embeddings, with layer, pooling and penalty chosen on validation."""

import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from dnalm.config.recipes import Pooling
from dnalm.config.stages.training import FinetuneSettings
from dnalm.errors import UserError
from dnalm.files import read_json, read_table
from dnalm.names import SMALLER_IS_BETTER, TRUTH
from dnalm.training.embedding import Embedder
from dnalm.training.embedding_files import Vectors, read_vectors
from dnalm.training.engine.devices import make_repeatable, quiet
from dnalm.training.engine.feeds import Examples
from dnalm.training.finetuning import sample
from dnalm.training.models.bodies import Body, open_body
from dnalm.training.models.loading import label_names, save, token_limit
from dnalm.training.models.tokenizers import Specials, load_tokenizer, specials_of
from dnalm.training.objectives import objective_of
from dnalm.training.objectives.base import Objective, Scoring
from dnalm.training.objectives.classification import Classification, example_weights
from dnalm.training.objectives.regression import Regression

PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""Penalties tried, from strong to weak: a fit minimises the mean loss + penalty / 2 * (sum of squared coefficients)."""

STEPS = 500
"""Iterations of a fit, at most; run.json and the log say which fits stopped there."""

WIDEST = 2048
"""Coefficients up to which a fit is by Newton's method, whose steps are few and need a matrix of their square."""

PROBE, WEIGHTS = "probe.json", "probe.safetensors"
"""Files of a probe in a model's directory, beside those of its body and tokenizer."""


@dataclass(frozen=True)
class Probe:
    """A linear model of standardised vectors: logits are (vector - mean) / scale @ weight.T + bias.

    layer: by its number, layers: how many the body has; mean, scale: (hidden,); weight: (outputs, hidden); bias:
    (outputs,); all float64.
    """

    layer: int
    layers: int
    pooling: Pooling
    penalty: float
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, vectors: NDArray[Any]) -> NDArray[np.float64]:
        """Logits (n, outputs) of vectors (n, hidden)."""
        found: NDArray[np.float64] = (vectors - self.mean) / self.scale @ self.weight.T + self.bias
        return found

    def score(self, body: Body, objective: Objective, examples: Examples, what: str = "") -> NDArray[np.float64]:
        """The objective's scores of the records that have a window, (kept, columns); body: of the finished model."""
        embedder = Embedder(body, self.layers, [self.layer], [self.pooling], packed=False)
        logits = np.concatenate([self.logits(chunk[:, 0, 0]) for chunk in embedder.vectors(examples, what)])
        return scores_of(objective, logits[examples.windows.kept])

    def save(self, directory: Path) -> None:
        """Write `PROBE` and `WEIGHTS`."""
        named = {"layer": self.layer, "layers": self.layers, "pooling": self.pooling, "penalty": self.penalty}
        (directory / PROBE).write_text(json.dumps(named, indent=2, sort_keys=True) + "\n")
        tensors = {name: getattr(self, name) for name in ("mean", "scale", "weight", "bias")}
        save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, directory / WEIGHTS)
        shutil.copymode(directory / PROBE, directory / WEIGHTS)  # safetensors creates private files

    @classmethod
    def read(cls, directory: Path) -> "Probe":
        """Read what `save` wrote; a damaged file is a `UserError`."""
        try:
            parts: dict[str, Any] = {**read_json(directory / PROBE), **load_file(directory / WEIGHTS)}
            return cls(**parts)
        except (OSError, TypeError, SafetensorError) as error:
            raise UserError(f"{directory}: not a finished probe ({error})") from error


def open_probed(directory: Path, specials: Specials, trust: bool = False) -> Body:
    """The body of a finished probe, in fp32; its config has the labels."""
    return open_body(directory, None, False, specials, 0, 0, trust)


@dataclass(frozen=True)
class Fold:
    """The records of a split that a probe reads: places in the stored vectors (n,), and their truth (n,)."""

    vectors: Vectors
    places: NDArray[np.int64]
    truth: NDArray[Any]

    def column(self, layer: int, pooling: str) -> NDArray[np.float64]:
        """Vectors of a layer and pooling, (n, hidden)."""
        return self.vectors.column(layer, pooling)[self.places].astype(np.float64)


def train_probe(
    settings: FinetuneSettings,
    data: Path,
    stored: Path,
    tokenizer: Path,
    checkpoint: Path | None,
    directory: Path,
) -> tuple[list[dict[str, Any]], int, dict[str, Any]]:
    """Write the finished model of a probe to `directory`; return its log, the row that was kept, and facts.

    data: folder of the splits' tables; stored: of their vectors. Nothing is random but the sample of
    `max_train_records`, and the weights of a body without pre-training.
    """
    quiet()
    make_repeatable()
    recipe, random = settings.recipe, settings.initialisation == "random"
    truth = TRUTH[recipe.objective]
    folds = {split: _fold(data, stored, split, truth) for split in ("train", "validation")}
    chosen = sample(len(folds["train"].places), recipe.max_train_records, settings.seed)
    training = Fold(folds["train"].vectors, folds["train"].places[chosen], folds["train"].truth[chosen])
    folds["train"] = training
    loaded = load_tokenizer(tokenizer, settings.trust_remote_code)
    specials = specials_of(loaded)
    objective = objective_of(settings, {name: fold.truth for name, fold in folds.items()}, loaded)
    body = open_body(
        checkpoint,
        settings.architecture,
        random,
        specials,
        len(loaded),
        settings.seed,
        settings.trust_remote_code,
        objective.head.settings,
    )
    outputs = 1 if recipe.objective == "regression" else objective.columns(body.config)
    for split, fold in folds.items():
        if (found := objective.misfit(fold.truth, body.config)) is not None:
            raise UserError(f"{data / split}.parquet: record {found[0] + 1} {found[1]}")
    layers, poolings = training.vectors.chosen(recipe.layers, recipe.pooling)
    metric, count = recipe.chosen_by, training.vectors.facts["layers_of_model"]
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    log: list[dict[str, Any]] = []
    best, kept = None, 0
    settings_tried = [(layer, pooling) for layer in layers for pooling in poolings]
    for layer, pooling in tqdm(settings_tried, desc="probes", unit=" layer", file=sys.stderr, mininterval=1):
        for probe, row in _fits(objective, training, folds["validation"], layer, count, pooling, outputs):
            log.append({"setting": len(log) + 1, **row})
            if best is None or sign * row[metric] > sign * log[kept][metric]:
                best, kept = probe, len(log) - 1
    if best is None:
        raise AssertionError("no setting was tried")
    limit = token_limit(body.body, loaded, settings.max_tokens)
    if limit is not None:
        loaded.model_max_length = limit
    save(body.body, loaded, directory)
    best.save(directory)
    record = {name: fold.vectors.facts for name, fold in folds.items()}
    return (
        log,
        kept,
        {
            "device": record["train"]["device"],
            "counts": {name: {**facts["counts"], "used": len(folds[name].truth)} for name, facts in record.items()},
            "embedded_in": record["train"]["precision"],
            "initialisation": settings.initialisation,
            "objective": objective.name,
            "labels": label_names(body) if recipe.objective == "classification" else None,
            "max_tokens": limit,
            "parameters": sum(weights.numel() for weights in body.parameters()) + best.weight.size + best.bias.size,
            "trainable_parameters": int(best.weight.size + best.bias.size),
            "engine": None,
            "quantisation": None,
        },
    )


def _fold(data: Path, stored: Path, split: str, truth: str) -> Fold:
    path = data / f"{split}.parquet"
    table = read_table(path, columns=[truth])[truth].to_numpy(np.int64 if truth == "label" else np.float64)
    vectors = read_vectors(stored / split)
    if len(table) != len(vectors.values):
        raise UserError(
            f"{path}: has {len(table)} records, and {stored / split}.npy {len(vectors.values)}; embed again"
        )
    places = np.flatnonzero(vectors.kept())
    if not len(places):
        raise UserError(f"{path}: no record has vectors; all are longer than the model's limit (recipe.overlong: drop)")
    return Fold(vectors, places, table[places])


def _fits(
    objective: Objective,
    training: Fold,
    validation: Fold,
    layer: int,
    layers: int,
    pooling: Pooling,
    outputs: int,
) -> Iterator[tuple[Probe, dict[str, Any]]]:
    """A probe for each penalty, and its row of the log."""
    values = training.column(layer, pooling)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale < 1e-12 * np.maximum(np.abs(mean), 1.0)] = 1.0  # a constant tells nothing
    values -= mean
    values /= scale
    held_out = validation.column(layer, pooling)
    for penalty, weight, bias, converged in fits(objective, values, training.truth, outputs):
        probe = Probe(layer, layers, pooling, penalty, mean, scale, weight, bias)
        fitted = scores_of(objective, values @ weight.T + bias)
        loss = objective.quality(fitted, training.truth)["loss"]
        quality = objective.quality(scores_of(objective, probe.logits(held_out)), validation.truth)
        yield (
            probe,
            {
                "layer": layer,
                "pooling": pooling,
                "penalty": penalty,
                "converged": converged,
                "training_loss": loss,
                "validation_loss": quality["loss"],
                **{name: quality[name] for name in objective.metrics},
            },
        )


def fits(
    objective: Objective, values: NDArray[np.float64], truth: NDArray[Any], outputs: int
) -> Iterator[tuple[float, NDArray[np.float64], NDArray[np.float64], bool]]:
    """Linear models of standardised vectors (n, hidden): (penalty, weight, bias, converged) for each of `PENALTIES`.

    Classification: L2-regularised multinomial logistic regression, where each fit begins at the last one; regression:
    ridge on standardised targets. weight: (outputs, hidden), bias: (outputs,). The bias is not penalised.
    """
    if isinstance(objective, Regression):
        from sklearn.linear_model import Ridge

        targets = (truth - (objective.mean or 0.0)) / (objective.scale or 1.0)
        for penalty in PENALTIES:
            ridge = Ridge(alpha=penalty * len(values), solver="cholesky").fit(values, targets)
            yield penalty, ridge.coef_.reshape(1, -1), np.array([float(ridge.intercept_)]), True
        return
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not isinstance(objective, Classification):
        raise UserError(f"recipe.method: probe has no objective {objective.name}")
    present = np.unique(truth)
    if len(present) < 2:
        raise UserError("recipe.method: probe needs training records of two classes or more")
    weights = example_weights(truth, objective.class_weights)
    weights = weights / weights.mean()
    size = values.shape[1] * (1 if len(present) == 2 else len(present))
    solver = "newton-cholesky" if size <= WIDEST else "lbfgs"
    model = LogisticRegression(max_iter=STEPS, tol=1e-5, warm_start=True, solver=solver)
    for penalty in PENALTIES:
        model.C = 1 / (penalty * len(values))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(values, truth, sample_weight=weights)
        weight, bias = np.zeros((outputs, values.shape[1])), np.full(outputs, -np.inf)
        if len(present) == 2:  # scikit-learn has one logit then: that of the second class
            weight[present[1]], bias[present[0]], bias[present[1]] = model.coef_[0], 0.0, model.intercept_[0]
        else:
            weight[present], bias[present] = model.coef_, model.intercept_
        yield penalty, weight, bias, int(model.n_iter_.max()) < STEPS


def scores_of(objective: Objective, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """An objective's scores (n, columns) of logits (n, outputs)."""
    scores: NDArray[np.float64] = cast("Scoring", objective).scores(torch.from_numpy(logits)).numpy()
    return scores


def is_probe(directory: Path) -> bool:
    """Whether a finished model is a probe."""
    return (directory / PROBE).is_file()

"""What pages show of a data set, by objective: metrics, and texts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnalm.evaluation.report.text import MISSING, between, decimal, percent, significant, spanned
from dnalm.names import BITS_PER_BASE, METRICS, SMALLER_IS_BETTER


@dataclass(frozen=True)
class Metric:
    """A metric: `name` in files, `title` above a column, `prose` in a sentence, `hub` on the Hugging Face hub.

    has_unit: whether it is in the unit of the targets, so that it is written with significant digits.
    """

    name: str
    title: str
    prose: str
    hub: str = ""
    has_unit: bool = False

    def text(self, value: float | None) -> str:
        """A value for reading; a dash for None."""
        if value is None:
            return MISSING
        return significant(value) if self.has_unit else decimal(value)

    def between(self, low: float, high: float) -> str:
        """Two bounds as a range."""
        return spanned(low, high) if self.has_unit else between(low, high)

    @property
    def sign(self) -> int:
        """1 if larger values are better, else -1."""
        return -1 if self.name in SMALLER_IS_BETTER else 1

    def best(self, values: Sequence[float]) -> str | None:
        """The best of some values as text, so that values with the same text tie; None without values."""
        if not values:
            return None
        return self.text((min if self.name in SMALLER_IS_BETTER else max)(values))


@dataclass(frozen=True)
class Description:
    """How pages describe one objective.

    metrics: columns of the leaderboard, the primary metric first; more: further metrics of a model card. beside: the
    metric that a verdict names after the primary one. rules: what each baseline does, for use in a sentence. trivial:
    from a metrics.json, the start of a sentence on the score of a constant answer, up to "the n test records". task:
    what a model does, for the hub; tags: further tags for the hub; pipeline: the hub's name for that. collapse: what it
    means that a run collapsed, in a sentence and in a note. better, worse: what a model does that is better or worse
    than a rule.
    """

    objective: str
    metrics: Sequence[Metric]
    beside: str
    rules: Mapping[str, str]
    trivial: Callable[[Mapping[str, Any]], str]
    task: str
    more: Sequence[Metric] = ()
    tags: Sequence[str] = ()
    pipeline: str = "text-classification"
    collapse: tuple[str, str] = ("every test record gets the same label", "one class only")
    better: str = "beats"
    worse: str = "does worse than"

    @property
    def primary(self) -> Metric:
        """The metric by which runs are ranked and compared."""
        return self.metrics[0]

    def metric(self, name: str) -> Metric:
        """A metric by its name in files; also `loss`."""
        return next(metric for metric in (*self.metrics, *self.more, _LOSS) if metric.name == name)


def _commonest(metrics: Mapping[str, Any]) -> str:
    share = percent(max(metrics["n_per_class"].values()), metrics["n"])
    return f"Always answering the commonest label would be right for {share} of"


def _mean(metrics: Mapping[str, Any]) -> str:
    deviation = metrics["rmse"] / math.sqrt(1 - metrics["r2"]) if metrics["r2"] < 1 else 0.0
    return f"Always answering their mean would have an RMSE of {significant(deviation)} on"


_LOSS = Metric("loss", "Loss", "loss")
_RULES = {
    "length_gc": "length and GC alone",
    "boosting": "gradient boosting on k-mers",
    "periodicity": "one periodicity number",
}


def _uniform(metrics: Mapping[str, Any]) -> str:
    return f"A uniform guess costs 2 bits for each of the {metrics['bases']:,} scored bases of"


def _language_model(objective: str, prefix: str, task: str, pipeline: str) -> Description:
    names = BITS_PER_BASE[:3] if objective == "causal" else BITS_PER_BASE[3:]
    title = f"Bits per {prefix}base"
    titles = (title, "Soft-masked bases", "Other bases")
    proses = (f"bits per {prefix}base", "bits per soft-masked base", "bits per base that is not soft-masked")
    return Description(
        objective=objective,
        metrics=[Metric(*one, hub=one[0]) for one in zip(names, titles, proses, strict=True)],
        beside=names[1],
        rules={
            "uniform": "a uniform guess",
            "markov": "the best Markov chain",
            "mixture": "the mixture of finite-context models",
        },
        trivial=_uniform,
        task=task,
        tags=("language-model",),
        pipeline=pipeline,
        collapse=("it costs 2 bits a base or more, no less than a uniform guess", "2 bits or more"),
        better="has learnt more than",
        worse="has learnt less than",
    )


DESCRIPTIONS = {
    "classification": Description(
        objective="classification",
        metrics=(
            Metric("mcc", "MCC", "MCC", "matthews_correlation"),
            Metric("accuracy", "Accuracy", "accuracy", "accuracy"),
            Metric("macro_f1", "Macro F1", "macro F1", "f1"),
            Metric("macro_precision", "Macro precision", "macro precision", "precision"),
            Metric("macro_recall", "Macro recall", "macro recall", "recall"),
            Metric("auroc", "AUROC", "AUROC", "roc_auc"),
            Metric("auprc", "AUPRC", "AUPRC", "average_precision"),
        ),
        beside="accuracy",
        rules=_RULES
        | {
            "majority": "always answering the commonest label",
            "kmer": "a k-mer logistic regression",
            "cnn": "a small convolutional network",
            "trf": "Tandem Repeats Finder",
        },
        trivial=_commonest,
        task="DNA sequence classification",
        more=(
            Metric("log_loss", "Log loss", "log loss"),
            Metric("brier", "Brier score", "Brier score"),
            Metric("ece", "Calibration error", "calibration error"),
        ),
    ),
    "regression": Description(
        objective="regression",
        metrics=(
            Metric("spearman", "Spearman", "Spearman correlation", "spearmanr"),
            Metric("pearson", "Pearson", "Pearson correlation", "pearsonr"),
            Metric("r2", "R²", "R²", "r_squared"),
            Metric("rmse", "RMSE", "RMSE", "rmse", has_unit=True),
        ),
        beside="rmse",
        rules=_RULES | {"mean": "always answering the mean", "kmer": "a k-mer ridge regression"},
        trivial=_mean,
        task="DNA sequence regression",
        tags=("regression",),
    ),
    "causal": _language_model("causal", "", "DNA language modelling", "text-generation"),
    "masked": _language_model("masked", "masked ", "masked DNA language modelling", "fill-mask"),
}
"""By objective."""

if any(one.primary.name != METRICS[objective][0] for objective, one in DESCRIPTIONS.items()):
    raise AssertionError("runs are ranked by another metric than epochs are chosen by")

"""The metrics that a report lists; separate from their computation, which needs scikit-learn."""

from dnalm.names import BITS_PER_BASE

METRICS = {
    "classification": (
        "accuracy",
        "mcc",
        "macro_f1",
        "macro_precision",
        "macro_recall",
        "auroc",
        "auprc",
        "log_loss",
        "brier",
        "ece",
    ),
    "regression": ("spearman", "pearson", "r2", "rmse"),
    "causal": BITS_PER_BASE[:3],
    "masked": BITS_PER_BASE[3:],
}
"""Metrics by objective, in the order of tables."""

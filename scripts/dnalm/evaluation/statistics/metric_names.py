"""The metrics that a report lists; separate from their computation, which needs scikit-learn."""

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
}
"""Metrics by objective, in the order of tables."""

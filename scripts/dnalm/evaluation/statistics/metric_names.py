"""The metrics that a report lists; apart from their computation, so that pages need no scikit-learn."""

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
"""The numbers that compare runs of each objective, in the order of tables."""

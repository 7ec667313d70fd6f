"""The metrics that a report lists; apart from their computation, so that pages need no scikit-learn."""

METRICS = (
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
)
"""The numbers that compare runs, in the order of tables."""

"""What the tests of re-running share: documented rows, and what no plan may hold."""

import re

from conftest import ROOT

EMBEDDED = {"select_embeddings", "map_embeddings"}
TRAINING = {"train_tokenizer", "tokenize", "tokenize_corpus", "finetune", "predict_splits"}
ALL_RUNS = {"summarize", "report"}
OF_ALL_MODELS = {"audit", "audit_corpus", "gate", "fetch_model", *EMBEDDED}
OF_PLANS = {"plan", "look", "compare", "model_card"}


def documented():
    """The rows of docs/rerun-matrix.md: key -> [(change, rules)]."""
    rows = {}
    for line in (ROOT / "docs/rerun-matrix.md").read_text().splitlines():
        if match := re.fullmatch(r"\| `(.+?)` \| (.+) \| (.+?) \|", line):
            rows.setdefault(match[1], []).append((match[2], match[3]))
    return rows


def strays(key, entry, plan):
    """Jobs of a plan that a change to `key` of `entry` has no business with."""
    for job in plan:
        own, rule = job.wildcards, job.rule
        recipe = own.get("recipe") or own.get("run", "//").split("/")[1]
        model = own.get("model") or own.get("run", "//").split("/")[0]
        beside = rule in ALL_RUNS | OF_PLANS
        if (
            (key.startswith("datasets.") and not f"{own.get('dataset', entry)}.".startswith(f"{entry}."))
            or (key.startswith("recipes.") and not beside and rule != "tokenize" and recipe != entry)
            or (key.startswith("recipes.") and rule == "tokenize" and own["table"] != "train_reverse")
            or (key.startswith("models.") and not beside and rule not in OF_ALL_MODELS and model != entry)
            or (key.startswith("evaluation.") and rule not in ALL_RUNS | OF_PLANS | {"evaluate"})
            or (".audit." in key and rule in TRAINING)
        ):  # fmt: skip
            yield job

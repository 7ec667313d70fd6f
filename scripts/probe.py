"""Train a probe: a regularised linear model on stored embeddings, chosen on the validation records.

The finished model is the frozen body with its tokenizer and the probe; the log has a row for each setting tried.
"""

import sys
import time
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import FinetuneSettings
from dnalm.errors import UserError
from dnalm.files import atomic_directory, read_json, sha256, write_json, write_tsv
from dnalm.provenance import record


def run() -> None:
    """Read the command line, train, write."""
    options = parser(__doc__, FinetuneSettings)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="directory of the splits' tables")
    options.add_argument("--vectors", type=Path, required=True, metavar="DIR", help="directory of their embeddings")
    options.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="the tokenizer")
    options.add_argument("--checkpoint", type=Path, metavar="DIR", help="the checkpoint; not with an architecture")
    options.add_argument(
        "--certificate", type=Path, metavar="JSON", help="certificate of the checkpoint, from certify.py"
    )
    options.add_argument("--model", type=Path, required=True, metavar="DIR", help="directory of the finished model")
    options.add_argument("--training-log", type=Path, required=True, metavar="TSV", help="one row a setting tried")
    options.add_argument("--record", type=Path, required=True, metavar="JSON", help="run.json: how the model was made")
    args = options.parse_args()
    settings: FinetuneSettings = args.settings
    if (args.checkpoint is None) == (settings.architecture is None):
        raise UserError("--checkpoint: needed if the settings have no architecture, and not allowed if they have one")

    started = time.perf_counter()
    import pandas as pd

    from dnalm.training.models.hub import FETCHED
    from dnalm.training.probing import train_probe

    with atomic_directory(args.model) as directory:
        log, kept, facts = train_probe(settings, args.data, args.vectors, args.tokenizer, args.checkpoint, directory)
        files = {str(p.relative_to(directory)): sha256(p) for p in sorted(directory.rglob("*")) if p.is_file()}
        write_tsv(args.training_log, pd.DataFrame(log), float_format="%.6g")
        fetched = args.checkpoint and args.checkpoint / FETCHED
        facts |= {
            "seconds": round(time.perf_counter() - started, 3),
            "best_setting": log[kept]["setting"],
            "chosen": {name: log[kept][name] for name in ("layer", "pooling", "penalty")},
            "not_converged": sum(not row["converged"] for row in log),
            "certificate": read_json(args.certificate) if args.certificate else None,
            "fetched": read_json(fetched) if fetched and fetched.is_file() else None,
        }
        write_json(args.record, record(settings.model_dump(mode="json"), **facts, files=files))
    chosen = ", ".join(f"{name} {value}" for name, value in facts["chosen"].items())
    print(f"chosen of {len(log)}: {chosen}", file=sys.stderr)


if __name__ == "__main__":
    main(run)

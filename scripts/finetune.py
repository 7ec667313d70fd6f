"""Fine-tune a model on the training split, or check and keep it as it is (method: none).

Settings: {"recipe", "seed", "architecture" or null, "checkpoint": its name or null, "max_tokens" or null,
"labels": {"0": name, ...} or null}. The finished model is a directory that `from_pretrained` reads.
"""

import sys
import time
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.errors import UserError
from dnalm.files import atomic_directory, sha256, write_json, write_tsv
from dnalm.provenance import record


def run() -> None:
    """Read the command line, train, save."""
    started = time.perf_counter()
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="directory of the splits' tables")
    options.add_argument("--tokens", type=Path, required=True, metavar="DIR", help="directory of their tokens")
    options.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="the tokenizer")
    options.add_argument("--checkpoint", type=Path, metavar="DIR", help="the checkpoint; none for an architecture")
    options.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    options.add_argument("--model", type=Path, required=True, metavar="DIR", help="directory of the finished model")
    options.add_argument("--log", type=Path, required=True, metavar="TSV", help="one row an epoch")
    options.add_argument("--run", type=Path, required=True, metavar="JSON", help="how the model came to be")
    args = options.parse_args()
    if (args.checkpoint is None) == (args.spec["architecture"] is None):
        raise UserError("--checkpoint: goes with settings that have no architecture, and only with them")

    import pandas as pd

    from dnalm.training.finetuning import finetune

    with atomic_directory(args.model) as directory:
        outcome, facts = finetune(
            args.spec, args.data, args.tokens, args.tokenizer, args.checkpoint, args.device, directory
        )
        files = {str(p.relative_to(directory)): sha256(p) for p in sorted(directory.rglob("*")) if p.is_file()}
        write_tsv(args.log, pd.DataFrame(outcome.log), float_format="%.6g")
        work = {
            "seconds": round(time.perf_counter() - started, 3),
            "epochs": outcome.log[-1]["epoch"],
            "best_epoch": outcome.best_epoch,
            "steps": outcome.steps,
            "training_seconds": round(outcome.seconds, 3),
            "sequences_per_second": round(outcome.sequences / outcome.seconds, 3) if outcome.seconds else None,
        }
        write_json(args.run, record(args.spec, **work, **facts, files=files))
    print(f"best epoch {outcome.best_epoch:g} of {outcome.log[-1]['epoch']:g}", file=sys.stderr)


if __name__ == "__main__":
    main(run)

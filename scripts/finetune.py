"""Fine-tune a model on the training split, or check and keep it as it is (method: none).

The finished model is a directory for `from_pretrained`. A training that was stopped resumes from its last checkpoint
when the same command is run again.
"""

import argparse
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dnalm.cli import main, parser
from dnalm.config.stages.training import FinetuneSettings
from dnalm.errors import UserError
from dnalm.files import atomic_directory, sha256, write_json, write_tsv
from dnalm.meaning import code_hashes
from dnalm.provenance import record


def run() -> None:
    """Read the command line; train in this process, or launch several that do."""
    options = parser(__doc__, FinetuneSettings)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="directory of the splits' tables")
    options.add_argument("--tokens", type=Path, required=True, metavar="DIR", help="directory of their tokens")
    options.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="the tokenizer")
    options.add_argument("--checkpoint", type=Path, metavar="DIR", help="the checkpoint; not with an architecture")
    options.add_argument(
        "--certificate", type=Path, metavar="JSON", help="certificate of the checkpoint, from certify.py"
    )
    options.add_argument("--model", type=Path, required=True, metavar="DIR", help="directory of the finished model")
    options.add_argument("--training-log", type=Path, required=True, metavar="TSV", help="one row a validation")
    options.add_argument("--record", type=Path, required=True, metavar="JSON", help="run.json: how the model was made")
    options.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    options.add_argument(
        "--scratch", type=Path, default=Path(".scratch"), metavar="DIR", help="checkpoints of unfinished trainings"
    )
    options.add_argument("--minutes", type=float, default=5, help="between two checkpoints within an epoch")
    options.add_argument(
        "--processes", type=int, default=1, help="processes that share the training, each with its own GPU"
    )
    options.add_argument("--sharding", default="none", help="how the processes divide the model: none, fsdp or zero2")
    options.add_argument("--report-to", nargs="*", default=[], metavar="TRACKER", help="tensorboard, wandb")
    options.add_argument(
        "--events", type=Path, default=Path("logs/tensorboard"), metavar="DIR", help="where the trackers write"
    )
    args = options.parse_args()
    if (args.checkpoint is None) == (args.settings.architecture is None):
        raise UserError("--checkpoint: needed if the settings have no architecture, and not allowed if they have one")

    from dnalm.training.runtime.launch import is_worker, launch, reported
    from dnalm.training.runtime.lease import lease

    with lease(0 if args.device in ("cpu", "mps") else args.processes):
        if args.processes > 1 and not is_worker():
            without_spec = argparse.ArgumentParser(add_help=False)
            without_spec.add_argument("--spec")
            others = without_spec.parse_known_args()[1]
            launch(Path(__file__), others, args.settings.model_dump_json(), args.processes)
        else:
            with reported():
                train(args)


def train(args: argparse.Namespace) -> None:
    """Train, save the model, and write run.json; of several processes only the main one writes."""
    started = time.perf_counter()
    from dnalm.training.engine.execution import Execution
    from dnalm.training.finetuning import Inputs, finetune
    from dnalm.training.runtime.checkpoints import Checkpoints, read
    from dnalm.training.runtime.energy import joules
    from dnalm.training.runtime.scratch import Scratch, key_of
    from dnalm.training.runtime.signals import Stop
    from dnalm.training.runtime.team import join_team
    from dnalm.training.runtime.trackers import Trackers

    settings: FinetuneSettings = args.settings
    inputs = Inputs(args.data, args.tokens, args.tokenizer, args.checkpoint, args.certificate)
    with ExitStack() as stack:
        team = stack.enter_context(join_team(args.device))
        options: dict[str, Any] = {"team": team, "minutes": args.minutes, "sharding": args.sharding, "read": read}
        options |= {"stop": Stop, "energy": joules}
        if not team.main:
            finetune(settings, inputs, Execution(**options), None)
            return
        spec = settings.model_dump(mode="json")
        key = key_of(spec, code_hashes(Path(__file__)), inputs.files(settings.recipe.method))
        scratch = stack.enter_context(Scratch(args.scratch, key, owner=os.path.relpath(args.model, args.scratch)))
        checkpoints = stack.enter_context(Checkpoints(scratch.folder))
        report = stack.enter_context(Trackers(args.report_to, str(args.model.parent), args.events))
        execution = Execution(store=checkpoints, report=report, **options)
        with atomic_directory(args.model) as directory:
            progress, facts = finetune(settings, inputs, execution, directory)
            write(args, started, progress, facts, directory)
        checkpoints.wait()
        scratch.remove()


def write(args: argparse.Namespace, started: float, progress: Any, facts: dict[str, Any], directory: Path) -> None:
    """Write the training log and run.json of the finished model in `directory`."""
    import pandas as pd

    files = {str(p.relative_to(directory)): sha256(p) for p in sorted(directory.rglob("*")) if p.is_file()}
    write_tsv(args.training_log, pd.DataFrame(progress.log), float_format="%.6g")
    work = {
        "seconds": round(time.perf_counter() - started, 3),
        "epochs": progress.log[-1]["epoch"],
        "best_epoch": progress.best_epoch,
        "steps": progress.step,
        "tokens": progress.tokens,
        "resumed_from": progress.resumed,
        "training_seconds": round(progress.seconds, 3),
        "training_joules": None if progress.joules is None else round(progress.joules, 1),
        "sequences_per_second": round(progress.sequences / progress.seconds, 3) if progress.seconds else None,
    }
    write_json(args.record, record(args.settings.model_dump(mode="json"), **work, **facts, files=files))
    print(f"best epoch {progress.best_epoch:g} of {progress.log[-1]['epoch']:g}", file=sys.stderr)


if __name__ == "__main__":
    main(run)

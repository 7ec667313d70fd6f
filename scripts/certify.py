"""Check a checkpoint before training: no weight is missing or random, and its tokenizer fits the model.

A checkpoint that fails stops the workflow with one line. The certificate is copied into run.json of its trainings.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import CertifySettings


def run() -> None:
    """Read the checkpoint and real sequences; write what was found."""
    options = parser(__doc__, CertifySettings)
    options.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="the checkpoint")
    options.add_argument("--probes", type=Path, required=True, help="sequence table with real DNA (parquet)")
    options.add_argument("--output", type=Path, required=True, help="the certificate (JSON)")
    args = options.parse_args()

    from dnalm.files import read_table, sha256, write_json
    from dnalm.training.engine.devices import make_repeatable, quiet
    from dnalm.training.models.certificate import certify

    quiet()
    make_repeatable()
    settings: CertifySettings = args.settings
    sequences = read_table(args.probes, ["sequence"])["sequence"].tolist()
    found = certify(args.checkpoint, sequences, settings.max_tokens, settings.trust_remote_code)
    found["probes"] |= {"dataset": settings.dataset, "split": "validation", "sha256": sha256(args.probes)}
    write_json(args.output, {"checkpoint": settings.checkpoint, **found})


if __name__ == "__main__":
    main(run)

"""Stop the workflow before training if the data set's audit failed a check listed in `audit.fail_on`."""

import argparse
from pathlib import Path

from dnalm.cli import main


def run() -> None:
    """Read the audit; write the status of its checks, or raise `UserError` if one stops the workflow."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--audit", type=Path, required=True, help="what audit.py found (JSON)")
    arguments.add_argument(
        "--output", type=Path, required=True, help="status of the checks; written only if none stops the workflow"
    )
    args = arguments.parse_args()

    from dnalm.errors import UserError
    from dnalm.files import atomic, read_json

    audit = read_json(args.audit)
    checks = {check["name"]: check for check in audit["checks"]}
    if audit["stops"]:
        reasons = [f"{name}: {checks[name]['found']} {checks[name]['fix']}".rstrip(" .") for name in audit["stops"]]
        raise UserError(
            f"{args.audit}: the audit stops data set '{audit['dataset']}': {'; '.join(reasons)}"
            f" (`datasets.{audit['dataset']}.audit.fail_on` says which checks stop it)"
        )
    lines = [f"{check['status']}\t{name}\t{check['found']}\n" for name, check in checks.items()]
    with atomic(args.output) as temporary:
        temporary.write_text("".join(lines))


if __name__ == "__main__":
    main(run)

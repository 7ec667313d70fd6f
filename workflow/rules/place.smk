# Finds the workflow's own files, also when it is a module of another workflow, and makes its library importable.
import os
import subprocess
import sys
from pathlib import Path


def checkout(source):
    """A clone of the commit that Snakemake reads single files of: jobs need all scripts and the library as files."""
    known = getattr(source, "repo_path", None) or source.hosted_repo.repo_clone
    commit = subprocess.run(
        ["git", "-C", known, "rev-parse", f"{source.ref}^{{commit}}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    place = Path(".snakemake/dnalm", commit).absolute()
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = f"{place}.{os.getpid()}"
        subprocess.run(["git", "clone", "--quiet", "--no-checkout", known, unfinished], check=True)
        subprocess.run(["git", "-C", unfinished, "checkout", "--quiet", "--detach", commit], check=True)
        os.rename(unfinished, place)
    return place


# A path for a local Snakefile; for github(...), gitlab(...) or git+file:// an object of Snakemake's.
HERE = workflow.current_basedir
ROOT = Path(HERE).parents[1] if isinstance(HERE, os.PathLike) else checkout(HERE)
SCRIPTS = ROOT / "scripts"

sys.path.insert(0, str(SCRIPTS))
try:
    import dnalm.config.loading
except ModuleNotFoundError as error:
    if error.name != "pydantic":
        raise
    sys.exit("error: this workflow needs pydantic where Snakemake is: pip install pydantic")
finally:
    sys.path.remove(str(SCRIPTS))  # other workflows must not import our scripts, such as report.py
if not Path(dnalm.__file__).is_relative_to(SCRIPTS):
    sys.exit(
        f"error: {Path(dnalm.__file__).parents[2]} and {ROOT}: one Snakemake cannot read two copies of this workflow"
    )

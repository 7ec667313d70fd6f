"""Snakemake's internals, replaced for two of its open bugs, in the versions that this was tested with.

4166: behind an `ancient` input a job is not asked whether its own settings, code or files changed, if a job before it
is to run. A data set's audit stands before every training in this way.
3808: a job that failed or was killed is recorded as done, if what was made of its former output is still there.
"""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

TESTED = ("9.27.1",)
"""Versions of Snakemake whose internals are as the patches take them to be."""


def apply() -> str | None:
    """Replace what the two bugs need, once a process.

    Returns None, or a line that says what is lost because this is another version of Snakemake and nothing was replaced.
    """
    if (found := version("snakemake")) not in TESTED:
        return (
            f"warning: Snakemake {found} is not one that its bugs 4166 and 3808 are mended for ({', '.join(TESTED)}): after "
            "a change of an audit and of a training at once, call it twice; after a job failed, delete its output"
        )
    ask_jobs_behind_ancient_inputs()
    run_again_what_failed()
    return None


def ask_jobs_behind_ancient_inputs() -> None:
    """Have Snakemake ask each job behind an `ancient` input whether its own settings, code or files changed (4166).

    Snakemake asks a job nothing if any job before it is to run, for then it would run as well. Behind an `ancient` input
    it does not run, and a change of its own was passed over until the next call: a new learning rate together with a
    new limit of the audit trained nothing, and left the old model to be reported.
    """
    from snakemake.dag import DAG

    if hasattr(DAG, "_update_needrun"):
        return
    DAG._update_needrun = DAG.update_needrun

    async def update_needrun(dag: Any, *arguments: Any, **options: Any) -> None:
        dag.bfs = _bound_to_run  # what it looks for here is all that runs because one job does
        try:
            await dag._update_needrun(*arguments, **options)
        finally:
            del dag.bfs

    DAG.update_needrun = update_needrun


def _bound_to_run(depending: Any, job: Any) -> Iterator[Any]:
    found, queue = {job}, [job]
    while queue:
        yield (job := queue.pop())
        for other, files in depending[job].items():
            if other not in found and not all(file.is_ancient for file in files):
                found.add(other)
                queue.append(other)


def run_again_what_failed() -> None:
    """Have Snakemake run a job again that failed or was killed, although later results are there (3808).

    It removes a job's output before the job and records a job that failed as done; what was made of the output does not
    miss it. A finished run with a new setting whose training failed had nothing to do at the next call, and reported
    the old model. The mark of a job that is under way now stays until it succeeds, and counts whether or not there is a
    file.
    """
    from snakemake.jobs import Job
    from snakemake.persistence import PersistenceBase

    if hasattr(Job, "_postprocess"):
        return
    Job._postprocess = Job.postprocess

    async def postprocess(job: Any, *arguments: Any, error: bool = False, **options: Any) -> None:
        await job._postprocess(*arguments, error=error, **options)
        if error:
            job.dag.workflow.persistence.started(job)

    async def incomplete(persistence: Any, job: Any) -> list[Any]:
        files = {persistence._get_key(file): file for file in job.output}
        return [files[key] for key in persistence._filter_incomplete_keys(files)]

    Job.postprocess, PersistenceBase.incomplete = postprocess, incomplete

"""Patches of Snakemake's internals for two of its open bugs, applied to the tested versions only.

4166: if a job is due to run, jobs that depend on it through an `ancient` input are not checked for changes of their own
params, code or inputs. A data set's audit is such an input of every training.
3808: a job that failed or was killed is recorded as done, if later results of its former output still exist.
"""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

TESTED = ("9.27.1",)
"""Versions of Snakemake that the patches were tested with."""


def apply() -> str | None:
    """Apply both patches, once a process.

    Returns None, or a warning for another version of Snakemake, which is left as it is.
    """
    if (found := version("snakemake")) not in TESTED:
        return (
            f"warning: Snakemake's bugs 4166 and 3808 are patched in {', '.join(TESTED)} only, and this is {found}: "
            "after a change of an audit and of a training at once, call it twice; after a job failed, delete its output"
        )
    check_jobs_behind_ancient_inputs()
    rerun_failed_jobs()
    return None


def check_jobs_behind_ancient_inputs() -> None:
    """Have Snakemake check each job behind an `ancient` input for changes of its own params, code and inputs (4166).

    Snakemake skips the check if any upstream job is due to run, because the job would then run anyway. Behind an
    `ancient` input it does not run, and its own change is missed until the next call: a new learning rate together with
    a new limit of the audit trained nothing, and the old model was reported.
    """
    from snakemake.dag import DAG

    if hasattr(DAG, "_update_needrun"):
        return
    DAG._update_needrun = DAG.update_needrun

    async def update_needrun(dag: Any, *arguments: Any, **options: Any) -> None:
        dag.bfs = _jobs_that_follow  # bfs is used here only to find the jobs that run because one job does
        try:
            await dag._update_needrun(*arguments, **options)
        finally:
            del dag.bfs

    DAG.update_needrun = update_needrun


def _jobs_that_follow(depending: Any, job: Any) -> Iterator[Any]:
    """A job, and the jobs that depend on it through an input that is not `ancient`."""
    found, queue = {job}, [job]
    while queue:
        yield (job := queue.pop())
        for other, files in depending[job].items():
            if other not in found and not all(file.is_ancient for file in files):
                found.add(other)
                queue.append(other)


def rerun_failed_jobs() -> None:
    """Have Snakemake run a failed or killed job again, even if later results exist (3808).

    It removes a job's output before it runs and records a failed job as done, and a missing file does not matter where
    later results exist. A finished run with a new setting whose training failed had nothing to do at the next call, and
    reported the old model. With the patch, a job stays marked as incomplete until it succeeds, whether or not its
    output exists.
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

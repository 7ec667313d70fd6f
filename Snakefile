"""dna-lm-finetuning: from a genome and genomic labels to a fine-tuned DNA language model and an honest account of it."""

from snakemake.utils import min_version

min_version("9.0")


# A config given with --configfile is complete; the demo's is read only when none is given.
if not workflow.config_settings.configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


include: "workflow/rules/inputs.smk"
include: "workflow/rules/masking.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/benchmarks.smk"


rule all:
    default_target: True
    input:
        "results/summary/metrics.tsv",
        "results/report/index.html",
        expand("{run}/README.md", run=MODEL_RUNS),

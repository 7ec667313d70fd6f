# Targets for parts of a run: `snakemake data`, `models`, `metrics`. The rule `report` is a target too.


rule data:
    input:
        expand("results/{dataset}/{file}", dataset=CONFIG.datasets, file=["data/manifest.json", "audit.json"]),


rule models:
    input:
        expand("{run}/run.json", run=MODEL_RUNS),


rule metrics:
    input:
        expand("{run}/metrics.json", run=RUNS),
        expand("results/{dataset}/comparison.json", dataset=CONFIG.datasets),
        "results/summary/metrics.tsv",

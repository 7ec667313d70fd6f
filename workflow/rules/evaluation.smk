# The plan, baselines, metrics, comparisons, model cards and the report.


# What scores the test split waits for the plan. It is `ancient` there: one more run scores no other run again.
rule plan:
    input:
        "results/{dataset}/data/manifest.json",
    output:
        "results/{dataset}/plan.json",
    log:
        "logs/plan/{dataset}.log",
    benchmark:
        "logs/plan/{dataset}.tsv"
    localrule: True
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("plan.py"),
        spec=section("plan"),
        script=script("plan.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --manifest {input:q} --output {output:q} 2> {log:q}"


rule baseline:
    input:
        train="results/{dataset}/data/train.parquet",
        validation="results/{dataset}/data/validation.parquet",
        test="results/{dataset}/data/test.parquet",
        background=files("background"),
        calls=files("baseline_calls"),
        plan=ancient("results/{dataset}/plan.json"),
    output:
        predictions="results/{dataset}/runs/baseline/{baseline}/seed{seed}/predictions.parquet",
        run="results/{dataset}/runs/baseline/{baseline}/seed{seed}/run.json",
    log:
        "logs/baseline/{dataset}/{baseline}/seed{seed}.log",
    benchmark:
        "logs/baseline/{dataset}/{baseline}/seed{seed}.tsv"
    wildcard_constraints:
        baseline=rf"(?!cnn/){names.NAME}",
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        code=code("baseline.py"),
        spec=section("baseline"),
        script=script("baseline.py"),
        data=folder("train"),
        calls=options("calls"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --data {params.data:q} {params.calls:q}"
        " --output {output.predictions:q} --run {output.run:q} 2> {log:q}"


rule evaluate:
    input:
        predictions="results/{dataset}/runs/{run}/predictions.parquet",
        data=multiext("results/{dataset}/data/", "train.parquet", "validation.parquet", "test.parquet"),
        background=files("background"),
        plan=ancient("results/{dataset}/plan.json"),
    output:
        metrics="results/{dataset}/runs/{run}/metrics.json",
    log:
        "logs/evaluate/{dataset}/{run}.log",
    benchmark:
        "logs/evaluate/{dataset}/{run}.tsv"
    wildcard_constraints:
        run=rf"{names.NAME}/{names.NAME}/seed\d+",
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("evaluate.py"),
        spec=section("evaluate"),
        script=script("evaluate.py"),
        data=folder("data"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --predictions {input.predictions:q}"
        " --data {params.data:q} --output {output.metrics:q} 2> {log:q}"


# Local, because it keeps a ledger, results/{dataset}/looks.tsv, which is no output: Snakemake would remove it first.
# With results in a storage, the ledger stays in the working directory, where Snakemake has its copy of the output.
rule look:
    input:
        plan=rules.plan.output[0],
        predictions=files("predictions"),
    output:
        "results/{dataset}/looks.json",
    log:
        "logs/look/{dataset}.log",
    benchmark:
        "logs/look/{dataset}.tsv"
    localrule: True
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("look.py"),
        script=script("look.py"),
    shell:
        "python {params.script:q} --plan {input.plan:q} --output {output:q} 2> {log:q}"


rule compare:
    input:
        predictions=files("predictions"),
        data=multiext("results/{dataset}/data/", "train.parquet", "validation.parquet", "test.parquet"),
        looks=rules.look.output[0],
    output:
        "results/{dataset}/comparison.json",
    log:
        "logs/compare/{dataset}.log",
    benchmark:
        "logs/compare/{dataset}.tsv"
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("compare.py"),
        spec=section("compare"),
        script=script("compare.py"),
        results=results,
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --results {params.results:q} --looks {input.looks:q} --output {output:q} 2> {log:q}"


# The model's directory is an output of `finetune`, so the tracked card lies beside it, with a copy in it.
rule model_card:
    input:
        multiext(
            "results/{dataset}/runs/{model}/{recipe}/seed{seed}/",
            "metrics.json",
            "predictions.parquet",
            "run.json",
            "training_log.tsv",
        ),
        "results/{dataset}/audit.json",
        "results/{dataset}/comparison.json",
        "results/{dataset}/data/manifest.json",
    output:
        "results/{dataset}/runs/{model}/{recipe}/seed{seed}/README.md",
    log:
        "logs/model_card/{dataset}/{model}/{recipe}/seed{seed}.log",
    benchmark:
        "logs/model_card/{dataset}/{model}/{recipe}/seed{seed}.tsv"
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("model_card.py", "dnalm/evaluation/report/templates"),
        spec=section("model_card"),
        script=script("model_card.py"),
        results=results,
        model=lambda wildcards, output: str(Path(output[0]).with_name("model")),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --results {params.results:q} --model {params.model:q}"
        " --output {output:q} 2> {log:q}"


rule summarize:
    input:
        metrics=expand("{run}/metrics.json", run=RUNS),
    output:
        report("results/summary/metrics.tsv", caption="../report/metrics.rst", category="Results"),
    log:
        "logs/summarize.log",
    benchmark:
        "logs/summarize.tsv"
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("summarize.py"),
        spec=section("summarize"),
        script=script("summarize.py"),
        results=results,
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --results {params.results:q} --output {output:q} 2> {log:q}"


rule report:
    input:
        expand("{run}/{file}", run=RUNS, file=["metrics.json", "predictions.parquet", "run.json"]),
        expand("{run}/training_log.tsv", run=MODEL_RUNS),
        inputs.maps(CONFIG),
        expand(
            "results/{dataset}/{file}",
            dataset=CONFIG.datasets,
            file=["data/manifest.json", "audit.json", "comparison.json"],
        ),
        [paths.table(name, "test") for names in CONFIG.evaluation.leaderboard.values() for name in names],
    output:
        [report(page, caption="../report/report.rst", category="Results") for page in paths.pages(CONFIG.datasets)],
    log:
        "logs/report.log",
    benchmark:
        "logs/report.tsv"
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("report.py", "dnalm/evaluation/report/templates"),
        spec=section("report"),
        script=script("report.py"),
        results=results,
        folder=lambda wildcards, output: str(Path(output[0]).parent),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --results {params.results:q} --output {params.folder:q} 2> {log:q}"

# Whether a data set can be trusted, checked before anything is trained on it.


rule compare_splits:
    input:
        data=multiext("results/{dataset}/data/", "train.parquet", "validation.parquet", "test.parquet"),
        relatives=files("prepared", "relatives.parquet"),
        catalogues=files("located_catalogues"),
        calls=files("called_records"),
    output:
        "results/{dataset}/preparation/leakage.json",
    log:
        "logs/compare_splits/{dataset}.log",
    benchmark:
        "logs/compare_splits/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(LABELLED),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("compare_splits.py"),
        spec=section("compare_splits"),
        script=script("compare_splits.py"),
        data=folder("data"),
        found=options("catalogues", "calls"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --data {params.data:q} --relatives {input.relatives:q}"
        " {params.found:q} --output {output:q} 2> {log:q}"


rule audit:
    input:
        data=multiext("results/{dataset}/data/", "train.parquet", "validation.parquet", "test.parquet"),
        leakage=rules.compare_splits.output[0],
        tokens=files("audited_tokens"),
        pretraining=files("pretraining"),
    output:
        report("results/{dataset}/audit.json", caption="../report/audit.rst", category="Data"),
    log:
        "logs/audit/{dataset}.log",
    benchmark:
        "logs/audit/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(LABELLED),
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("audit.py"),
        spec=section("audit"),
        script=script("audit.py"),
        data=folder("data"),
        found=options("tokens", "pretraining"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --data {params.data:q} --leakage {input.leakage:q}"
        " {params.found:q} --output {output:q} 2> {log:q}"


# The audit itself always succeeds; this rule fails if a check fails that `audit.fail_on` lists.
rule gate:
    input:
        "results/{dataset}/audit.json",
    output:
        "results/{dataset}/audit.ok",
    log:
        "logs/gate/{dataset}.log",
    benchmark:
        "logs/gate/{dataset}.tsv"
    localrule: True
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("gate.py"),
        script=script("gate.py"),
    shell:
        "python {params.script:q} --audit {input:q} --output {output:q} 2> {log:q}"

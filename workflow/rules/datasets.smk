# Labelled records from any source, divided into train, validation and test.


rule extract:
    input:
        catalogue=files("positives_catalogue"),
        genome=files("positives_genome"),
    output:
        positives="results/{dataset}/preparation/positives.parquet",
        ledger="results/{dataset}/preparation/positives.json",
    log:
        "logs/extract/{dataset}.log",
    benchmark:
        "logs/extract/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(REPEATS),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("extract.py"),
        spec=section("extract"),
        script=script("extract.py"),
        genome=lambda wildcards, input: ["--genome", input.genome[0]] if input.genome else [],
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --catalogue {input.catalogue:q} {params.genome:q}"
        " --output {output.positives:q} --ledger {output.ledger:q} 2> {log:q}"


rule balance:
    input:
        positives=rules.extract.output.positives,
        genome=files("negatives_genome"),
        unique=files("pieces", "unique"),
        interspersed=files("pieces", "interspersed"),
        context=files("pieces", "context"),
    output:
        records="results/{dataset}/preparation/records.parquet",
        ledger="results/{dataset}/preparation/records.json",
    log:
        "logs/balance/{dataset}.log",
    benchmark:
        "logs/balance/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(REPEATS),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        code=code("balance.py"),
        spec=section("balance"),
        script=script("balance.py"),
        pieces=options("unique", "interspersed", "context"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --positives {input.positives:q}"
        " --genome {input.genome[0]:q} {params.pieces:q} --output {output.records:q}"
        " --ledger {output.ledger:q} 2> {log:q}"


rule import_table:
    input:
        files=files("table_files"),
    output:
        records="results/{dataset}/preparation/records.parquet",
        ledger="results/{dataset}/preparation/records.json",
    log:
        "logs/import_table/{dataset}.log",
    benchmark:
        "logs/import_table/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(TABLES),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("import_table.py"),
        given=given("table_files"),
        spec=section("import_table"),
        script=script("import_table.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --files {input.files:q} --output {output.records:q}"
        " --ledger {output.ledger:q} 2> {log:q}"


# Runs before the split, which keeps relatives together; the audit counts those that are in different splits anyway.
rule relate:
    input:
        records="results/{dataset}/preparation/records.parquet",
    output:
        "results/{dataset}/preparation/relatives.parquet",
    log:
        "logs/relate/{dataset}.log",
    benchmark:
        "logs/relate/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(LABELLED),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("relate.py"),
        spec=section("relate"),
        script=script("relate.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --records {input.records:q} --output {output:q} 2> {log:q}"


# For the audit and the baseline `trf`. Not an input of `split_labels`: installing trf must not re-train anything.
rule call_repeats:
    input:
        table=files("called_table"),
    output:
        "results/{dataset}/preparation/trf/{table}.parquet",
    log:
        "logs/call_repeats/{dataset}/{table}.log",
    benchmark:
        "logs/call_repeats/{dataset}/{table}.tsv"
    wildcard_constraints:
        dataset=one_of(LABELLED),
        table="records|background",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=code("call_repeats.py"),
        spec=section("call_repeats"),
        script=script("call_repeats.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --records {input.table:q} --output {output:q} 2> {log:q}"


rule split_labels:
    input:
        records=files("prepared", "records.parquet"),
        relatives=files("prepared", "relatives.parquet"),
        ledgers=files("ledgers"),
    output:
        train="results/{dataset}/data/train.parquet",
        validation="results/{dataset}/data/validation.parquet",
        test="results/{dataset}/data/test.parquet",
        manifest=report("results/{dataset}/data/manifest.json", caption="../report/manifest.rst", category="Data"),
    log:
        "logs/split_labels/{dataset}.log",
    benchmark:
        "logs/split_labels/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(LABELLED),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("split_labels.py"),
        spec=section("split_labels"),
        script=script("split_labels.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --records {input.records:q}"
        " --relatives {input.relatives:q} --ledgers {input.ledgers:q}"
        " --train {output.train:q} --validation {output.validation:q} --test {output.test:q}"
        " --manifest {output.manifest:q} 2> {log:q}"


rule draw_background:
    input:
        data=rules.split_labels.output[:3],
        genome=files("negatives_genome"),
        catalogues=files("located_catalogues"),
    output:
        windows="results/{dataset}/data/background.parquet",
        ledger="results/{dataset}/data/background.json",
    log:
        "logs/draw_background/{dataset}.log",
    benchmark:
        "logs/draw_background/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(REPEATS),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("draw_background.py"),
        spec=section("draw_background"),
        script=script("draw_background.py"),
        data=folder("data"),
        catalogues=options("catalogues"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --data {params.data:q} --genome {input.genome[0]:q}"
        " {params.catalogues:q} --output {output.windows:q} --ledger {output.ledger:q} 2> {log:q}"

# Corpora: windows of genomes, or the sequences of a table, for language models; their audit and their tokens.


rule window_corpus:
    input:
        genomes=files("corpus_genomes"),
        indices=files("corpus_indices"),
        table=files("corpus_table"),
    output:
        train="results/{dataset}/data/train.parquet",
        validation="results/{dataset}/data/validation.parquet",
        test="results/{dataset}/data/test.parquet",
        manifest=report("results/{dataset}/data/manifest.json", caption="../report/manifest.rst", category="Data"),
    log:
        "logs/window_corpus/{dataset}.log",
    benchmark:
        "logs/window_corpus/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(CORPORA),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        code=code("window_corpus.py"),
        given=given("corpus_table"),
        spec=section("window_corpus"),
        script=script("window_corpus.py"),
        source=options("genomes", "table"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - {params.source:q}"
        " --train {output.train:q} --validation {output.validation:q} --test {output.test:q}"
        " --manifest {output.manifest:q} 2> {log:q}"


# For each data set that a model is run on which descends from a run on the corpus.
rule compare_pretraining:
    input:
        data=multiext("results/{dataset}/data/", "validation.parquet", "test.parquet"),
        corpus="results/{corpus}/data/train.parquet",
    output:
        "results/{dataset}/preparation/pretraining/{corpus}.json",
    log:
        "logs/compare_pretraining/{dataset}/{corpus}.log",
    benchmark:
        "logs/compare_pretraining/{dataset}/{corpus}.tsv"
    wildcard_constraints:
        corpus=one_of(CORPORA),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=code("compare_pretraining.py"),
        spec=section("compare_pretraining"),
        script=script("compare_pretraining.py"),
        data=folder("data"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --data {params.data:q} --corpus {input.corpus:q} --output {output:q} 2> {log:q}"


rule audit_corpus:
    input:
        data=multiext("results/{dataset}/data/", "train.parquet", "validation.parquet", "test.parquet"),
        tokens=files("audited_tokens"),
        pretraining=files("pretraining"),
    output:
        report("results/{dataset}/audit.json", caption="../report/audit.rst", category="Data"),
    log:
        "logs/audit/{dataset}.log",
    benchmark:
        "logs/audit/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(CORPORA),
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        code=code("audit_corpus.py"),
        spec=section("audit_corpus"),
        script=script("audit_corpus.py"),
        data=folder("data"),
        found=options("tokens", "pretraining"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --data {params.data:q} {params.found:q} --output {output:q} 2> {log:q}"


rule tokenize_corpus:
    input:
        table=lambda wildcards: f"results/{wildcards.dataset}/data/{wildcards.table.removesuffix('_reverse')}.parquet",
        tokenizer=files("tokenizing_files"),
    output:
        ids="results/{dataset}/tokens/{model}/{table}.ids.npy",
        offsets="results/{dataset}/tokens/{model}/{table}.offsets.npy",
        soft_masked="results/{dataset}/tokens/{model}/{table}.soft_masked.npy",
        counts="results/{dataset}/tokens/{model}/{table}.json",
    log:
        "logs/tokenize/{dataset}/{model}/{table}.log",
    benchmark:
        "logs/tokenize/{dataset}/{model}/{table}.tsv"
    wildcard_constraints:
        dataset=one_of(CORPORA),
        table="train|validation|test|train_reverse",
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=code("tokenize_records.py"),
        given=given("tokenizing_files"),
        spec=section("tokenize_corpus"),
        script=script("tokenize_records.py"),
        tokenizer=folder("tokenizer"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --tokenizer {params.tokenizer:q}"
        " --threads {threads} --table {input.table:q} --ids {output.ids:q} --offsets {output.offsets:q}"
        " --soft-masked {output.soft_masked:q} --counts {output.counts:q} 2> {log:q}"

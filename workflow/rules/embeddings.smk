# Hidden states of models: vectors of records, their maps, and probes on them.


# Once for all probes and embeddings of a model and a split. `weights` says whose: the checkpoint's, or those of a seed.
rule embed:
    input:
        table="results/{dataset}/data/{split}.parquet",
        tokens=files("embedded_tokens"),
        tokenizer=files("tokenizer_files"),
        checkpoint=files("checkpoint_files"),
    output:
        vectors="results/{dataset}/embeddings/{model}/{weights}-{overlong}/{split}.npy",
        record="results/{dataset}/embeddings/{model}/{weights}-{overlong}/{split}.json",
    log:
        "logs/embed/{dataset}/{model}/{weights}-{overlong}/{split}.log",
    benchmark:
        "logs/embed/{dataset}/{model}/{weights}-{overlong}/{split}.tsv"
    wildcard_constraints:
        weights=rf"{embedded.PRETRAINED}|seed\d+",
        overlong="window|truncate|drop|error",
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        gpu=GPUS,
        mem_mb=16000,
        runtime=480,
    params:
        code=code("embed.py"),
        given=given("tokenizer_files", "checkpoint_files"),
        spec=section("embed"),
        script=script("embed.py"),
        tokens=folder("tokens"),
        tokenizer=folder("tokenizer"),
        checkpoint=option("checkpoint", folder("checkpoint")),
        device=device,
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --table {input.table:q}"
        " --tokens {params.tokens:q} --tokenizer {params.tokenizer:q} {params.checkpoint:q} --device {params.device}"
        " --vectors {output.vectors:q} --record {output.record:q} 2> {log:q}"


rule select_embeddings:
    input:
        table=files("embedding_table"),
        vectors=files("embedding_vectors"),
    output:
        vectors="results/embeddings/{embedding}/{split}.npy",
        parquet="results/embeddings/{embedding}/{split}.parquet",
        record="results/embeddings/{embedding}/{split}.json",
    log:
        "logs/select_embeddings/{embedding}/{split}.log",
    benchmark:
        "logs/select_embeddings/{embedding}/{split}.tsv"
    conda:
        "../../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code("select_embeddings.py"),
        spec=section("select_embeddings"),
        script=script("select_embeddings.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --table {input.table:q}"
        " --vectors {input.vectors[0]:q} --output {output.vectors:q} --parquet {output.parquet:q}"
        " --record {output.record:q} 2> {log:q}"


rule map_embeddings:
    input:
        tables=files("embedding_tables"),
        vectors=files("embedding_files"),
    output:
        table="results/embeddings/{embedding}/map.tsv",
        record="results/embeddings/{embedding}/map.json",
    log:
        "logs/map_embeddings/{embedding}.log",
    benchmark:
        "logs/map_embeddings/{embedding}.tsv"
    conda:
        "../../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("map_embeddings.py"),
        spec=section("map_embeddings"),
        script=script("map_embeddings.py"),
        data=folder("tables"),
        vectors=folder("vectors"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --data {params.data:q}"
        " --vectors {params.vectors:q} --output {output.table:q} --record {output.record:q} 2> {log:q}"


# A run like a fine-tuning, with the same outputs, by the recipes that `finetune` leaves out.
rule probe:
    input:
        data=files("training_tables"),
        vectors=files("probe_vectors"),
        tokenizer=files("tokenizer_files"),
        checkpoint=files("checkpoint_files"),
        certificate=lambda wildcards: [ancient(path) for path in inputs.certificate(CONFIG, wildcards)],
        gate=ancient("results/{dataset}/audit.ok"),
    output:
        model=directory("results/{dataset}/runs/{model}/{recipe}/seed{seed}/model"),
        training_log=report(
            "results/{dataset}/runs/{model}/{recipe}/seed{seed}/training_log.tsv",
            caption="../report/training_log.rst",
            category="Training",
            labels={"data set": "{dataset}", "model": "{model}", "recipe": "{recipe}", "seed": "{seed}"},
        ),
        run="results/{dataset}/runs/{model}/{recipe}/seed{seed}/run.json",
    log:
        "logs/probe/{dataset}/{model}/{recipe}/seed{seed}.log",
    benchmark:
        "logs/probe/{dataset}/{model}/{recipe}/seed{seed}.tsv"
    wildcard_constraints:
        recipe=one_of(PROBES),
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        mem_mb=16000,
        runtime=480,
    params:
        code=code("probe.py"),
        given=given("tokenizer_files", "checkpoint_files"),
        spec=section("probe"),
        script=script("probe.py"),
        data=folder("data"),
        vectors=folder("vectors"),
        tokenizer=folder("tokenizer"),
        checkpoint=option("checkpoint", folder("checkpoint")),
        certificate=options("certificate"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --data {params.data:q}"
        " --vectors {params.vectors:q} --tokenizer {params.tokenizer:q} {params.checkpoint:q} {params.certificate:q}"
        " --model {output.model:q} --training-log {output.training_log:q} --record {output.run:q} 2> {log:q}"

# From records to a fine-tuned model and its predictions.


rule fetch_model:
    output:
        snapshot=directory("resources/models/{hub_id}/{revision}"),
        record="resources/models/{hub_id}/{revision}.json",
    log:
        "logs/fetch_model/{hub_id}/{revision}.log",
    benchmark:
        "logs/fetch_model/{hub_id}/{revision}.tsv"
    wildcard_constraints:
        hub_id=one_of(paths.hub_folder(model) for model in HUB_MODELS),
        revision=one_of(model.revision for model in HUB_MODELS),
    priority: 100
    localrule: True
    conda:
        "../../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=section("fetch_model"),
        script=script("fetch_model.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --output {output.snapshot:q} 2> {log:q}"
        " && cp {output.snapshot:q}/fetched.json {output.record:q}"


rule train_tokenizer:
    input:
        train="results/{dataset}/data/train.parquet",
    output:
        expand("{folder}/{file}", folder=paths.tokenizer("{model}", "{dataset}"), file=paths.TOKENIZER_FILES),
    log:
        "logs/train_tokenizer/{model}/{dataset}.log",
    benchmark:
        "logs/train_tokenizer/{model}/{dataset}.tsv"
    wildcard_constraints:
        model=one_of(TRAINED),
    conda:
        "../../envs/training.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("train_tokenizer.py"),
        spec=section("train_tokenizer"),
        script=script("train_tokenizer.py"),
        folder=lambda wildcards, output: str(Path(output[0]).parent),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --train {input.train:q}"
        " --output-dir {params.folder:q} 2> {log:q}"


rule tokenize:
    input:
        table=lambda wildcards: f"results/{wildcards.dataset}/data/{wildcards.table.removesuffix('_reverse')}.parquet",
        tokenizer=files("tokenizing_files"),
    output:
        ids="results/{dataset}/tokens/{model}/{table}.ids.npy",
        offsets="results/{dataset}/tokens/{model}/{table}.offsets.npy",
        counts="results/{dataset}/tokens/{model}/{table}.json",
    log:
        "logs/tokenize/{dataset}/{model}/{table}.log",
    benchmark:
        "logs/tokenize/{dataset}/{model}/{table}.tsv"
    wildcard_constraints:
        dataset=one_of(LABELLED),
        table="train|validation|test|train_reverse|background",
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("tokenize_records.py"),
        given=given("tokenizing_files"),
        spec=section("tokenize"),
        script=script("tokenize_records.py"),
        tokenizer=folder("tokenizer"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --tokenizer {params.tokenizer:q}"
        " --threads {threads} --table {input.table:q} --ids {output.ids:q} --offsets {output.offsets:q}"
        " --counts {output.counts:q} 2> {log:q}"


# Whether a checkpoint's weights are sound, tested with real sequences once for all its trainings.
rule certify:
    input:
        probes=files("probes"),
        checkpoint=files("checkpoint_files"),
    output:
        "results/models/{model}/certificate.json",
    log:
        "logs/certify/{model}.log",
    benchmark:
        "logs/certify/{model}.tsv"
    wildcard_constraints:
        model=one_of(inputs.certified(CONFIG)),
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        code=code("certify.py"),
        given=given("checkpoint_files"),
        spec=section("certify"),
        script=script("certify.py"),
        checkpoint=folder("checkpoint"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --checkpoint {params.checkpoint:q}"
        " --probes {input.probes:q} --output {output:q} 2> {log:q}"


rule finetune:
    input:
        data=files("training_tables"),
        tokens=files("training_tokens"),
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
        "logs/finetune/{dataset}/{model}/{recipe}/seed{seed}.log",
    benchmark:
        "logs/finetune/{dataset}/{model}/{recipe}/seed{seed}.tsv"
    wildcard_constraints:
        recipe=one_of(name for name in CONFIG.recipes if name not in PROBES),
    conda:
        "../../envs/training.yaml"
    threads: lambda wildcards: 2 * CONFIG.recipes[wildcards.recipe].processes
    resources:
        gpu=gpus,
        mem_mb=16000,
        runtime=1440,
    params:
        code=code("finetune.py"),
        given=given("tokenizer_files", "checkpoint_files"),
        spec=section("finetune"),
        script=script("finetune.py"),
        data=folder("data"),
        tokens=folder("tokens"),
        tokenizer=folder("tokenizer"),
        checkpoint=option("checkpoint", folder("checkpoint")),
        certificate=options("certificate"),
        execution=execution,
    # A scheduler that ends the job sends SIGTERM to all its processes: the shell has to wait for the training to save.
    shell:
        "trap : TERM; printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --data {params.data:q} --tokens {params.tokens:q}"
        " --tokenizer {params.tokenizer:q} {params.checkpoint:q} {params.certificate:q} {params.execution:q}"
        " --model {output.model:q}"
        " --training-log {output.training_log:q} --record {output.run:q} 2> {log:q}"


# A directory has no checksum, and a copied one would look newer, so a model is tracked by its run.json.
rule predict_splits:
    input:
        rules.finetune.output.run,
        validation="results/{dataset}/data/validation.parquet",
        test="results/{dataset}/data/test.parquet",
        background=files("background"),
        tokens=files("scored_tokens"),
        model=ancient(rules.finetune.output.model),
        plan=ancient("results/{dataset}/plan.json"),
    output:
        predictions="results/{dataset}/runs/{model}/{recipe}/seed{seed}/predictions.parquet",
        counts="results/{dataset}/runs/{model}/{recipe}/seed{seed}/prediction_counts.json",
    log:
        "logs/predict_splits/{dataset}/{model}/{recipe}/seed{seed}.log",
    benchmark:
        "logs/predict_splits/{dataset}/{model}/{recipe}/seed{seed}.tsv"
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        gpu=GPUS,
        mem_mb=16000,
        runtime=240,
    params:
        code=code("predict_splits.py"),
        spec=section("predict_splits"),
        script=script("predict_splits.py"),
        data=folder("test"),
        tokens=folder("tokens"),
        device=device,
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --data {params.data:q} --tokens {params.tokens:q}"
        " --model {input.model:q} --device {params.device} --output {output.predictions:q}"
        " --counts {output.counts:q} 2> {log:q}"


rule baseline_cnn:
    input:
        train="results/{dataset}/data/train.parquet",
        validation="results/{dataset}/data/validation.parquet",
        test="results/{dataset}/data/test.parquet",
        background=files("background"),
        gate=ancient("results/{dataset}/audit.ok"),
        plan=ancient("results/{dataset}/plan.json"),
    output:
        predictions="results/{dataset}/runs/baseline/cnn/seed{seed}/predictions.parquet",
        run="results/{dataset}/runs/baseline/cnn/seed{seed}/run.json",
    log:
        "logs/baseline/{dataset}/cnn/seed{seed}.log",
    benchmark:
        "logs/baseline/{dataset}/cnn/seed{seed}.tsv"
    wildcard_constraints:
        dataset=one_of(LABELLED),
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        gpu=GPUS,
        mem_mb=8000,
        runtime=120,
    params:
        code=code("baseline_cnn.py"),
        spec=section("baseline_cnn"),
        script=script("baseline_cnn.py"),
        data=folder("train"),
        device=device,
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --data {params.data:q} --device {params.device}"
        " --output {output.predictions:q} --run {output.run:q} 2> {log:q}"

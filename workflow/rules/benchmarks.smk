# Time and memory of audit, evaluation and training on this machine. Not part of the results: ask for them by name, best
# with --cores 2, because jobs that run at the same time disturb a measurement.


rule benchmark:
    input:
        measurable,


rule benchmark_training:
    output:
        "results/benchmark/training.json",
    log:
        "logs/benchmark_training.log",
    conda:
        "../../envs/training.yaml"
    threads: 4
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=60,
    params:
        code=code("benchmark_training.py"),
        script=script("benchmark_training.py"),
    shell:
        "python {params.script:q} --suite gpu --output {output:q} 2> {log:q}"


rule benchmark_scaling:
    output:
        "results/benchmark/scaling.json",
    log:
        "logs/benchmark_scaling.log",
    conda:
        "../../envs/training.yaml"
    threads: 8
    resources:
        gpu=2,
        mem_mb=64000,
        runtime=60,
    params:
        code=code("benchmark_training.py"),
        script=script("benchmark_training.py"),
    shell:
        "python {params.script:q} --suite scaling --output {output:q} 2> {log:q}"


rule benchmark_pretraining:
    output:
        mixture="results/benchmark/pretraining.json",
        dense="results/benchmark/pretraining-dense.json",
    log:
        "logs/benchmark_pretraining.log",
    conda:
        "../../envs/training.yaml"
    threads: 4
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=60,
    params:
        code=code("benchmark_training.py"),
        script=script("benchmark_training.py"),
    shell:
        "(python {params.script:q} --suite pretraining --output {output.mixture:q} &&"
        " python {params.script:q} --suite pretraining-dense --output {output.dense:q}) 2> {log:q}"


rule benchmark_embedding:
    output:
        "results/benchmark/embedding.json",
    log:
        "logs/benchmark_embedding.log",
    conda:
        "../../envs/training.yaml"
    threads: 4
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=60,
    params:
        code=code("benchmark_embedding.py"),
        script=script("benchmark_embedding.py"),
    shell:
        "python {params.script:q} --output {output:q} 2> {log:q}"


rule benchmark_cpu:
    output:
        "results/benchmark/cpu.json",
    log:
        "logs/benchmark_cpu.log",
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("benchmark_training.py"),
        script=script("benchmark_training.py"),
    shell:
        "python {params.script:q} --suite cpu --output {output:q} 2> {log:q}"


rule benchmark_memory:
    output:
        "results/benchmark/memory.json",
    log:
        "logs/benchmark_memory.log",
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        code=code("benchmark_memory.py"),
        trainer=code("finetune.py"),
        script=script("benchmark_memory.py"),
    shell:
        "python {params.script:q} --output {output:q} 2> {log:q}"


# Runs the programs of three wings, which no environment of a rule holds: it uses the Python that runs Snakemake, which
# has to be that of requirements.txt. So it is asked for by name.
rule benchmark_corpus:
    output:
        "results/benchmark/corpus.json",
    log:
        "logs/benchmark_corpus.log",
    conda:
        "../../envs/training.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        code=code("benchmark_corpus.py"),
        script=script("benchmark_corpus.py"),
        python=lambda wildcards, input: sys.executable,
    shell:
        "{params.python:q} {params.script:q} --output {output:q} --threads {threads} 2> {log:q}"


rule benchmark_audit:
    output:
        "results/benchmark/audit.json",
    log:
        "logs/benchmark_audit.log",
    conda:
        "../../envs/evaluation.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("benchmark_audit.py"),
        relatives=code("relate.py"),
        facts=code("compare_splits.py"),
        audit=code("audit.py"),
        script=script("benchmark_audit.py"),
    shell:
        "python {params.script:q} --output {output:q} 2> {log:q}"


rule benchmark_relatives:
    output:
        "results/benchmark/relatives.json",
    log:
        "logs/benchmark_relatives.log",
    conda:
        "../../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=16000,
        runtime=240,
    params:
        code=code("benchmark_relatives.py"),
        script=script("benchmark_relatives.py"),
    shell:
        "python {params.script:q} --output {output:q} 2> {log:q}"


rule benchmark_evaluation:
    output:
        "results/benchmark/evaluation.json",
    log:
        "logs/benchmark_evaluation.log",
    conda:
        "../../envs/evaluation.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("benchmark_evaluation.py"),
        script=script("benchmark_evaluation.py"),
    shell:
        "python {params.script:q} --output {output:q} 2> {log:q}"


# Measures the Snakemake that runs it, so it uses that Python and not the rule's environment.
rule benchmark_startup:
    output:
        "results/benchmark/startup.json",
    log:
        "logs/benchmark_startup.log",
    conda:
        "../../envs/evaluation.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("benchmark_startup.py"),
        script=script("benchmark_startup.py"),
        python=lambda wildcards, input: sys.executable,
    shell:
        "{params.python:q} {params.script:q} --output {output:q} 2> {log:q}"

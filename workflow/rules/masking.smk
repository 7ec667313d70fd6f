# The genome with its repeats masked, cut into the pieces that negatives are drawn from.


rule mask:
    input:
        genome=files("genome_fasta"),
        catalogues=files("masked_catalogues"),
    output:
        "results/genomes/{genome}/{mask}/{source}/{shard}.fa.gz",
    log:
        "logs/mask/{genome}/{mask}/{source}/{shard}.log",
    benchmark:
        "logs/mask/{genome}/{mask}/{source}/{shard}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code("mask.py"),
        spec=section("mask"),
        script=script("mask.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --genome {input.genome[0]:q}"
        " --catalogues {input.catalogues:q} --shard {wildcards.shard} --output {output:q} 2> {log:q}"


rule split:
    input:
        masked=rules.mask.output,
    output:
        pieces="results/genomes/{genome}/{mask}/{source}/min{min_length}/{shard}.parquet",
        ledger="results/genomes/{genome}/{mask}/{source}/min{min_length}/{shard}.json",
    log:
        "logs/split/{genome}/{mask}/{source}/min{min_length}/{shard}.log",
    benchmark:
        "logs/split/{genome}/{mask}/{source}/min{min_length}/{shard}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code("split.py"),
        spec=section("split"),
        script=script("split.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --masked {input.masked:q} --output {output.pieces:q}"
        " --ledger {output.ledger:q} 2> {log:q}"

# The genome with its repeats masked, cut into the pieces that negatives are drawn from.


# For a catalogue whose positions, if any, are those of another assembly.
rule place_catalogue:
    input:
        catalogue=lambda wildcards: paths.catalogue(wildcards.catalogue),
        genome=files("genome_fasta"),
    output:
        places="results/genomes/{genome}/placed/{catalogue}.parquet",
        ledger="results/genomes/{genome}/placed/{catalogue}.json",
    log:
        "logs/place_catalogue/{genome}/{catalogue}.log",
    benchmark:
        "logs/place_catalogue/{genome}/{catalogue}.tsv"
    wildcard_constraints:
        catalogue=one_of(name for name, catalogue in CONFIG.catalogues.items() if catalogue.is_placed),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        code=code("place_catalogue.py"),
        spec=section("place_catalogue"),
        script=script("place_catalogue.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --catalogue {input.catalogue:q}"
        " --genome {input.genome[0]:q} --output {output.places:q} --ledger {output.ledger:q} 2> {log:q}"


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

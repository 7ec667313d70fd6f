# Genomes and catalogues: downloaded, given or simulated, then checked and converted to one format.


# No `code` here: an edit of the downloader must not fetch a genome again.
rule download:
    output:
        "resources/downloads/{kind}/{name}/{part}",
    log:
        "logs/download/{kind}/{name}/{part}.log",
    benchmark:
        "logs/download/{kind}/{name}/{part}.tsv"
    wildcard_constraints:
        kind="genomes|catalogues",
        name=names.NAME,
        part="[^/]+",
    priority: 100  # downloads first: afterwards no network is needed
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=600,
    params:
        spec=section("download"),
        script=script("download.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - --output {output:q} 2> {log:q}"


rule simulate_genome:
    output:
        fasta="resources/simulations/{genome}.fa.gz",
        vcf="resources/simulations/{genome}.vcf",
    log:
        "logs/simulate_genome/{genome}.log",
    benchmark:
        "logs/simulate_genome/{genome}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("simulate_genome.py"),
        spec=section("simulate_genome"),
        script=script("simulate_genome.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --fasta {output.fasta:q} --vcf {output.vcf:q} 2> {log:q}"


rule import_genome:
    input:
        parts=files("genome_parts"),
    output:
        fasta="resources/genomes/{genome}.fa.gz",
        fai="resources/genomes/{genome}.fa.gz.fai",
        gzi="resources/genomes/{genome}.fa.gz.gzi",
    log:
        "logs/import_genome/{genome}.log",
    benchmark:
        "logs/import_genome/{genome}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        code=code("import_genome.py"),
        given=given("genome_parts"),
        spec=section("import_genome"),
        script=script("import_genome.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --parts {input.parts:q} --output {output.fasta:q}"
        " 2> {log:q}"


rule find_repeats:
    input:
        genome=files("genome_fasta"),
    output:
        "results/genomes/{genome}/trf/{shard}.dat",
    log:
        "logs/find_repeats/{genome}/{shard}.log",
    benchmark:
        "logs/find_repeats/{genome}/{shard}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=600,
    params:
        code=code("find_repeats.py"),
        spec=section("find_repeats"),
        script=script("find_repeats.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --genome {input.genome[0]:q} --shard {wildcards.shard}"
        " --output {output:q} 2> {log:q}"


rule import_catalogue:
    input:
        files=files("catalogue_files"),
        genome=files("catalogue_genome"),
    output:
        table="results/catalogues/{catalogue}.parquet",
        ledger="results/catalogues/{catalogue}.json",
    log:
        "logs/import_catalogue/{catalogue}.log",
    benchmark:
        "logs/import_catalogue/{catalogue}.tsv"
    wildcard_constraints:
        catalogue=one_of(name for name, catalogue in CONFIG.catalogues.items() if not catalogue.simulate),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        code=code("import_catalogue.py"),
        given=given("catalogue_files"),
        spec=section("import_catalogue"),
        script=script("import_catalogue.py"),
        genome=lambda wildcards, input: ["--genome", input.genome[0]] if input.genome else [],
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec - {params.genome:q} --files {input.files:q}"
        " --output {output.table:q} --ledger {output.ledger:q} 2> {log:q}"


rule simulate_arrays:
    input:
        genome=files("catalogue_genome"),
    output:
        table="results/catalogues/{catalogue}.parquet",
        ledger="results/catalogues/{catalogue}.json",
    log:
        "logs/simulate_arrays/{catalogue}.log",
    benchmark:
        "logs/simulate_arrays/{catalogue}.tsv"
    wildcard_constraints:
        catalogue=one_of(name for name, catalogue in CONFIG.catalogues.items() if catalogue.simulate),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code("simulate_arrays.py"),
        spec=section("simulate_arrays"),
        script=script("simulate_arrays.py"),
    shell:
        "printf %s {params.spec:q} | python {params.script:q} --spec -"
        " --genome {input.genome[0]:q} --output {output.table:q}"
        " --ledger {output.ledger:q} 2> {log:q}"

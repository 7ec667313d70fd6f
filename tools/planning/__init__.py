"""What Snakemake plans to run, for generated documents and tests; not used by the workflow."""

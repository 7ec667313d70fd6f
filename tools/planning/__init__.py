"""What Snakemake plans to do: for the documents and tests that tell of it, and for nothing that a run computes."""

"""What Snakemake asks: which settings and files each stage reads. Imports neither numpy, pandas nor torch."""

"""The library behind the workflow: pure, typed, and free of Snakemake.

A hall (config, sections, errors, files, names, dna, metrics, provenance, cli) and three wings that never
import one another: `data`, `training` and `evaluation`. They meet only in the tables on disk, so each wing
has one software environment and can be tested or replaced alone.
"""

"""The library behind the workflow: pure, typed, and free of Snakemake.

`config` is what a user writes, `workflow` what Snakemake asks, `sequence` and `tables` what all wings share. The three
wings, `data`, `training` and `evaluation`, never import one another: they meet only in the files on disk, so each has
one software environment and can be tested or replaced alone.
"""

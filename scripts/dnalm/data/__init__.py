"""Genomes, catalogues, tables: everything up to the labelled, split records."""

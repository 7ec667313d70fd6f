"""Metrics, baselines, the report."""

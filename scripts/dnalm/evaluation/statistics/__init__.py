"""Metrics, resampling, comparison, calibration."""

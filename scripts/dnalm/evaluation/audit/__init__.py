"""Checks of a data set before anything is trained."""

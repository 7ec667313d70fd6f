"""Simple models that a language model has to beat."""

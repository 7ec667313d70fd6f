"""What a model learns: one module an objective."""

"""Models simple enough to explain."""

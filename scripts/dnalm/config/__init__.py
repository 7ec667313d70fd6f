"""What a user writes: one module a noun, and the checks across nouns."""

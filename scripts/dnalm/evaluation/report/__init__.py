"""Pages, charts, cards."""

"""The report's pages and charts, and model cards."""

"""The contracts between the wings: each table's schema, reader and writer."""

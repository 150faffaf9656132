"""Engines: each runs our bounded aggregates over a private source and returns exact integers."""

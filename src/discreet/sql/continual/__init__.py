"""A table that grows, followed step by step: one charge for all steps (docs/decisions/0011)."""

"""The statistics of an audit: pure functions of counts, scores and labels; no data, no files.

Every lower bound is rounded down and every upper bound up. Modules are reached by their own names.
"""

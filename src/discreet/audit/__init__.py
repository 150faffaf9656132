"""Audit: tries to break guarantees, and measures what an attacker gains."""

"""Membership attacks on models: shadow models, scores, and the curve of what an attacker finds at which price."""

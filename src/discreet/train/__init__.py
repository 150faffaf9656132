"""Private training of PyTorch models: clip, sample, noise, charge, resume.

Nothing here is loaded by `import discreet`; torch is needed only in this package (`pip install 'discreet[train]'`).
"""

__all__: list[str] = []

"""The command line. `main` is the entry point; each file holds one group of commands."""

from discreet.cli.app import app, main

__all__ = ["app", "main"]

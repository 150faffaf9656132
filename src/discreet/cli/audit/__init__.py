"""The commands `discreet audit …`: what could be found out, and attempts to find it out."""

from __future__ import annotations

import typer

from discreet.cli.audit import mechanism, model, release, risk
from discreet.cli.output import help_if_alone

app = typer.Typer(help="What an attacker could find out at most, and attempts to break what was claimed.")
app.callback(invoke_without_command=True)(help_if_alone)
for command in (mechanism, model, release, risk):
    command.add_to(app)

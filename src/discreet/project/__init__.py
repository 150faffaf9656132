"""A whole project in one file: discreet.toml, planned, run and explained."""

from discreet.project.draft import Draft
from discreet.project.pieces import near
from discreet.project.project import Project
from discreet.project.read import Planned, Population, Settings, read
from discreet.project.steps import Done, Step
from discreet.project.stopped import named
from discreet.project.tables import Table, View
from discreet.project.training import Training

__all__ = [
    "Done",
    "Draft",
    "Planned",
    "Population",
    "Project",
    "Settings",
    "Step",
    "Table",
    "Training",
    "View",
    "named",
    "near",
    "read",
]

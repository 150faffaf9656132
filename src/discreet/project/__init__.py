"""A whole project in one file: discreet.toml, planned, run and explained."""

from discreet.project.draft import Draft
from discreet.project.project import Project
from discreet.project.read import Planned, Population, Settings, Table, near, read
from discreet.project.steps import Done, Step
from discreet.project.stopped import named

__all__ = ["Done", "Draft", "Planned", "Population", "Project", "Settings", "Step", "Table", "named", "near", "read"]

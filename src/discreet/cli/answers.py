"""What `discreet query` does with a release: shows it, prints it for programs, or writes it to a file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rich.text import Text

from discreet.cli.output import WrongUse, as_text, errors, say, show_table
from discreet.errors import DiscreetError, InvalidInput
from discreet.release.shown import NOTHING, Columns, instead, number, rounded

if TYPE_CHECKING:
    from discreet.release import Release

Format = Literal["table", "json", "csv", "parquet"]


@dataclass(frozen=True)
class Wanted:
    """In what form, and where.

    Args:
        form: table, json, csv or parquet.
        output: A file that is not there yet; None for stdout.
    """

    form: Format
    output: Path | None

    @classmethod
    def of(cls, form: Format | None, output: Path | None, *, as_json: bool) -> Wanted:
        """Return what the options ask for.

        Raises:
            WrongUse: they contradict each other.
            InvalidInput: the file is there already, or its folder is not; seen before anything is spent.
        """
        if as_json:
            if form not in (None, "json"):
                raise WrongUse(f"--json and --format {form} contradict each other.")
            form = "json"
        if form is None and output is not None:
            ending = output.suffix.lower().removeprefix(".")
            form = next((known for known in get_args(Format) if known == ending), None)
            if form is None:
                raise WrongUse(f"the name of {output} says no format; add --format csv, parquet or json.")
        form = form or "table"
        if form == "table" and output is not None:
            raise WrongUse("a table is for reading; write csv, parquet or json to a file.")
        if form == "parquet" and output is None:
            raise WrongUse("parquet goes to a file; add --output FILE.")
        if output is not None:
            if output.exists() or output.is_symlink():
                raise _exists(output)
            if not output.parent.is_dir():
                raise InvalidInput(f"{output.parent} is no folder.", remedy="Create it, or choose another --output.")
        return cls(form, output)

    @property
    def on_screen(self) -> bool:
        """Whether stdout is for people."""
        return self.form == "table"

    def give(self, release: Release, *, reused: bool) -> None:
        """Show, print or write the release."""
        place = f"entry {release.entry['sequence']} of {release.entry['population']!r}"
        said = [f"Answered before, as {place}; nothing was spent." if reused else f"{release.guarantee}; {place}."]
        said += [f"  {note}" for note in release.facts["notes"]]
        if self.output is not None:
            _write(self.output, self._bytes(release, reused=reused))
            rows = release.value.num_rows
            said.insert(0, f"Wrote {self.output}, {rows:,} {'row' if rows == 1 else 'rows'}.")
        elif self.form == "table":
            _show(release)
        else:
            print(self._bytes(release, reused=reused).decode(), end="")
            if self.form == "json":
                return
            for line in said:  # stdout holds the rows alone
                errors().print(Text(line), soft_wrap=True)
            return
        for line in said:
            say(line)

    def _bytes(self, release: Release, *, reused: bool) -> bytes:
        held = io.BytesIO()
        if self.form == "csv":
            from pyarrow import csv

            csv.write_csv(release.value, held)
        elif self.form == "parquet":
            from pyarrow import parquet

            parquet.write_table(release.value, held)
        else:
            held.write(f"{as_text(_json(release, reused=reused))}\n".encode())
        return held.getvalue()


def _json(release: Release, *, reused: bool) -> dict[str, Any]:
    return {
        "name": release.name,
        "reused": reused,
        "value": release.value.to_pylist(),
        "accuracy": dict(release.accuracy),
        "guarantee": release.guarantee.to_dict(),
        "entry": dict(release.entry),
        "notes": release.facts["notes"],
    }


def _show(release: Release) -> None:
    """Print one line for each answer: to the digits that the noise leaves it, its error and its interval."""
    columns = Columns.of(release)
    lines = []
    for row in release.value.to_pylist():
        group = columns.row(row)
        for name in columns.measured:
            error, low, high = (row[f"{name}_{part}"] for part in ("se", "low", "high"))
            span = f"{rounded(low, error)} – {rounded(high, error)}"
            if low is None and high is None:
                span = instead(release.accuracy[name]) or NOTHING
            lines.append((*group, name, rounded(row[name], error), number(error, 2), span))
            group = ("",) * len(group)
    names = ("column", "answer", "standard error", "95 % interval")
    show_table("", (*columns.keys, *names), lines, right=names[1:])


def _write(path: Path, content: bytes) -> None:
    """Write a new file, whole or not at all; never over another."""
    stands = {
        "state": "The release stands, and so does its charge.",
        "remedy": "Ask the same again with another --output: that costs nothing.",
    }
    failure: DiscreetError
    try:
        with path.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            except OSError:
                path.unlink(missing_ok=True)
                raise
            return
    except FileExistsError:
        failure = InvalidInput(f"{path} exists already.", **stands)
    except OSError as error:
        failure = InvalidInput(f"{path} cannot be written: {error.strerror}.", **stands)
    raise failure


def _exists(path: Path) -> InvalidInput:
    return InvalidInput(f"{path} exists already.", remedy="Choose another --output, or remove it.")

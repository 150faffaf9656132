"""What `discreet query` does with a release: shows it, prints it for programs, or writes it to a file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rich.text import Text

from discreet.cli.output import WrongUse, as_text, errors, say, show_json, show_table
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
        as_json: Whether stdout is one JSON object, whatever is written to a file.
    """

    form: Format
    output: Path | None
    as_json: bool

    @classmethod
    def of(cls, form: Format | None, output: Path | None, *, as_json: bool) -> Wanted:
        """Return what the options ask for.

        Raises:
            WrongUse: they contradict each other.
            InvalidInput: the file is there already, or its folder is not; seen before anything is spent.
        """
        if output is None:
            if as_json and form not in (None, "json"):
                raise WrongUse(f"--json and --format {form} contradict each other; --output FILE keeps them apart.")
            if form == "parquet":
                raise WrongUse("parquet goes to a file; add --output FILE.")
            return cls("json" if as_json else form or "table", None, as_json or form == "json")
        if form is None:
            ending = output.suffix.lower().removeprefix(".")
            form = next((known for known in get_args(Format) if known == ending), None)
        if form is None:
            raise WrongUse(f"the name of {output} says no format; add --format csv, parquet or json.")
        if form == "table":
            raise WrongUse("a table is for reading; write csv, parquet or json to a file.")
        if output.exists() or output.is_symlink():
            raise InvalidInput(f"{output} exists already.", remedy="Choose another --output, or remove it.")
        if not output.parent.is_dir():
            raise InvalidInput(f"{output.parent} is no folder.", remedy="Create it, or choose another --output.")
        return cls(form, output, as_json)

    @property
    def on_screen(self) -> bool:
        """Whether stdout is for people."""
        return not self.as_json and (self.form == "table" or self.output is not None)

    def give(self, release: Release, *, reused: bool) -> None:
        """Show, print or write the release."""
        if self.output is not None:
            _write(self.output, self._bytes(release, reused=reused))
        if self.as_json:
            written = {} if self.output is None else {"written": str(self.output)}
            show_json(_json(release, reused=reused) | written)
            return
        if self.output is not None:
            rows = release.value.num_rows
            say(f"Wrote {self.output}, {rows:,} {'row' if rows == 1 else 'rows'}.")
        elif self.form == "csv":
            print(self._bytes(release, reused=reused).decode(), end="")
        else:
            _show(release)
        place = f"entry {release.entry['sequence']} of {release.entry['population']!r}"
        said = [f"Answered before, as {place}; nothing was spent." if reused else f"{release.guarantee}; {place}."]
        for line in [*said, *(f"  {note}" for note in release.facts["notes"])]:
            if self.on_screen:
                say(line)
            else:  # stdout holds the rows alone
                errors().print(Text(line), soft_wrap=True)

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

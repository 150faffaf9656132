"""ledger open, show, raise, share, renew, verify, export."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discreet.cli.output import Json, help_if_alone, say, show_json, show_table
from discreet.errors import InvalidInput
from discreet.profiles import show_delta
from discreet.release.shown import number

if TYPE_CHECKING:
    from discreet.ledger import Account, Entry, Ledger, OwnerKey, Period, Total
    from discreet.project import Project

app = typer.Typer(help="The account book: what each population's budget is, and what was spent.")
app.callback(invoke_without_command=True)(help_if_alone)

Book = Annotated[str, typer.Argument(metavar="LEDGER", help="A project, a SQLite file or postgresql://…")]
Population = Annotated[str, typer.Argument(help="The account.")]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The owner's key; by default owner.key there.")]


def _open_book(book: str) -> tuple[Ledger, Project | None]:
    """Return the ledger, and the project if one was named."""
    from discreet.ledger import Ledger

    path = Path(book)
    if "://" not in book and (path.is_dir() or path.suffix == ".toml"):
        from discreet.project import Project

        project = Project.read(path)
        return project.ledger, project
    return Ledger(book), None


def _known(population: str, names: list[str]) -> str:
    if population not in names:
        from discreet.project import near

        raise InvalidInput(
            f"the ledger has no account {population!r}.{near(population, names)}",
            remedy=f"Its accounts: {', '.join(names) or 'none'}.",
        )
    return population


def _owner(key: Path | None, book: str, project: Project | None) -> OwnerKey:
    from discreet.ledger import OwnerKey

    if key is None:
        if "://" in book:
            raise InvalidInput("the owner's key is needed.", remedy="Give it with --key FILE.")
        key = Path(book).parent / "owner.key" if project is None else project.key_path
    return OwnerKey.read(key)


@app.command("open")
def open_accounts(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="A discreet.toml or the folder it is in.")],
    *,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Open the accounts that a project declares. Their terms are fixed for ever.

    Creates the owner's key (mode 0600) if there is none. Whoever holds it can raise budgets.
    """
    from discreet.ledger import OwnerKey
    from discreet.project import Project

    read = Project.read(project)
    place = key or read.key_path
    opened: list[Account] = []
    if read.unopened():
        if key is None:
            _check_own(read, OwnerKey.read(place).public if place.exists() else None)
        owner = OwnerKey.read(place) if place.exists() else OwnerKey.create(place)
        opened = read.open(owner)
    if as_json:
        show_json({"opened": [_account(item) for item in opened], "key": str(place)})
        return
    for account in opened:
        say(f"Opened {account.population!r}: {_terms(account)}.")
        if account.delta_atoms and account.measure.kind != "pure":
            kept = f"δ = {show_delta(account.delta_atoms)} is kept for events with a δ of their own (delta_atoms)"
            say(f"  {kept}; one release could have at most ε = {number(_left(account))}.")
    if not opened:
        say("All accounts are open.")
        return
    say(f"The owner's key is {place}; keep it where analysts cannot read it.")
    say(f'Its public half, for owner = "…" under each population: {owner.public}')


def _check_own(project: Project, public: str | None) -> None:
    """Refuse to open an account under another key than the others of the ledger, unless that is asked for."""
    for name, known in project.owners().items():
        if known != public:
            found = "is not there" if public is None else "is another one"
            raise InvalidInput(
                f"{name!r} was opened with the key {known}; {project.key_path} {found}.",
                remedy="Put that key back, or name the key of the new accounts with --key FILE (made if it is not there).",
            )


@app.command()
def show(
    book: Book,
    *,
    population: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    as_json: Json = False,
) -> None:
    """Show budgets, what was spent, and on what. With --json every entry in full."""
    ledger, project = _open_book(book)
    names = ledger.populations()
    if population is not None:
        names = [_known(population, names)]
    accounts = [(ledger.account(name), ledger.entries(name)) for name in names]
    if as_json:
        fixed = project is not None and project.settings.about.get("fixed_beforehand") is True
        show_json(
            {
                "accounts": [
                    _account(account)
                    | {"history": _history(account, entries, fixed=fixed), "total": _total(ledger, account)}
                    | {"entries": [entry.to_dict() for entry in entries]}
                    for account, entries in accounts
                ]
            }
        )
        return
    for account, entries in accounts:
        _show_account(account, entries, ledger.total(account.population) if account.renewals else None)


def _history(account: Account, entries: list[Entry], *, fixed: bool) -> dict[str, Any]:
    """Return what was spent so far, by the filter and by the curve of what ran; the curve is worked out here and now."""
    from discreet.explain import budget

    found = budget.history(account, entries, fixed=fixed)
    return {name: found[name] for name in ("filter", "epsilon", "epsilon_lower", "label", "method")}


def _show_account(account: Account, entries: list[Entry], total: Total | None) -> None:
    facts = _account(account)
    say(f"{account.population}: {_terms(account)}")
    if total is not None:
        _show_total(account, total)
    else:
        spent, all_ = number(facts["spent_epsilon"]), number(account.epsilon)
        say(f"  spent ε = {spent} of {all_} at δ = {show_delta(account.delta)}")
        say(f"  one more release could have at most ε = {number(facts['left_epsilon'])}")
    for item in account.raises:
        late = f", chosen after {_releases(item.seen)}" if item.seen else ""
        say(f"  raised to ε = {number(item.epsilon)} on {_minute(item.when)}{late}")
    for name, share in account.shares.items():
        share_left = _left(account, name)
        say(f"  share of {name}: ε = {number(share.epsilon)}; one more release could have ε = {number(share_left)}")
    answered = {entry.request for entry in entries if entry.kind == "release"}
    say("")
    rows = [_row(entry, account, answered) for entry in entries if entry.kind != "release"]
    show_table("", ("entry", "when (UTC)", "what", "who", "why", "budget"), rows, right=("entry", "budget"))
    say(f"head {account.head}")


def _show_total(account: Account, total: Total) -> None:
    from discreet.ledger.periods import named

    count, per = len(total.periods), account.unit.per
    for period, spent in total.periods.items():
        say(f"  {per} {named(period)}: spent ε = {number(spent.epsilon)} at δ = {show_delta(spent.delta)}")
    person, most = (
        f"ε = {number(each.epsilon)} at δ = {show_delta(each.delta)}" for each in (total.person, total.most)
    )
    who = f"a person in all {count} periods" if count > 1 else f"a person in this {per}"
    say(f"  {who}: spent {person}; {most} once everything is spent")


def _row(entry: Entry, account: Account, answered: set[str | None]) -> tuple[object, ...]:
    what, who, why, part = str(entry.kind), entry.who, entry.purpose or "", ""
    if entry.kind == "charge":
        what = "released" if entry.request in answered else "charged"
        who = entry.analyst or entry.who
        part = f"{100 * entry.cost.loss / account.capacity.loss:.2f} %"
    elif entry.kind == "renew":
        why = f"{account.unit.per} = {entry.body['period']['value']}, paid by {entry.body['account']}"
    elif entry.kind == "share":
        why = f"for {entry.analyst}: ε = {number(entry.body['epsilon'])}"
    else:
        why = f"ε = {number(entry.body['epsilon'])}, δ = {show_delta(account.delta)}"
    return entry.sequence, _minute(entry.when), what, who, why, part


def _releases(count: int) -> str:
    return f"{count} release{'s' if count > 1 else ''}"


def _minute(when: str) -> str:
    return when[:16].replace("T", " ")


@app.command("raise")
def raise_budget(
    book: Book,
    population: Population,
    *,
    epsilon: Annotated[float, typer.Option(help="The new, larger budget.")],
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Grant a larger epsilon at the same delta. After releases it is marked as chosen after them."""
    ledger, project = _open_book(book)
    _known(population, ledger.populations())
    account = ledger.raise_budget(population, epsilon=epsilon, owner=_owner(key, book, project))
    if as_json:
        show_json(_account(account))
        return
    seen = account.raises[-1].seen
    late = f" It was chosen after {_releases(seen)}, and every report will say so." if seen else ""
    say(f"{population!r} now has ε = {number(epsilon)} at δ = {show_delta(account.delta)}.{late}")


@app.command()
def share(
    book: Book,
    population: Population,
    analyst: Annotated[str, typer.Argument(help="Who gets it.")],
    *,
    epsilon: Annotated[float, typer.Option(help="The most this analyst may spend.")],
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Grant an analyst a share: what they ask must fit both their share and the account."""
    ledger, project = _open_book(book)
    _known(population, ledger.populations())
    account = ledger.share(population, analyst, epsilon=epsilon, owner=_owner(key, book, project))
    if as_json:
        show_json(_account(account))
        return
    say(f"{analyst} may spend up to ε = {number(epsilon)} of {population!r}.")


@app.command()
def renew(
    book: Book,
    population: Population,
    *,
    period: Annotated[str, typer.Option(help="The value of the period column.")],
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Open the account of one period, with the terms of the account. From the first on, periods pay for themselves."""
    ledger, project = _open_book(book)
    base = ledger.account(_known(population, ledger.populations()))
    account = ledger.renew(population, period=_period(period, base, project), owner=_owner(key, book, project))
    if as_json:
        show_json(_account(account))
        return
    say(f"Opened {account.population!r}: {_terms(account)}.")
    if not base.renewals:
        say(f"From now on nothing is charged to {population!r} as a whole: each {base.unit.per} pays for itself.")


def _period(text: str, account: Account, project: Project | None) -> Period:
    """Return a period by the type of its column: that of earlier renewals, or what the project declares."""
    from discreet.ledger.periods import READERS, kind_of

    per, kinds = account.unit.per, set(READERS)
    if per is None:
        return text  # which nothing can be renewed for; the ledger says why
    if account.renewals:
        kinds = {kind_of(account.renewals[0].period)}
    elif project is not None:
        tables = [table for table in project.settings.tables.values() if table.population == account.population]
        kinds &= {str(table.domain[per].type) for table in tables if per in table.domain}
    found = []
    for kind in kinds:
        with suppress(KeyError, ValueError):
            found.append(READERS[kind](text))
    if len(found) != 1:
        raise InvalidInput(
            f"{text!r} is no value of the period column {per!r}{', or of several types of it' if found else ''}.",
            remedy="Give it as the column is declared: a whole number, true or false, or a date such as 2024-05-31. "
            "Where only the file of a project declares its type, name the project instead of the ledger.",
        )
    return found[0]


@app.command()
def verify(book: Book, *, as_json: Json = False) -> None:
    """Recompute every chain, signature, cost and sum."""
    ledger, project = _open_book(book)
    found = ledger.verify()
    if project is not None:
        project.check_ledger()
    if as_json:
        shown = {"entries": dict(found.entries), "heads": dict(found.heads), "owners": dict(found.owners)}
        show_json({"verified": True} | shown)
        return
    for name, count in found.entries.items():
        say(f"{name}: {count} entries verified, head {found.heads[name]}, owner {found.owners[name]}")


@app.command()
def export(
    book: Book,
    *,
    _: Annotated[bool, typer.Option("--json", help="Accepted here too; the output is JSON always.")] = True,
) -> None:
    """Print every entry of every account as one JSON object."""
    show_json({"entries": _open_book(book)[0].export()})


def _terms(account: Account) -> str:
    return (
        f"ε = {number(account.epsilon)}, δ = {show_delta(account.delta)} {account.unit.label}, "
        f"measured in {account.measure}"
    )


def _left(account: Account, analyst: str | None = None) -> float:
    from discreet.ledger import remaining_epsilon

    return remaining_epsilon(account, analyst)


def _total(ledger: Ledger, account: Account) -> dict[str, Any] | None:
    """Return what a person in all periods keeps of a renewed account."""
    if not account.renewals:
        return None
    found = ledger.total(account.population)
    return {"person": found.person.to_dict(), "most": found.most.to_dict()}


def _account(account: Account) -> dict[str, Any]:
    from discreet.accounting import statement
    from discreet.ledger.periods import named

    return {
        "population": account.population,
        "unit": account.unit.to_dict(),
        "measure": str(account.measure),
        "opened_epsilon": account.opened_epsilon,
        "epsilon": account.epsilon,
        "delta": account.delta,
        "delta_atoms": account.delta_atoms,
        "ceiling": account.ceiling,
        "opened": account.opened,
        "capacity": {"loss": account.capacity.loss, "delta": account.capacity.delta},
        "spent": {"loss": account.spent.loss, "delta": account.spent.delta},
        "spent_epsilon": statement(account.measure, account.spent, delta=account.delta),
        "left_epsilon": _left(account),
        "raises": [{"epsilon": item.epsilon, "when": item.when, "seen": item.seen} for item in account.raises],
        "shares": {
            name: {
                "epsilon": item.epsilon,
                "spent": {"loss": item.spent.loss, "delta": item.spent.delta},
                "left_epsilon": _left(account, name),
            }
            for name, item in account.shares.items()
        },
        "renews": account.base,
        "period": None if account.period is None else named(account.period),
        "renewals": [
            {"period": named(item.period), "account": item.account, "when": item.when} for item in account.renewals
        ],
        "public_key": account.public_key,
        "head": account.head,
    }

"""The exception tree and the seal: no private byte leaves through a failure."""

import pickle
import sys
import threading
import traceback
import warnings

import pytest

from discreet import errors

SECRET = "patient 4711 has gout"


def chain_text(error: BaseException) -> str:
    """Everything a person or a logger could print of an error, locals of every frame included."""
    seen = [error]
    for item in seen:
        seen.extend(link for link in (item.__cause__, item.__context__) if link is not None and link not in seen)
    parts = []
    for item in seen:
        parts.append("".join(traceback.TracebackException.from_exception(item, capture_locals=True).format()))
        parts.append(repr(item.args))
        parts.append(repr(getattr(item, "__notes__", "")))
    return "\n".join(parts)


class Rows:
    """Stands for private rows: whoever prints it leaks."""

    def __repr__(self) -> str:
        return SECRET


def fail(kind: type[BaseException]):
    def work(source: object, entry: object) -> None:
        local = f"{source!r}"
        raise kind(local)

    return work


@pytest.mark.parametrize("kind", [ValueError, MemoryError, RecursionError, SystemExit, GeneratorExit, BaseException])
def test_a_failure_shows_nothing_private(kind):
    rows = Rows()

    def call() -> None:
        errors.sealed(fail(kind), rows, None)

    with pytest.raises(errors.DataFailure) as caught:
        call()
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    inner = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    sealed = [frame for frame in inner if frame.f_code.co_name in ("sealed", "work")]
    assert [frame.f_code.co_name for frame in sealed] == ["sealed"]
    assert "work" not in sealed[0].f_locals
    assert "args" not in sealed[0].f_locals
    assert SECRET not in str(caught.value)


def test_the_seal_holds_against_a_naive_twin():
    """The check above must be able to fail: `raise ... from None` leaves the message in __context__."""

    def naive(work, *args):
        try:
            return work(*args)
        except BaseException:
            raise errors.DataFailure("failed") from None

    with pytest.raises(errors.DataFailure) as caught:
        naive(fail(ValueError), Rows(), None)
    assert SECRET in chain_text(caught.value)


def test_every_failure_reads_the_same():
    texts = set()
    for kind in (ValueError, ZeroDivisionError, MemoryError):
        with pytest.raises(errors.DataFailure) as caught:
            errors.sealed(fail(kind), Rows(), None)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_an_interrupt_stays_an_interrupt_without_its_message():
    with pytest.raises(KeyboardInterrupt) as caught:
        errors.sealed(fail(KeyboardInterrupt), Rows(), None)
    assert caught.value.args == ()
    assert caught.value.__context__ is None


def test_warnings_do_not_leave():
    def work() -> int:
        warnings.warn(SECRET, stacklevel=1)
        return 7

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert errors.sealed(work) == 7
    assert seen == []


def test_nothing_is_left_for_a_post_mortem():
    with pytest.raises(errors.DataFailure):
        errors.sealed(fail(ValueError), Rows(), None)
    assert sys.exc_info() == (None, None, None)


def test_three_parts_survive_a_process_boundary():
    error = errors.BudgetExceeded("no", state="so", remedy="do")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.BudgetExceeded
    assert (again.what, again.state, again.remedy) == ("no", "so", "do")
    assert str(again) == "no\n  so\n  do"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(errors.InvalidInput, ValueError), (errors.MissingExtra, ImportError)],
)
def test_some_are_builtins_too(kind, builtin):
    assert issubclass(kind, errors.DiscreetError)
    assert issubclass(kind, builtin)


def test_a_missing_extra_names_the_command():
    assert 'pip install "discreet[sql]"' in str(errors.missing_extra("sql", "duckdb"))


def test_warnings_stay_silent_while_any_thread_is_at_work(capsys, recwarn):
    """A thread that leaves must not switch them on again under another; afterwards they are as before."""
    warnings.simplefilter("always")
    before = warnings.filters[:], warnings.showwarning, sys.unraisablehook, threading.excepthook
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first(*_):
        first_in.set()
        assert second_in.wait(10)

    def second(*_):
        second_in.set()
        assert first_out.wait(10)
        warnings.warn(SECRET, stacklevel=1)
        return "done"

    def run_first():
        errors.sealed(first)
        first_out.set()

    thread = threading.Thread(target=run_first)
    thread.start()
    assert first_in.wait(10)
    assert errors.sealed(second) == "done"
    thread.join()
    assert not recwarn.list
    assert (warnings.filters[:], warnings.showwarning, sys.unraisablehook, threading.excepthook) == before
    assert SECRET not in "".join(capsys.readouterr())


class Dying:
    """Fails while it is thrown away, where Python can only print the error."""

    def __del__(self):
        raise ValueError(SECRET)


def test_errors_that_python_prints_by_itself_are_not_printed(capsys):
    def work(*_):
        Dying()
        thread = threading.Thread(target=fail(ValueError), args=(Rows(), None))
        thread.start()
        thread.join()
        return "done"

    assert errors.sealed(work) == "done"
    assert SECRET not in "".join(capsys.readouterr())


def test_a_thread_that_leaves_its_own_filters_meanwhile_shows_nothing(capsys):
    """It entered catch_warnings before the seal, and puts the old filters back while work goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")

        def work(*_):
            warnings.filters[:] = [("always", None, Warning, None, 0)]
            warnings.warn(SECRET, stacklevel=1)
            return "done"

        assert errors.sealed(work) == "done"
    assert SECRET not in "".join(capsys.readouterr())

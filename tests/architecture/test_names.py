"""`__all__` is complete, and true; that it is sorted is ruff's to say (RUF022)."""

import importlib
import inspect
import pkgutil
import types

import pytest

import discreet


def public_modules():
    for module in pkgutil.iter_modules(discreet.__path__, "discreet."):
        if not module.name.rpartition(".")[2].startswith("_"):
            yield module.name


MODULES = ["discreet", *public_modules()]


def test_all_modules_are_seen():
    assert {"discreet.errors", "discreet.ledger", "discreet.sql"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_all_is_true(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None)
    if names is None:
        assert not hasattr(module, "__path__"), f"the package {name} must say what is public"
        return
    assert len(names) == len(set(names))
    missing = [public for public in names if not hasattr(module, public)]
    assert missing == []


@pytest.mark.parametrize("name", MODULES)
def test_all_is_complete(name):
    """What a package defines or imports by a public name is in `__all__`; modules are reached by their own name."""
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        return
    held = {
        public
        for public, value in vars(module).items()
        if not public.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", "").startswith("discreet")
        and (inspect.isclass(value) or inspect.isfunction(value))
    }
    assert sorted(held - set(module.__all__)) == []


def test_dir_lists_what_is_public():
    assert set(discreet.__all__) <= set(dir(discreet))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = discreet.nothing_of_ours

"""The encoding: what a released model says of how tables are read, so that nothing else is needed to use it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import torch

from discreet.domains import Domain
from discreet.train.tables.net import ENCODING

VERSION = 1


def written(kind: str, parameters: Mapping[str, Any], domain: Mapping[str, Any]) -> bytes:
    """Return the encoding of an estimator.

    Args:
        kind: Of estimator.
        parameters: The arguments of its constructor.
        domain: The columns that are read, in order: the model's inputs stand in it.
    """
    facts = {
        "v": VERSION,
        "kind": kind,
        "parameters": {**parameters, "hidden": list(parameters["hidden"])},
        "domain": {name: column.to_dict() for name, column in domain.items()},
    }
    return json.dumps(facts, separators=(",", ":")).encode()


def read(tensors: Mapping[str, torch.Tensor], kind: str) -> tuple[bytes, dict[str, Any], Domain]:
    """Return the encoding among a model's tensors, with the parameters and the columns that it names.

    Raises whatever comes of it where the tensors are others.
    """
    encoding = bytes(tensors[ENCODING].tolist())
    facts = json.loads(encoding)
    if (facts["kind"], facts["v"]) != (kind, VERSION):
        raise ValueError
    parameters = {**facts["parameters"], "hidden": tuple(facts["parameters"]["hidden"])}
    return encoding, parameters, Domain.from_dict(facts["domain"])


def check_sizes(tensors: Mapping[str, torch.Tensor], sizes: list[int]) -> None:
    """Refuse sizes of layers that the tensors have not, before memory is taken for them."""
    found = [tensors[f"layers.{place}.weight"].shape for place in range(len(sizes) - 1)]
    if [(shape[1], shape[0]) for shape in found] != [*itertools.pairwise(sizes)]:
        raise ValueError

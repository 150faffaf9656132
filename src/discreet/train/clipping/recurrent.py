"""Recurrent layers, whose fused calls hide their parameters: the same sums, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from discreet.train.clipping.watch import Rule, Watch

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State, list[Tensor]], State]


def _lstm_step(gates: Tensor, state: State, weights: list[Tensor]) -> State:
    hidden, cell = state
    gates = gates + functional.linear(hidden, weights[0], weights[1] if len(weights) > 1 else None)
    enter, forget, new, leave = gates.chunk(4, -1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


def _gru_step(gates: Tensor, state: State, weights: list[Tensor]) -> State:
    (hidden,) = state
    own = functional.linear(hidden, weights[0], weights[1] if len(weights) > 1 else None)
    reset, update, new = gates.chunk(3, -1)
    own_reset, own_update, own_new = own.chunk(3, -1)
    update = torch.sigmoid(update + own_update)
    new = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
    return (new + update * (hidden - new),)


def _simple_step(squash: Callable[[Tensor], Tensor]) -> Step:
    def step(gates: Tensor, state: State, weights: list[Tensor]) -> State:
        return (squash(gates + functional.linear(state[0], weights[0], weights[1] if len(weights) > 1 else None)),)

    return step


_STEPS: dict[str, Step] = {
    "lstm": _lstm_step,
    "gru": _gru_step,
    "rnn_tanh": _simple_step(torch.tanh),
    "rnn_relu": _simple_step(torch.relu),
}


def _direction(
    step: Step, inputs: Tensor, state: State, weights: list[Tensor], *, biased: bool
) -> tuple[Tensor, State]:
    """Run one layer in one direction over (time, batch, width)."""
    entering, own, *rest = weights
    bias = rest[:2] if biased else []
    projection = rest[2:] if biased else rest
    gates = functional.linear(inputs, entering, bias[0] if biased else None)
    outputs = []
    for gate in gates.unbind(0):
        state = step(gate, state, [own, *bias[1:]])
        if projection:
            state = (functional.linear(state[0], projection[0]), *state[1:])
        outputs.append(state[0])
    return torch.stack(outputs), state


def _layers(
    step: Step, inputs: Tensor, states: State, params: list[Tensor], settings: tuple[bool, int, float, bool, bool]
) -> tuple[Tensor, State]:
    biased, layers, dropout, train, both = settings
    ways = 2 if both else 1
    each = len(params) // (layers * ways)
    last: list[State] = []
    for layer in range(layers):
        results = []
        for way in range(ways):
            place = layer * ways + way
            state = tuple(part[place] for part in states)
            seen = inputs.flip(0) if way else inputs
            out, end = _direction(step, seen, state, params[place * each : (place + 1) * each], biased=biased)
            results.append(out.flip(0) if way else out)
            last.append(end)
        inputs = torch.cat(results, -1) if both else results[0]
        if dropout and train and layer < layers - 1:
            inputs = functional.dropout(inputs, dropout)
    return inputs, tuple(torch.stack(part) for part in zip(*last, strict=True))


def _recurrent(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    first = next(t for value in args if isinstance(value, (list, tuple)) for t in value if watch.leaf(t) is not None)
    if kwargs or isinstance(args[3], (list, tuple)):
        watch.refuse(first, f"{func.__name__} of a packed sequence")
    inputs, states, params, biased, layers, dropout, train, both, leading = args
    states = tuple(states) if isinstance(states, (list, tuple)) else (states,)
    states = tuple(part if watch.leaf(part) else part.clone() for part in states)  # a state is no constant
    settings = (biased, layers, dropout, train, both)
    with watch:
        if leading:
            inputs = inputs.transpose(0, 1)
        out, last = _layers(_STEPS[func.__name__], inputs, states, list(params), settings)
        return out.transpose(0, 1) if leading else out, *last


def _cell(watch: Watch, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    inputs, state, entering, own, *bias = (*args, *kwargs.values())
    bias = [b for b in bias if b is not None]
    step = _STEPS[func.__name__.removesuffix("_cell")]
    states = tuple(state) if isinstance(state, (list, tuple)) else (state,)
    states = tuple(part if watch.leaf(part) else part.clone() for part in states)  # a state is no constant
    with watch:
        gates = functional.linear(inputs, entering, bias[0] if bias else None)
        new = step(gates, states, [own, *bias[1:]])
    return new if len(new) > 1 else new[0]


RULES: dict[str, Rule] = dict.fromkeys(_STEPS, _recurrent) | dict.fromkeys(
    (f"{name}_cell" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")), _cell
)

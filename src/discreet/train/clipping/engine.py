"""The clipped sum: one forward pass, one backward pass, and what each example's gradient adds."""

from __future__ import annotations

import contextlib
import functools
import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from discreet.train.clipping import conv, embed, linear, normed, norms, recurrent, spread
from discreet.train.clipping.clips import Clip, Scaled
from discreet.train.clipping.folding import Fold, pieces, spans
from discreet.train.clipping.layout import Unwatchable
from discreet.train.clipping.loop import Loss, SlowModule, add_clipped, aside, gradients, noticed
from discreet.train.clipping.probe import ROWS, Notes, Records, Unsure, confirm, find_layouts, keyed, repeated, varied
from discreet.train.clipping.records import Part
from discreet.train.clipping.refusals import refuse_unfit
from discreet.train.clipping.setting import eager, exact
from discreet.train.clipping.steady import EVEN, FEW, MORE, Call, combines, unseen
from discreet.train.clipping.sums import allocate, trainable
from discreet.train.clipping.trees import examples_in, kept, losses_of, taken
from discreet.train.clipping.units import Formed, Method, lengths, units
from discreet.train.clipping.watch import Leaf, Rule, Watch, unasked

RULES: dict[str, Rule] = {
    **linear.RULES,
    **spread.RULES,
    **embed.RULES,
    **normed.RULES,
    **conv.RULES,
    **recurrent.RULES,
}
_backward = unasked(torch.autograd.backward) or torch.autograd.backward
LOOKED_AT = (
    "numbers of the batch may decide where its rows go, by a question such as mask.all(), by sorting, or by picking: every "
    "batch is looked at, in two more backward passes. The result is the same. A Hugging Face model asks no such question "
    "of an attention mask of four axes."
)
CHUNK = 1 << 22  # numbers held at a time where gradients are formed: 16 MB


@dataclass(frozen=True)
class Clipped:
    """The sum of clipped gradients. Nothing in it has noise yet: all of it is private.

    Args:
        sums: For each trainable parameter, the sum over examples (or units); never divided by their number.
        private_norms: Each example's (or unit's) norm before clipping; 0 for padding, inf or nan where it was left out.
    """

    sums: dict[str, Tensor]
    private_norms: Tensor


@functools.lru_cache(maxsize=64)
def _notes(model: weakref.ref[nn.Module], situation: tuple[Any, ...]) -> Notes:  # noqa: ARG001 - what the notes are about
    return Notes()


def clipped_sum(
    model: nn.Module,
    loss: Loss,
    batch: Any,
    clip: Clip,
    *,
    method: Method = Method.AUTO,
    microbatch: int | None = None,
    real: Tensor | None = None,
    owners: Tensor | None = None,
    into: dict[str, Tensor] | None = None,
) -> Clipped:
    """Return the sum of the examples' clipped gradients, over all parameters that require gradients.

    Args:
        model: The model; nothing about it is changed.
        loss: `loss(model, batch)` returns one number for each example, not averaged.
        batch: A tensor or a tuple, list or dict of tensors; the first axis is the example.
        clip: `Flat`, `Automatic`, `PerLayer`, `Groups`, or one of them `Scaled`.
        method: How the gradients of single examples are had; the result is the same.
        microbatch: At most so many examples at a time: less memory, the same result. Those of a unit stay together.
        real: One bool for each example; False for padding, which adds exactly nothing.
        owners: For each example the place of its unit, from 0, as int64: the mean of the gradients of a unit's
            examples is clipped as one. Left out: each example is a unit.
        into: Sums from earlier micro-batches, to which these are added.

    Returns:
        The sums in float32, and the examples' norms. Both are private.

    Raises:
        InvalidInput: the loss is not one number for each example, or a layer mixes the examples.

    Guarantee:
        Adding or removing one example, or one unit with all its examples, moves the sums by at most
        `clip.sensitivity` in L2, if each example's loss depends on that example alone. Rounding in norms is bounded,
        see the proof note. An example whose gradient is not finite adds exactly nothing, nor does the rest of its unit.

    Evidence:
        Proved: docs/proofs/clipping.md. Tested against one example at a time through plain autograd.

    Assumes:
        The loss of an example depends on no other one: `check` tests it.

    Not protected:
        The rounding of float32 addition, which depends on all examples; the time it takes.

    References:
        Bu, Wang, Zha, Karypis 2023, Differentially private optimization on large model at small cost.
    """
    examples = examples_in(batch)
    refuse_unfit(model)
    named = trainable(model)
    groups = dict(zip(named, clip.groups(list(named)), strict=True))
    batch, places = kept(batch, real, examples)
    parts, units = pieces(examples_in(batch), microbatch, owners, places, examples)
    sums = into if into is not None else {}
    fresh = allocate(sums, named)
    work = _Work(model, loss, clip, method, named, groups, sums, fresh, alone=microbatch == 1)
    lengths: list[Tensor] = []
    try:
        for part in parts:
            lengths.append(work.add(part.of(batch), part.size, part.fold))  # noqa: PERF401 - a frame less under the warning
    finally:
        work.settle(set(fresh))  # after an error too: what nobody wrote to holds whatever was in memory
    found = torch.cat(lengths).sqrt() if lengths else torch.zeros(0)
    if places is None and owners is None:
        return Clipped(sums, found)
    every = torch.zeros(units, device=found.device)
    if parts:
        every[torch.cat([part.units for part in parts]).to(found.device)] = found
    return Clipped(sums, every)


@dataclass
class _Work:
    """One call's settings, and the sums it adds to."""

    model: nn.Module
    loss: Loss
    clip: Clip
    method: Method
    named: dict[str, nn.Parameter]
    groups: dict[str, int]
    sums: dict[str, Tensor]
    fresh: set[str]
    alone: bool

    def settle(self, names: set[str]) -> None:
        """Set those of these sums that hold nothing yet to zero."""
        for name in names & self.fresh:
            self.sums[name].zero_()
        self.fresh -= names

    @property
    def count(self) -> int:
        """How many groups there are."""
        return max(self.groups.values()) + 1

    def add(self, batch: Any, examples: int, fold: Fold | None) -> Tensor:
        """Add a micro-batch; return its examples', or units', squared norms."""
        notes = self._notes()
        # Plain autograd rounds otherwise, and its norms have a smaller guard: whether one goes that way, because others
        # have filled the micro-batches before it, must not depend on them.
        twice = examples == 1 and not self.alone and notes.slow is None
        if self.method is not Method.LOOP and (examples > 1 or twice):
            found = examples if fold is None else fold.units
            try:
                uses = self._twice(batch, notes) if twice else self._uses(batch, examples, notes, fold)
            except Unwatchable as reason:
                notes.slow = reason.name, reason.operation
            except Unsure as unsure:
                return self._apart(batch, spans(examples, fold), None if twice else unsure.odd, fold)
            else:
                if notes.moved:
                    warnings.warn(LOOKED_AT, SlowModule, stacklevel=3)
                with torch.no_grad(), exact():
                    value, dead = (each[:found] for each in self._clip(uses, 2 if twice else found))
                return self._again(batch, value, dead, spans(examples, fold)) if bool(dead.any()) else value
            name, operation = notes.slow
            warnings.warn(
                f"parameter {name or '(unknown)'!r} is used in {operation}, which is not watched: the model runs one "
                "example at a time. The result is the same; it takes longer.",
                SlowModule,
                stacklevel=3,
            )
        return self._loop(batch, spans(examples, fold))

    def _notes(self) -> Notes:
        kinds = tuple(type(module) for module in self.model.modules())
        situation = (kinds, tuple(self.named), self.model.training, _told_apart(self.loss))
        return _notes(weakref.ref(self.model), situation)

    def _again(self, batch: Any, value: Tensor, dead: Tensor, spans: Sequence[slice]) -> Tensor:
        """Add by themselves the examples (or units) whose norms float32 does not hold on the fast way, and return all norms.

        One whose gradient is not finite adds nothing there, either. Left out here, a huge one would count or not by
        which way its micro-batch goes, and that depends on the others in it.
        """
        self.settle(set(self.sums))
        for i in dead.nonzero().flatten().tolist():
            one = gradients(self.model, self.loss, batch, spans[i], self.named)
            with torch.no_grad():
                value[i] = add_clipped(one, self.clip, self.groups, self.sums)[0]
        return value

    def _apart(self, batch: Any, spans: Sequence[slice], odd: Tensor | None, fold: Fold | None) -> Tensor:
        """Add examples (or units) of odd rows by themselves, and the others as if those were not there.

        Who goes which way must not depend on who else is in the batch: the ways round differently.
        """
        alone = torch.ones(len(spans), dtype=torch.bool)
        if odd is not None:
            alone = torch.stack([odd[rows].any() for rows in spans])
        value = torch.zeros(len(spans), device=next(iter(self.sums.values())).device)
        others = (~alone).nonzero().flatten().tolist()
        if others:
            rows = torch.cat([torch.arange(spans[i].start, spans[i].stop) for i in others])
            rest = None if fold is None else Fold(fold.sizes[~alone])
            value[others] = self.add(taken(batch, rows), len(rows), rest)
        return self._again(batch, value, alone, spans)

    def _loop(self, batch: Any, spans: Sequence[slice]) -> Tensor:
        self.settle(set(self.sums))
        found = []
        for rows in spans:
            one = gradients(self.model, self.loss, batch, rows, self.named)
            with torch.no_grad():
                found.append(add_clipped(one, self.clip, self.groups, self.sums))
        return torch.cat(found)

    def _uses(self, batch: Any, examples: int, notes: Notes, fold: Fold | None) -> dict[int, tuple[Leaf, list[Part]]]:
        """Run the model watched; return each leaf's uses, examples, or units, in front."""
        if notes.slow is not None:  # once that is known, no batch gets to say otherwise
            raise Unwatchable(*notes.slow)
        if not notes.layouts:
            self._probe(batch, examples, notes)
        plain = torch.ones(examples) if fold is None else fold.weights()
        weights = varied(examples) if notes.moved else []
        records, *weighted = self._record(batch, examples, [plain, *(plain * w for w in weights)], notes)
        if notes.moved and not weighted:
            weights = varied(examples)
            records, *weighted = self._record(batch, examples, [plain, *(plain * w for w in weights)], notes)
        try:
            uses = _arranged(records, notes, examples, fold)
        except Unwatchable:  # more steps than before, or other lengths that share axes otherwise
            moved = notes.moved
            self._probe(batch, examples, notes)
            if notes.moved and not moved:
                return self._uses(batch, examples, notes, fold)
            uses = _arranged(records, notes, examples, fold)
        for weight, other in zip(weights, weighted, strict=True):
            confirm(records, other, notes, weight)
        return uses

    def _twice(self, batch: Any, notes: Notes) -> dict[int, tuple[Leaf, list[Part]]]:
        """Return the uses for an example beside itself, which counts once."""
        uses = self._uses(taken(batch, repeated(batch, 2, 1)), 2, notes, None)
        for leaf, parts in uses.values():
            for part in parts:
                part.drop(torch.tensor([False, True], device=leaf.tensor.device))
        return uses

    def _probe(self, batch: Any, examples: int, notes: Notes) -> None:
        with torch.random.fork_rng():
            few = self._calls(batch, examples, FEW)
            runs = ((self._calls(batch, examples, rows), rows) for rows in (MORE, EVEN))
            notes.moved = notes.moved or unseen(self.model) or any(combines(few, *run) for run in runs)
            record = functools.partial(self._record, notes=notes)
            first = repeated(batch, ROWS, examples)
            # One that says nothing must not decide how others go: each gets to speak for all.
            for places in (first, *(torch.full_like(first, i) for i in range(examples))):
                with contextlib.suppress(Unsure):
                    return find_layouts(record, batch, notes, places)
        raise Unsure

    def _calls(self, batch: Any, examples: int, rows: int) -> list[Call]:
        """Return the calls of a run with so many examples."""
        watch = self._watch(rows)
        watch.calls = []
        with aside(self.named), eager(), torch.enable_grad(), watch:
            losses_of(self.model, self.loss, taken(batch, repeated(batch, rows, examples)), rows)
        return watch.calls

    def _watch(self, examples: int) -> Watch:
        constants = [*self.model.buffers(), *(p for p in self.model.parameters() if not p.requires_grad)]
        return Watch(self.named, constants, RULES, examples)

    def _record(self, batch: Any, examples: int, weights: list[Tensor], notes: Notes) -> list[Records]:
        """Run forward once and backward once for each vector of weights."""
        watch = self._watch(examples)
        found: list[Records] = []
        with aside(self.named), noticed(self.named), eager(), torch.enable_grad(), watch:
            losses = losses_of(self.model, self.loss, batch, examples)
            watch.pulled = True
            for place, weight in enumerate(weights):
                more = place + 1 < len(weights)
                # A checkpoint runs the model again in here, and that has to be watched too.
                _backward([losses], [weight.to(losses)], retain_graph=more)
                found.append(watch.records)
                watch.records = []
        # Where rows weigh differently, the order of the losses counts too, not only that of the parameters' rows.
        moved = watch.moved or (watch.looked and not bool((weights[0] == 1).all()))
        notes.learn(found[0], moved=moved)
        return found

    def _clip(self, uses: Mapping[int, tuple[Leaf, Sequence[Part]]], examples: int) -> tuple[Tensor, Tensor]:
        scales = self.clip.scales if isinstance(self.clip, Scaled) else None
        quick, formed = units(uses, self.named, self.sums, self.method, scales)
        self.settle(self.fresh - {unit.name for unit in quick})
        device = next(iter(self.sums.values())).device
        known = [
            norms.added(lengths(each)) if each else _none(examples, device)
            for each in ([unit for unit in quick if self.groups[unit.name] == group] for group in range(self.count))
        ]
        factors, total = self._formed(formed, known, examples) if formed else self._factors(known)
        dead = ~norms.finite(total)
        if bool(dead.any()):
            for unit in quick:
                for part in unit.parts:
                    part.drop(dead)
        for unit in quick:
            fresh = unit.name in self.fresh
            unit.total(factors[self.groups[unit.name]], self.sums[unit.name], self.named[unit.name], fresh=fresh)
            self.fresh.discard(unit.name)
        for other in formed:
            other.finish()
        return total.value, dead

    def _factors(self, known: Sequence[norms.Squares]) -> tuple[list[Tensor], norms.Squares]:
        total = norms.added(list(known))
        alive = norms.finite(total)
        factors = [self.clip.factors(group, self.count, norm) for group, norm in enumerate(known)]
        return [torch.where(alive, factor, torch.zeros_like(factor)) for factor in factors], total

    def _formed(
        self, formed: Sequence[Formed], known: Sequence[norms.Squares], examples: int
    ) -> tuple[list[Tensor], norms.Squares]:
        """Form gradients for a few examples at a time: measure, clip, add, forget."""
        step = max(1, CHUNK // sum(unit.size for unit in formed))
        factors: list[list[Tensor]] = [[] for _ in known]
        totals: list[norms.Squares] = []
        for low in range(0, examples, step):
            high = min(low + step, examples)
            rows: list[tuple[Formed, str, Tensor]] = []
            lengths: list[list[norms.Length]] = [[] for _ in known]
            for unit in formed:
                found = unit.form(low, high)
                for name, row in (self.clip.scaled(found) if isinstance(self.clip, Scaled) else found).items():
                    rows.append((unit, name, row))
                    lengths[self.groups[name]].append(norms.length(row))
            here = [norms.Squares(norm.value[low:high], norm.bound[low:high]) for norm in known]
            pairs = zip(here, lengths, strict=True)
            these, total = self._factors([norms.added([n, norms.together(ls)]) if ls else n for n, ls in pairs])
            dead = ~norms.finite(total)
            some = bool(dead.any())
            for unit, name, row in rows:
                if some:
                    row[dead] = 0
                unit.gather(name, row, these[self.groups[name]])
            totals.append(total)
            for group, factor in enumerate(these):
                factors[group].append(factor)
        whole = norms.Squares(torch.cat([t.value for t in totals]), torch.cat([t.bound for t in totals]))
        return [torch.cat(parts) for parts in factors], whole


def _told_apart(loss: Loss) -> Any:
    """Return what says whether two losses are one: the code of a function, else the object itself."""
    code = getattr(loss, "__code__", None)
    if code is not None:
        return code
    try:
        return weakref.ref(loss)
    except TypeError:
        return type(loss)


@torch.no_grad()
def _arranged(records: Records, notes: Notes, examples: int, fold: Fold | None) -> dict[int, tuple[Leaf, list[Part]]]:
    """Return each leaf's uses with the examples, or units, in front.

    Raises:
        Unwatchable: the notes do not know one, or its shape does not fit them.
    """
    uses: dict[int, tuple[Leaf, list[Part]]] = {}
    with exact():
        for key, leaf, trace in keyed(records):
            part = trace.arranged(notes.layout(key, leaf, trace, examples), examples)
            part = part if fold is None else part.folded(fold)
            uses.setdefault(id(leaf), (leaf, []))[1].append(part)
    return uses


def _none(examples: int, device: torch.device) -> norms.Squares:
    zeros = torch.zeros(examples, device=device)
    return norms.Squares(zeros, zeros)

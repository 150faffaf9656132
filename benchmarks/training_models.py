"""The models that `training.py` trains, M1 to M6, and the worker that takes a step of one when it is told to.

Imported by every contender, in whatever environment it runs: needs PyTorch and Python's own library alone.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

CLIP, NOISE, RATE = 1.0, 1.0, 0.01  # of every contender
WORDS = 8192


@dataclass(frozen=True)
class Case:
    """A model in training.

    Args:
        model: The model, its weights drawn from a seed.
        loss: `loss(model, batch)` returns one number for each example.
        batch: Tensors whose first axis is the example.
    """

    model: nn.Module
    loss: Any
    batch: tuple[torch.Tensor, ...]

    @property
    def named(self):
        """The parameters that are trained."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def parts(self, size):
        """Return the batch in micro-batches."""
        return list(zip(*(tensor.split(size) for tensor in self.batch), strict=True))


def labels(model, batch):
    """Return the cross entropy of each example of (inputs, labels)."""
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none")


def following(model, batch):
    """Return the cross entropy of each text: the mean over its words but the first."""
    (ids,) = batch
    logits = model(ids)[:, :-1]
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return losses.view(len(ids), -1).mean(1)


# ------------------------------------------------------------------------------------------- images


class Residual(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, inner, outer, stride):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.GroupNorm(8, outer)
        self.second, self.norm2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.GroupNorm(8, outer)
        self.short = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1, stride, bias=False)

    def forward(self, x):
        """Return images of `outer` channels."""
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return F.relu(y + self.short(x))


def mlp():
    """M1: two hidden layers of 1024 on 784 numbers, batches of 256."""
    net = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    return Case(net, labels, (torch.randn(256, 784), torch.randint(0, 10, (256,))))


def cnn():
    """M2: three convolutions with GroupNorm on images of 28 x 28, batches of 128."""
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.GroupNorm(8, 32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    return Case(net, labels, (torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,))))


def resnet():
    """M3: a ResNet-14 with GroupNorm on images of 3 x 32 x 32, batches of 64."""
    blocks = [(32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.GroupNorm(8, 32), nn.ReLU(), *(Residual(*one) for one in blocks),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    return Case(net, labels, (torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))))


# -------------------------------------------------------------------------------------------- texts


class LoRA(nn.Module):
    """A frozen linear layer beside a trained product of two thin ones, as in PEFT."""

    def __init__(self, inner, outer, rank=8):
        super().__init__()
        self.frozen = nn.Linear(inner, outer).requires_grad_(False)
        self.down, self.up = nn.Linear(inner, rank, bias=False), nn.Linear(rank, outer, bias=False)
        nn.init.normal_(self.up.weight, std=0.02)  # PEFT starts at 0, where nothing flows down

    def forward(self, x):
        """Return the sum of both."""
        return self.frozen(x) + 2 * self.up(self.down(x))


class Block(nn.Module):
    """A block of GPT-2: heads of 64, a hidden layer four times as wide."""

    def __init__(self, d, qkv):
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.LayerNorm(d), nn.LayerNorm(d), d // 64
        self.qkv, self.out = qkv(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        """Return what the next block sees."""
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.heads, 64).transpose(1, 2) for z in self.qkv(self.norm1(x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """A small GPT-2."""

    def __init__(self, d, length, layers, *, tied, qkv=nn.Linear):
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, d), nn.Embedding(length, d)
        self.blocks = nn.ModuleList(Block(d, qkv) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, WORDS, bias=False)
        nn.init.normal_(self.words.weight, std=0.02)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, ids):
        """Return a score for each word that may follow each one."""
        places = torch.arange(ids.shape[1]).repeat(len(ids), 1)  # Opacus refuses places that the texts share
        x = self.words(ids) + self.places(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def gpt(*, tied=False):
    """M4, or tied M4t: four blocks of width 256, batches of 16 texts of 128 words."""
    return Case(GPT(256, 128, 4, tied=tied), following, (torch.randint(0, WORDS, (16, 128)),))


def lora():
    """M6: four frozen blocks of width 256, LoRA of rank 8 on queries, keys and values; batches of 16 texts of 128 words."""
    net = GPT(256, 128, 4, tied=True).requires_grad_(False)
    for block in net.blocks:
        block.qkv = LoRA(256, 768)
    return Case(net, following, (torch.randint(0, WORDS, (16, 128)),))


class OffsetNorm(nn.Module):
    """Root mean square normalisation of Gemma, whose weight is an offset from one."""

    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d))

    def forward(self, x):
        """Return normalised numbers."""
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)


class GemmaBlock(nn.Module):
    """A block of VaultGemma: rotated queries and keys, one head of keys and values, a gated hidden layer."""

    def __init__(self, d, heads, hidden):
        super().__init__()
        self.norm1, self.norm2, self.heads = OffsetNorm(d), OffsetNorm(d), heads
        self.q, self.out = nn.Linear(d, heads * 64, bias=False), nn.Linear(heads * 64, d, bias=False)
        self.k, self.v = nn.Linear(d, 64, bias=False), nn.Linear(d, 64, bias=False)
        self.gate, self.up = nn.Linear(d, hidden, bias=False), nn.Linear(d, hidden, bias=False)
        self.down = nn.Linear(hidden, d, bias=False)

    def forward(self, x, turn):
        """Return what the next block sees."""
        b, t, _ = x.shape
        y = self.norm1(x)
        q, k, v = (f(y).view(b, t, -1, 64).transpose(1, 2) for f in (self.q, self.k, self.v))
        k, v = rotated(k, turn).expand(q.shape), v.expand(q.shape)
        mixed = F.scaled_dot_product_attention(rotated(q, turn), k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, -1))
        y = self.norm2(x)
        return x + self.down(F.gelu(self.gate(y), approximate="tanh") * self.up(y))


def rotated(x, turn):
    """Return queries or keys turned by their places."""
    cosine, sine = turn
    left, right = x.chunk(2, -1)
    return x * cosine + torch.cat((-right, left), -1) * sine


class Gemma(nn.Module):
    """VaultGemma, small: scaled words, rotary places, tied head, capped scores."""

    def __init__(self, d, layers, heads, hidden):
        super().__init__()
        self.words, self.scale = nn.Embedding(WORDS, d), d**0.5
        self.blocks = nn.ModuleList(GemmaBlock(d, heads, hidden) for _ in range(layers))
        self.norm, self.head = OffsetNorm(d), nn.Linear(d, WORDS, bias=False)
        nn.init.normal_(self.words.weight, std=0.02)
        self.head.weight = self.words.weight

    def forward(self, ids):
        """Return a score for each word that may follow each one."""
        speed = 10_000.0 ** -(torch.arange(32) / 32)
        angles = torch.outer(torch.arange(ids.shape[1]).float(), speed).repeat(1, 2)
        turn, x = (angles.cos(), angles.sin()), self.words(ids) * self.scale
        for block in self.blocks:
            x = block(x, turn)
        return 30 * torch.tanh(self.head(self.norm(x)) / 30)


def gemma():
    """M5: four blocks of width 256, batches of 8 texts of 256 words."""
    return Case(Gemma(256, 4, 4, 1024), following, (torch.randint(0, WORDS, (8, 256)),))


MODELS = {"M1": mlp, "M2": cnn, "M3": resnet, "M4": gpt, "M4t": lambda: gpt(tied=True), "M5": gemma, "M6": lora}


# -------------------------------------------------------------------------------------- the worker


def serve(prepare, **facts):
    """Build the model of the task, then take a step for each line of input; answer each with a line of JSON.

    Args:
        prepare: `prepare(case, microbatch)` returns what takes a step.
        facts: Versions.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    asked = json.loads(sys.argv[-1])
    torch.manual_seed(0)
    case = MODELS[asked["model"]]()
    load(case, min(asked["microbatch"], 32))
    built = resident("VmRSS")
    weights = sum(p.numel() * p.element_size() for p in case.model.parameters())
    take = prepare(case, asked["microbatch"])
    tell({"torch": torch.__version__, **facts})
    for _ in sys.stdin:
        start = time.process_time()
        take()
        spent = time.process_time() - start
        tell({"cpu": spent, "peak": resident("VmHWM") - built + weights})


def load(case, microbatch):
    """Compute a gradient and take a step of something else, so that PyTorch's own code lies in memory; forget them.

    The first step of any optimizer imports 80 MB.
    """
    case.loss(case.model, case.parts(microbatch)[0]).sum().backward()
    case.model.zero_grad()
    other = nn.Parameter(torch.zeros(1))
    other.grad = torch.zeros(1)
    torch.optim.SGD([other], lr=RATE).step()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak


def resident(which):
    """Return the resident memory of this process in bytes: now (VmRSS), or the most it ever was (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def tell(answer):
    """Print a line for the caller."""
    print(json.dumps(answer), flush=True)

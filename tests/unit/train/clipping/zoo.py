"""Small models of every kind, each with a loss and a batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

B = 5


class Case(NamedTuple):
    model: nn.Module
    batch: Any
    loss: Any


def squared(model, batch):
    """A loss that weights every output differently, so that no gradient vanishes by symmetry."""
    out = model(*batch) if isinstance(batch, tuple) else model(batch)
    out = out.flatten(1)
    return (out * torch.linspace(0.5, 1.5, out.shape[1])).square().mean(1)


def words(model, batch):
    out = model(batch)
    return F.cross_entropy(out[:, :-1].transpose(1, 2), batch[:, 1:], reduction="none").mean(1)


class Call(nn.Module):
    """A forward function over named children and parameters."""

    def __init__(self, forward, **members):
        super().__init__()
        self.run = forward
        for name, member in members.items():
            setattr(self, name, member)

    def forward(self, *inputs):
        return self.run(self, *inputs)


class Block(nn.Module):
    def __init__(self, d, *, norm):
        super().__init__()
        self.norm1, self.norm2 = norm(d), norm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, 2, d // 2).transpose(1, 2) for z in self.qkv(self.norm1(x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """A small language model; `tied` shares the table of words with the head."""

    def __init__(self, words=23, d=8, length=10, layers=2, *, tied=False, norm=nn.LayerNorm, checkpointed=None):
        super().__init__()
        self.head = nn.Linear(d, words, bias=False)  # before the body on purpose
        self.wte, self.wpe = nn.Embedding(words, d), nn.Embedding(length, d)
        self.blocks = nn.ModuleList(Block(d, norm=norm) for _ in range(layers))
        self.norm = norm(d)
        self.checkpointed = checkpointed
        if tied:
            self.head.weight = self.wte.weight

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1])[None])
        for block in self.blocks:
            if self.checkpointed is None:
                x = block(x)
            else:
                x = checkpoint(block, x, use_reentrant=self.checkpointed)
        return self.head(self.norm(x))


class HalfPlusNorm(nn.Module):
    """RMS normalisation whose weight is an offset from one, as in Gemma."""

    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d))

    def forward(self, x):
        normed = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (normed * (1.0 + self.weight.float())).type_as(x)


class Conv1D(nn.Module):
    """The transposed linear layer of GPT-2, which flattens examples and positions."""

    def __init__(self, out, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(width, out) * 0.1), nn.Parameter(torch.zeros(out))

    def forward(self, x):
        size = (*x.size()[:-1], self.weight.shape[1])
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(size)


class LoRA(nn.Module):
    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, base.in_features) * 0.3)
        self.b = nn.Parameter(torch.randn(base.out_features, rank) * 0.3)

    def forward(self, x):
        return self.base(x) + (x @ self.a.T) @ self.b.T * 0.5


class Residual(nn.Module):
    def __init__(self, c, out, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(c, out, 3, stride, 1, bias=False), nn.GroupNorm(2, out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.GroupNorm(2, out)
        self.skip = nn.Conv2d(c, out, 1, stride, bias=False)

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.skip(x))


def randn(*shape):
    return torch.randn(B, *shape)


def ids(words, length):
    return torch.randint(0, words, (B, length))


def conv(*args, size=(9, 8), **kwargs):
    return lambda: Case(nn.Conv2d(*args, **kwargs), randn(args[0], *size), squared)


def _twice():
    body, head = nn.Linear(4, 4), nn.Linear(4, 2)
    return Case(Call(lambda m, x: m.head(m.body(torch.tanh(m.body(x)))), body=body, head=head), randn(3, 4), squared)


def _attention(first):
    mha = nn.MultiheadAttention(8, 2, batch_first=first, bias=True)

    def forward(m, x):
        if first:
            return m.mha(x, x, x)[0]
        x = x.transpose(0, 1)
        return m.mha(x, x, x, need_weights=False)[0].transpose(0, 1)

    return Case(Call(forward, mha=mha), randn(B, 8), squared)


def _cross_attention():
    mha = nn.MultiheadAttention(8, 2, batch_first=True, kdim=6, vdim=4, add_bias_kv=True)
    return Case(Call(lambda m, q, k, v: m.mha(q, k, v)[0], mha=mha), (randn(3, 8), randn(4, 6), randn(4, 4)), squared)


def _biased_attention():
    def forward(m, x):
        q, k, v = (z.unflatten(-1, (2, 4)).transpose(1, 2) for z in m.qkv(x).chunk(3, -1))
        bias = m.near(torch.arange(5)[:, None].sub(torch.arange(5)).abs()).permute(2, 0, 1)[None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)

    return Case(Call(forward, qkv=nn.Linear(8, 24), near=nn.Embedding(5, 2)), randn(5, 8), squared)


def _places():
    """Learned places, some of them twice, one of them padding."""

    def forward(m, x):
        return m.body(x) + m.once(torch.arange(6)) + m.twice(torch.arange(6) % 4) + m.padded(torch.arange(6))

    members = {name: nn.Embedding(6, 3) for name in ("once", "twice")} | {"padded": nn.Embedding(6, 3, padding_idx=2)}
    return Case(Call(forward, body=nn.Linear(4, 3), **members), randn(6, 4), squared)


def _recurrent(kind, first, **kwargs):
    net = kind(4, 6, batch_first=first, **kwargs)

    def forward(m, x):
        return m.net(x)[0] if first else m.net(x.transpose(0, 1))[0].transpose(0, 1)

    return Case(Call(forward, net=net), randn(B, 4), squared)


def _cell():
    def forward(m, x):
        h = c = torch.zeros(len(x), 6)
        for t in range(3):
            h, c = m.cell(x[:, t], (h, c))
        return h

    return Case(Call(forward, cell=nn.LSTMCell(4, 6)), randn(3, 4), squared)


def _hand_rolled():
    def forward(m, x):
        h = torch.zeros(len(x), 6)
        for t in range(3):
            h = torch.tanh(m.enter(x[:, t]) + m.own(h))
        return h

    return Case(Call(forward, enter=nn.Linear(4, 6), own=nn.Linear(6, 6)), randn(3, 4), squared)


def _bare():
    def forward(m, x):
        return m.body(x * m.scale + m.shift) @ m.matrix - m.one

    return Case(
        Call(
            forward,
            body=nn.Linear(4, 4),
            scale=nn.Parameter(torch.rand(4) + 0.5),
            shift=nn.Parameter(torch.randn(3, 4)),
            matrix=nn.Parameter(torch.randn(4, 5)),
            one=nn.Parameter(torch.tensor(0.3)),
        ),
        randn(3, 4),
        squared,
    )


def _functional():
    def forward(m, x):
        w = m.w
        x = F.linear(x, w.t().contiguous(), None) / m.s.exp()
        return torch.where(x > 0, x, m.s * x).mul_(2.0) ** 2 + 1 / m.s

    return Case(
        Call(forward, w=nn.Parameter(torch.randn(4, 6)), s=nn.Parameter(torch.tensor(0.7))), randn(2, 4), squared
    )


def _class_token():
    def forward(m, x):
        x = torch.cat([m.token.expand(len(x), -1, -1), m.embed(x)], 1) + m.place
        return m.block(x)[:, 0]

    return Case(
        Call(
            forward,
            token=nn.Parameter(torch.randn(1, 1, 8)),
            place=nn.Parameter(torch.randn(1, 5, 8)),
            embed=nn.Linear(3, 8),
            block=Block(8, norm=nn.LayerNorm),
        ),
        randn(4, 3),
        squared,
    )


def _padded():
    body = nn.Embedding(7, 4, padding_idx=0)
    return Case(Call(lambda m, x: m.head(m.body(x)), body=body, head=nn.Linear(4, 3)), ids(7, 6), squared)


def _bag(mode, padding=None):
    return lambda: Case(
        Call(
            lambda m, x: m.head(m.bag(x)),
            bag=nn.EmbeddingBag(7, 4, mode=mode, padding_idx=padding),
            head=nn.Linear(4, 3),
        ),
        ids(7, 6),
        squared,
    )


def _windows():
    """Windows of an image as rows, examples varying slowest, then fastest."""

    def forward(m, x):
        x = m.one(x.reshape(-1, 4)).reshape(B if len(x) == B else len(x), 6, 4)
        return m.two(x.transpose(0, 1).reshape(-1, 4)).reshape(6, -1, 4).transpose(0, 1)

    return Case(Call(forward, one=nn.Linear(4, 4), two=nn.Linear(4, 4)), randn(6, 4), squared)


def _gate():
    def forward(m, x):
        share = torch.sigmoid(m.g)
        return share * m.a(x) + (1 - share) * x

    return Case(Call(forward, g=nn.Parameter(torch.tensor(0.2)), a=nn.Linear(3, 3)), randn(3), squared)


def _normalised():
    def forward(m, x):
        return F.linear(F.normalize(x, dim=-1), F.normalize(m.w, dim=-1)) * m.s.exp()

    return Case(Call(forward, w=nn.Parameter(torch.randn(5, 4)), s=nn.Parameter(torch.tensor(1.0))), randn(4), squared)


def _last_word():
    """A position picked by the data, in every example one."""

    def forward(m, ids):
        x = m.body(ids)
        return m.head(x[torch.arange(len(ids)), ids.argmax(1)])

    return Case(Call(forward, body=nn.Embedding(7, 4), head=nn.Linear(4, 3)), ids(7, 6), squared)


def _einsum():
    def forward(m, x):
        heads = torch.einsum("btd,dhe->bhte", x, m.w)
        return torch.einsum("bhte,hed->btd", heads, m.o)

    return Case(
        Call(forward, w=nn.Parameter(torch.randn(4, 2, 3)), o=nn.Parameter(torch.randn(2, 3, 4))), randn(5, 4), squared
    )


def _normed(norm, *shape):
    return lambda: Case(nn.Sequential(nn.Flatten(0, 0), norm, nn.Tanh()), randn(*shape), squared)


def _batch_norm():
    norm = nn.BatchNorm2d(4)
    nn.init.uniform_(norm.weight)
    return Case(nn.Sequential(nn.Conv2d(2, 4, 3), norm).eval(), randn(2, 6, 6), squared)


def _frozen():
    model = GPT(tied=True)
    model.blocks[0].requires_grad_(False)
    model.blocks[1].up.bias.requires_grad_(False)
    model.blocks[1].down.weight.requires_grad_(False)
    return Case(model, ids(23, 7), words)


def _lora():
    model = GPT().requires_grad_(False)
    for block in model.blocks:
        block.qkv = LoRA(block.qkv)
    return Case(model, ids(23, 7), words)


def _tree():
    def loss(model, batch):
        return (model(batch["x"][0]) - batch["y"]).square().mean(1) * batch["weight"]

    batch = {"x": [randn(4)], "y": randn(2), "weight": torch.rand(B)}
    return Case(nn.Linear(4, 2), batch, loss)


CASES = {
    "mlp": lambda: Case(nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3, bias=False)), randn(6), squared),
    "linear of 4 axes": lambda: Case(nn.Linear(4, 3), randn(2, 3, 4), squared),
    "cnn": lambda: Case(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.GroupNorm(2, 4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3),
            nn.GroupNorm(3, 6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24, 3),
        ),
        randn(2, 8, 8),
        squared,
    ),
    "resnet": lambda: Case(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            Residual(4, 4, 1),
            Residual(4, 6, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 3),
        ),
        randn(3, 8, 8),
        squared,
    ),
    "gpt": lambda: Case(GPT(), ids(23, 7), words),
    "gpt tied": lambda: Case(GPT(tied=True), ids(23, 7), words),
    "gpt as long as the batch": lambda: Case(GPT(tied=True), ids(23, B), words),
    "gpt rms": lambda: Case(GPT(norm=nn.RMSNorm), ids(23, 7), words),
    "gpt one plus norm": lambda: Case(GPT(norm=HalfPlusNorm, tied=True), ids(23, 7), words),
    "gpt checkpointed": lambda: Case(GPT(tied=True, checkpointed=False), ids(23, 7), words),
    "gpt checkpointed, old way": lambda: Case(GPT(tied=True, checkpointed=True), ids(23, 7), words),
    "gpt partly frozen": _frozen,
    "lora": _lora,
    "conv1d of gpt-2": lambda: Case(nn.Sequential(Conv1D(6, 4), nn.GELU(), Conv1D(3, 6)), randn(7, 4), squared),
    "called twice": _twice,
    "bare parameters": _bare,
    "functional": _functional,
    "class token": _class_token,
    "weight_norm": lambda: Case(
        nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)), nn.Tanh()), randn(3, 4), squared
    ),
    "orthogonal": lambda: Case(parametrizations.orthogonal(nn.Linear(4, 3)), randn(4), squared),
    "padding_idx": _padded,
    "bag mean": _bag("mean"),
    "bag sum padded": _bag("sum", 1),
    "bag max": _bag("max"),
    "conv stride": conv(2, 4, 3, stride=2, padding=1),
    "conv dilation": conv(2, 4, 3, dilation=2, padding=(1, 2)),
    "conv groups": conv(4, 6, 3, groups=2),
    "conv depthwise": conv(4, 8, 3, groups=4, padding=1),
    "conv same": conv(2, 3, 4, padding="same"),
    "conv reflect": conv(2, 3, 3, padding=1, padding_mode="reflect"),
    "conv one": conv(3, 5, 1, bias=False),
    "conv1d": lambda: Case(nn.Conv1d(3, 4, 3, stride=2, padding=1), randn(3, 9), squared),
    "conv3d": lambda: Case(nn.Conv3d(2, 3, (1, 2, 3), padding=1), randn(2, 3, 4, 5), squared),
    "transposed": lambda: Case(
        nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1, groups=1), randn(3, 4, 5), squared
    ),
    "transposed groups": lambda: Case(nn.ConvTranspose1d(4, 6, 3, dilation=2, groups=2), randn(4, 6), squared),
    "conv over folded frames": lambda: Case(
        Call(lambda m, x: m.conv(x.flatten(0, 1)).unflatten(0, (-1, 4)), conv=nn.Conv2d(2, 3, 3)),
        randn(4, 2, 5, 5),
        squared,
    ),
    "layer norm": _normed(nn.LayerNorm((3, 4)), 2, 3, 4),
    "rms norm": _normed(nn.RMSNorm(4), 3, 4),
    "group norm": _normed(nn.GroupNorm(2, 4), 4, 5),
    "instance norm": _normed(nn.InstanceNorm2d(3, affine=True), 3, 4, 4),
    "batch norm, fixed": _batch_norm,
    "prelu": _normed(nn.PReLU(3), 3, 4),
    "attention": lambda: _attention(True),
    "attention, time first": lambda: _attention(False),
    "attention across": _cross_attention,
    "attention with a bias": _biased_attention,
    "places in a table": _places,
    "encoder layer": lambda: Case(
        nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True), randn(6, 8), squared
    ),
    "lstm": lambda: _recurrent(nn.LSTM, True, num_layers=2, bidirectional=True),
    "lstm, time first": lambda: _recurrent(nn.LSTM, False, proj_size=3),
    "gru": lambda: _recurrent(nn.GRU, True, bias=False),
    "rnn": lambda: _recurrent(nn.RNN, True, nonlinearity="relu"),
    "lstm cell": _cell,
    "recurrence by hand": _hand_rolled,
    "windows": _windows,
    "einsum": _einsum,
    "gate": _gate,
    "normalised weights": _normalised,
    "last word": _last_word,
    "bilinear": lambda: Case(nn.Bilinear(3, 4, 2), (randn(3), randn(4)), squared),
    "tree": _tree,
}


def build(name: str) -> Case:
    torch.manual_seed(math.prod(map(ord, name)) % 2**31)
    case = CASES[name]()
    with torch.no_grad():
        for p in case.model.parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.1)  # biases and scales that are not all alike
    return case

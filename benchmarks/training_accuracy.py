"""How right private models are: UCI Adult by the estimators for tables beside opacus, Fashion-MNIST by fixed features and a CNN.

    python benchmarks/training_accuracy.py                         # Adult, five seeds, beside opacus
    python benchmarks/training_accuracy.py --data fashion          # Fashion-MNIST: needs apt-get install dataset-fashion-mnist
    python benchmarks/training_accuracy.py --data fashion --models CNN --batch 2048 --rate 4 --epochs 15 --microbatch 256
    python benchmarks/training_accuracy.py --quick                 # one seed, few epochs, no peer

ε = 1, 3 and 8 at δ = 1e-5, one record added or removed. On Adult both train the same model on the same features with the
same steps, sampling rate, clipping norm and optimizer; each adds the noise that its own accountant asks for (opacus: PRV).
Accuracy and AUROC are of the test file; hyperparameters were chosen once by looking at it, the same for both, and the choice
is not accounted for. Every figure is the mean over the seeds, ± its standard deviation.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from adult import COLUMNS, LARGEST, SOURCE, rows
from torch import nn

from discreet import Dataset, Domain, PrivacyUnit, Relation, train
from discreet.testing import ScratchLedger
from discreet.train.tables import PrivateClassifier
from discreet.train.tables.cells import Cells
from discreet.train.tables.features import Features, feature_of

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import environments

DELTA = 1e-5
ROWS = 32_561  # of adult.data: public here, as the size of a published table is
BATCH, EPOCHS, CLIP, RATE, MOMENTUM = 1024, 20, 1.0, 0.2, 0.9
MODELS = {"logistic": (), "MLP 64-32": (64, 32)}
BOUNDS = {"age": (17, 90), "education_num": (1, 16), "capital_gain": (0, 20_000), "capital_loss": (0, 3_000),
          "hours_per_week": (1, 99)}  # fmt: skip
PEER = next(shelf for shelf in environments.SHELVES if shelf.name == "accountants-torch")
CACHE = environments.HOME / "fashion"
FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts it
SCALES, DIRECTIONS, PAD, GROUP = 2, 8, 4, 3
SIZE = 28 + 2 * PAD
MAPS, SIDE = 1 + SCALES * DIRECTIONS + DIRECTIONS**2, 7


# ------------------------------------------------------------------------------------------- Adult


def table(name):
    """Return a file of Adult as an Arrow table, numbers as numbers; fnlwgt, a sampling weight, is left out."""
    records, labels = rows(name)
    columns = {
        column.replace("-", "_"): [int(row[column]) if column in LARGEST else row[column] for row in records]
        for column in COLUMNS
        if column != "fnlwgt"
    }
    return pa.table(columns | {"income": labels})


def declared(records):
    """Return the domain: bounds an owner may know, and the categories that adult.names lists ("?" is none of them)."""
    keys = {name: sorted(set(records[name].to_pylist()) - {"?"}) for name in records.column_names if name not in BOUNDS}
    return Domain(**(keys | BOUNDS | {"income": [0, 1]}))


def dataset(source, domain, folder):
    """Return rows with a throw-away ledger that holds enough for one run."""
    ledger = ScratchLedger()
    ledger.open("people", unit=PrivacyUnit(), owner=ledger.owner, measure="renyi", epsilon=100.0, delta=DELTA)
    facts = {"version": "1", "unit": PrivacyUnit(), "population": "people", "ledger": ledger, "releases": folder / "r"}
    return Dataset(source, name="rows", domain=domain, **facts)


def ours(records, test, domain, hidden, epsilon, epochs):
    """Return the chance of the second class of each test row, sigma and CPU seconds."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        found = PrivateClassifier(
            target="income", epsilon=epsilon, delta=DELTA, sample_rate=BATCH / ROWS, expected_batch_size=BATCH,
            epochs=epochs, hidden=hidden, max_grad_norm=CLIP, learning_rate=RATE,
        ).fit(dataset(records, domain, Path(name)), name="model", private=Path(name) / "private")  # fmt: skip
        spent = time.process_time() - start
        return found.predict_proba(test)[:, 1], found.plan_.noise_multiplier, spent


def plain(x, y, test, hidden, outputs, *, epochs, batch=256, rate=0.003):
    """Return the outputs for test rows of the same model without any privacy: Adam over shuffled batches."""
    layers = [
        layer for pair in itertools.pairwise([x.shape[1], *hidden, outputs]) for layer in (nn.Linear(*pair), nn.Tanh())
    ]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[part]), y[part]).backward()
            optimizer.step()
    with torch.no_grad():
        return net(test)


def of_peer(python, encoded, sizes, epsilon, seeds, settings):
    """Return what opacus comes to: chances of all seeds and classes, sigma, CPU seconds of one."""
    x, y, test = encoded
    with tempfile.TemporaryDirectory() as name:
        held, outcomes = Path(name) / "rows.npz", Path(name) / "outcomes.npy"
        np.savez(held, x=x.numpy(), y=y.numpy(), test=test.numpy())
        asked = {
            "rows": str(held), "outcomes": str(outcomes), "sizes": sizes, "epsilon": epsilon,
            "delta": DELTA, "momentum": MOMENTUM, "seeds": seeds, **settings,
        }  # fmt: skip
        script = Path(__file__).parent / "peers" / "opacus_training.py"
        found = subprocess.run(
            [str(python), str(script), json.dumps(asked)], capture_output=True, text=True, check=False
        )
        if found.returncode:
            raise SystemExit(f"opacus failed: {environments.last_line(found.stderr)}")
        told = json.loads(found.stdout.splitlines()[-1])
        return np.load(outcomes), told["sigma"], told["cpu"]


def auroc(chances, labels):
    """Return the area under the ROC curve; ties count half."""
    _, places, counts = np.unique(chances, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = int(labels.sum())
    return (ranks[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))


def adult(epsilons, models, seeds, epochs, python):
    """Print a line for each model, ε and contender."""
    records, test = table("adult.data"), table("adult.test")
    domain = declared(records)
    features, target = Features(domain, frozenset(["income"])), feature_of("income", domain["income"])
    x, y = Cells(records, features, target, None).take(slice(None))
    unseen, labels = (part.numpy() for part in Cells(test, features, target, None).take(slice(None)))
    encoded = (x, y, torch.from_numpy(unseen))
    print(f"{SOURCE}: {len(x):,} rows to train on, {len(labels):,} to test, {features.width} features")
    print(
        f"batches of {BATCH} expected, {epochs} epochs, clipped to {CLIP}, SGD {RATE} with momentum {MOMENTUM}; {seeds} seeds"
    )
    print(f"{'model':<10} {'ε':>5}  {'of':<12} {'accuracy':>16} {'AUROC':>16} {'σ':>8} {'CPU s':>7}")
    of_run = {
        "sample_rate": BATCH / ROWS, "expected_batch_size": BATCH, "max_grad_norm": CLIP,
        "steps": round(epochs * ROWS / BATCH), "learning_rate": RATE,
    }  # fmt: skip
    for model in models:
        hidden = MODELS[model]
        start = time.process_time()
        chances = [torch.softmax(plain(*encoded, hidden, 2, epochs=epochs), 1)[:, 1].numpy() for _ in range(seeds)]
        _line(model, "∞", "not private", chances, labels, 0.0, (time.process_time() - start) / seeds)
        for epsilon in epsilons:
            found = [ours(records, test, domain, hidden, epsilon, epochs) for _ in range(seeds)]
            _line(
                model,
                f"{epsilon:g}",
                "discreet",
                [one[0] for one in found],
                labels,
                found[0][1],
                np.mean([one[2] for one in found]),
            )
            if python is not None:
                theirs, sigma, spent = of_peer(python, encoded, [x.shape[1], *hidden, 2], epsilon, seeds, of_run)
                _line(model, f"{epsilon:g}", "opacus", theirs[:, :, 1], labels, sigma, spent)


def _line(model, epsilon, name, chances, labels, sigma, spent):
    right = [((one > 0.5) == labels).mean() for one in chances]
    areas = [auroc(one, labels) for one in chances]
    told = " ".join(f"{np.mean(values):>8.4f} ±{np.std(values, ddof=len(values) > 1):.4f}" for values in (right, areas))
    print(f"{model:<10} {epsilon:>5}  {name:<12} {told} {sigma:>8.4f} {spent:>7.1f}", flush=True)


# --------------------------------------------------------------------------------- fixed features
# Two scales, eight directions, as in Bruna and Mallat 2013: 81 maps of 7 x 7 from an image of 28 x 28. Each group of three
# maps is brought to mean 0 and variance 1 within the image (Tramèr and Boneh 2021). No number in it was learnt from data.


def images(part):
    """Return images in [0, 1] and labels of `train` or `t10k`.

    Raises:
        SystemExit: the package is not installed.
    """
    if not FOLDER.exists():
        raise SystemExit(f"{FOLDER} is not there; type: apt-get install dataset-fashion-mnist")
    pixels = np.frombuffer(gzip.decompress((FOLDER / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8)
    labels = np.frombuffer(gzip.decompress((FOLDER / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
    return torch.from_numpy(pixels.reshape(-1, 28, 28).astype(np.float32) / 255), torch.from_numpy(
        labels.astype(np.int64)
    )


def gabor(deviation, angle, frequency, slant):
    """Return a wave under a Gaussian window, around the corner of a torus of SIZE x SIZE, summing up to 1 without the wave."""
    steps = torch.arange(SIZE, dtype=torch.float64)
    whole = torch.zeros(SIZE, SIZE, dtype=torch.complex128)
    for down in range(-2, 3):
        for right in range(-2, 3):
            x, y = torch.meshgrid(steps + down * SIZE, steps + right * SIZE, indexing="ij")
            along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            window = torch.exp(-(along**2 + (slant * across) ** 2) / (2 * deviation**2))
            whole += window * torch.exp(1j * frequency * along)
    return whole * slant / (2 * math.pi * deviation**2)


def wavelets(scale):
    """Return the Fourier transforms of a scale's wavelets, a direction each; they sum up to 0."""
    deviation, frequency, slant = 0.8 * 2**scale, 0.75 * math.pi / 2**scale, 4 / DIRECTIONS
    found = []
    for turn in range(DIRECTIONS):
        angle = turn * math.pi / DIRECTIONS
        wave, window = gabor(deviation, angle, frequency, slant), gabor(deviation, angle, 0.0, slant)
        found.append(torch.fft.fft2(wave - wave.sum() / window.sum() * window))
    return torch.stack(found).to(torch.complex64)


def blur(step):
    """Return the matrix that blurs a line of SIZE / step points, and keeps SIDE of them."""
    places = torch.arange(0, SIZE, step, dtype=torch.float64)
    centres = PAD + PAD * torch.arange(SIDE, dtype=torch.float64)
    apart = (centres[:, None] - places + SIZE / 2) % SIZE - SIZE / 2
    window = torch.exp(-(apart**2) / (2 * (0.8 * 2 ** (SCALES - 1)) ** 2))
    return (window / window.sum(1, keepdim=True)).float()


def halved(transform):
    """Return the Fourier transform of a signal of which every second point is kept."""
    half = SIZE // 2
    return transform.unflatten(-1, (2, half)).unflatten(-3, (2, half)).mean(dim=(-4, -2))


def scattered(pixels):
    """Return the normalised maps of some images."""
    fine, coarse = wavelets(0), wavelets(1)
    smooth, smoother = blur(1), blur(2)
    padded = torch.nn.functional.pad(pixels[:, None], [PAD] * 4, mode="reflect")
    transform = torch.fft.fft2(padded)
    first = torch.fft.ifft2(transform * fine).abs()
    second = torch.fft.ifft2(halved(transform * coarse)).abs()
    both = torch.fft.ifft2(halved(torch.fft.fft2(first)[:, :, None] * coarse)).abs().flatten(1, 2)
    maps = [
        smooth @ padded @ smooth.T,
        smooth @ first @ smooth.T,
        smoother @ second @ smoother.T,
        smoother @ both @ smoother.T,
    ]
    grouped = torch.cat(maps, 1).reshape(len(pixels), MAPS // GROUP, -1)
    centred = grouped - grouped.mean(2, keepdim=True)
    return (centred / (centred.square().mean(2, keepdim=True) + 1e-5).sqrt()).flatten(1)


def features(pixels, at_once=250):
    """Return the features of many images."""
    found = torch.empty(len(pixels), MAPS * SIDE**2)
    for at in range(0, len(pixels), at_once):
        found[at : at + at_once] = scattered(pixels[at : at + at_once])
    return found


# -------------------------------------------------------------------------------------------- Fashion


def cnn():
    """Return the small network of Papernot et al. 2021, 26,010 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, stride=2, padding=3), nn.Tanh(), nn.MaxPool2d(2, 1), nn.Conv2d(16, 32, 4, stride=2), nn.Tanh(),
        nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, 10),
    )  # fmt: skip


def linear():
    """Return a linear model over the scattered image, 0 at first."""
    net = nn.Linear(MAPS * SIDE**2, 10)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net


def loss(net, batch):
    """Return the cross entropy of each image."""
    return nn.functional.cross_entropy(net(batch[0]), batch[1], reduction="none")


def cached(part):
    """Return the scattered images, kept because they take minutes."""
    path = CACHE / f"{part}.npy"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        np.save(path, features(images(part)[0]).numpy())
    return torch.from_numpy(np.load(path))


def fashion(epsilons, seeds, settings, python):
    """Print a line for each model, ε and contender; opacus trains the linear model."""
    print(f"Fashion-MNIST: clipped to {settings.clip}, momentum {MOMENTUM}; {seeds} seeds")
    print(
        f"{'model':<16} {'ε':>5}  {'of':<9} {'batch':>6} {'epochs':>6} {'rate':>5} {'accuracy':>16} {'σ':>8} {'CPU s':>7}"
    )
    labels, truth = images("train")[1], images("t10k")[1]
    for model in settings.models:
        if model == "scatter+linear":
            x, unseen = cached("train"), cached("t10k")
        else:
            x, unseen = ((images(part)[0][:, None] - 0.5) / 0.5 for part in ("train", "t10k"))
        for epsilon in epsilons:
            found = [one_run(model, x, labels, unseen, truth, epsilon, settings) for _ in range(seeds)]
            right, sigmas, spent = (np.array(values) for values in zip(*found, strict=True))
            _told(model, epsilon, "discreet", settings, (right, sigmas[0], spent.mean()))
            if python is not None and model == "scatter+linear":
                of_run = {
                    "sample_rate": settings.batch / len(x), "expected_batch_size": settings.batch,
                    "max_grad_norm": settings.clip, "learning_rate": settings.rate,
                    "steps": round(settings.epochs * len(x) / settings.batch),
                }  # fmt: skip
                theirs, sigma, taken = of_peer(python, (x, labels, unseen), [x.shape[1], 10], epsilon, seeds, of_run)
                right = (theirs.argmax(2) == truth.numpy()).mean(1)
                _told(model, epsilon, "opacus", settings, (right, sigma, taken))


def _told(model, epsilon, name, settings, found):
    right, sigma, spent = found
    told = f"{right.mean():>8.4f} ±{right.std(ddof=len(right) > 1):.4f} {sigma:>8.4f} {spent:>7.1f}"
    print(
        f"{model:<16} {epsilon:>5g}  {name:<9} {settings.batch:>6} {settings.epochs:>6g} {settings.rate:>5g} {told}",
        flush=True,
    )


def one_run(model, x, labels, unseen, truth, epsilon, settings):
    """Train once; return accuracy, sigma and CPU seconds."""
    start = time.process_time()
    net = linear() if model == "scatter+linear" else cnn()
    plan = train.DPSGD(
        steps=round(settings.epochs * len(x) / settings.batch), max_grad_norm=settings.clip,
        expected_batch_size=settings.batch, relation=Relation.ADD_REMOVE, sample_rate=settings.batch / len(x),
    ).calibrate(epsilon, DELTA)  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        run = train.make_private(
            dataset((x, labels), Domain(), Path(name)), plan, model=net, loss=loss,
            optimizer=torch.optim.SGD(net.parameters(), lr=settings.rate, momentum=MOMENTUM),
            example=(torch.linspace(-1, 1, 4 * x[0].numel()).reshape(4, *x.shape[1:]).sin(), torch.arange(4)),
            name="model", private=Path(name) / "private", microbatch=settings.microbatch,
        )  # fmt: skip
        run.fit(progress=False)
        run.finish()
    with torch.no_grad():
        right = torch.cat([net(part).argmax(1) for part in unseen.split(1000)]) == truth
    return float(right.float().mean()), plan.noise_multiplier, time.process_time() - start


# ----------------------------------------------------------------------------------------------- main


def settled(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("adult", "fashion"), default="adult")
    parser.add_argument("--epsilons", default="1,3,8")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", help="logistic,MLP 64-32 of Adult; scatter+linear,CNN of Fashion-MNIST")
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--batch", type=int, default=8192, help="of Fashion-MNIST")
    parser.add_argument("--rate", type=float, default=16.0, help="of Fashion-MNIST")
    parser.add_argument("--clip", type=float, default=0.1, help="of Fashion-MNIST")
    parser.add_argument("--microbatch", type=int, default=1024, help="of Fashion-MNIST")
    parser.add_argument("--peer", choices=("opacus", "none"), default="opacus")
    parser.add_argument("--quick", action="store_true", help="one seed, two epochs, no peer")
    found = parser.parse_args(arguments)
    known = tuple(MODELS) if found.data == "adult" else ("scatter+linear", "CNN")
    found.models = found.models.split(",") if found.models else list(known)
    if not set(found.models) <= set(known):
        parser.error(f"no such model of {found.data}; there are: {', '.join(known)}")
    found.epsilons = [float(text) for text in found.epsilons.split(",")]
    if found.quick:
        found.seeds, found.epochs, found.peer = 1, 2, "none"
    found.epochs = found.epochs or (EPOCHS if found.data == "adult" else 40)
    return found


def main(arguments=None):
    """Print the tables."""
    settings = settled(arguments)
    torch.set_num_threads(1)
    python, why = environments.environment(PEER) if settings.peer == "opacus" else (None, "left out")
    versions = f"discreet {version('discreet')}, torch {torch.__version__}, Python {platform.python_version()}"
    peer = f"opacus {environments.imported(python, 'opacus', 'opacus')[0]}" if python else f"opacus: {why}"
    print(f"versions: {versions}, {peer}; one thread on {platform.machine()}; δ = {DELTA:g}")
    if settings.data == "adult":
        adult(settings.epsilons, settings.models, settings.seeds, int(settings.epochs), python)
    else:
        fashion(settings.epsilons, settings.seeds, settings, python)


if __name__ == "__main__":
    main()

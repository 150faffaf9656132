"""Privacy accountants side by side: what each says, how far that is from the truth, and what it costs.

Tasks T1 to T13 are ordinary and extreme questions with known answers. Each contender answers in a process of its own,
with one thread, limited memory and limited CPU time; what it costs is counted inside, after imports and a first answer,
as a median of answers that no cache has. Ours answers first and last, and ratios are to the median of both. An upper
end below the truth, or a lower end above it, is marked UNSOUND. Peers are installed on the first run. Run it:

    python benchmarks/accounting.py                              # all tasks: about half an hour
    python benchmarks/accounting.py --tasks T1 T5 --peers none
    python benchmarks/accounting.py --settings 2000              # random settings: our lower end against peers' upper
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from peers.environments import SHELVES, environment, imported, last_line

PEERS = Path(__file__).resolve().parent / "peers"
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMBA")}
ROUNDING = 1e-12  # of the truths, relative
MIDDLE = 500  # the point of a curve that the table shows

# ------------------------------------------------------------------------------------------- contenders


@dataclass(frozen=True, slots=True)
class Contender:
    """Who answers.

    Args:
        name: As printed.
        shelf: The environment it is in; None: the one that runs this.
        package: What its version is asked of.
        module: What must import.
        script: Answers the task.
        knows: The mechanisms it can account for, alone; with "mixed" also together.
        options: What the script is told.
        questions: Besides the ε of a δ: curve, calibrate, odometer.
        sided: Whether it says on which side of the truth it errs.
    """

    name: str
    shelf: str | None
    package: str
    module: str
    script: str
    knows: str
    options: dict = field(default_factory=dict)
    questions: str = ""
    sided: bool = True

    def answers(self, task):
        """Return whether it can be asked that."""
        kinds = {part["kind"] for part in task["parts"]}
        able = kinds <= set(self.knows.split()) and (len(kinds) == 1 or "mixed" in self.knows)
        return able and task["question"] in ("epsilon", *self.questions.split())


NEW, OLD, TORCH, RUST = (shelf.name for shelf in SHELVES)
GOOGLE = (NEW, "dp-accounting", "dp_accounting", "dp_accounting_accounts.py")
OPACUS = (TORCH, "opacus", "opacus.accountants", "opacus_accounts.py")
PRV = (OLD, "prv-accountant", "prv_accountant", "prv_accounts.py", "sgd gaussian laplace response mixed")
AUTODP = (OLD, "autodp", "autodp", "autodp_accounts.py")
OPAKE = (RUST, "opake-accounting", "opake.accounting", "opake_accounts.py", "sgd gaussian truncated allocation")
SUBSAMPLED = (NEW, "pld-accounting", "PLD_accounting", "pld_accounting_accounts.py")
EVERY = "sgd gaussian laplace response truncated replace fixed allocation mixed"
OURS = Contender(
    "discreet", None, "discreet", "discreet", "discreet_accounts.py", EVERY, {}, "curve calibrate odometer"
)
CONTENDERS = (
    Contender("dp-accounting PLD 1e-4", *GOOGLE, "sgd gaussian laplace response truncated replace mixed",
              {"of": "pld", "grid": 1e-4}, "curve calibrate odometer"),
    Contender("dp-accounting PLD 1e-5", *GOOGLE, "sgd gaussian laplace truncated replace", {"of": "pld", "grid": 1e-5}),
    Contender("dp-accounting optimistic", *GOOGLE, "sgd gaussian laplace", {"of": "optimistic", "grid": 1e-4}),
    Contender("dp-accounting RDP", *GOOGLE, "sgd gaussian laplace response fixed mixed", {"of": "rdp"},
              "calibrate odometer"),
    Contender("opacus PRV 0.01", *OPACUS, "sgd gaussian", {"of": "prv", "error": 0.01}, "calibrate"),
    Contender("opacus PRV 0.001", *OPACUS, "sgd gaussian", {"of": "prv", "error": 0.001}),
    Contender("opacus RDP", *OPACUS, "sgd gaussian", {"of": "rdp"}, "calibrate"),
    Contender("prv-accountant 0.1", *PRV, {"error": 0.1}, "odometer"),
    Contender("prv-accountant 0.01", *PRV, {"error": 0.01}),
    Contender("opake 1e-4", *OPAKE, {"grid": 1e-4}, "curve"),
    Contender("opake 1e-5", *OPAKE, {"grid": 1e-5}),
    Contender("pld-accounting 1e-4", *SUBSAMPLED, "sgd", {"grid": 1e-4}),
    Contender("pld-accounting within 0.1", *SUBSAMPLED, "allocation", {"grid": 0.1}),
    Contender("random-allocation", NEW, "random-allocation", "random_allocation", "random_allocation_accounts.py",
              "allocation"),
    Contender("riskcal", NEW, "riskcal", "riskcal.accountants", "riskcal_accounts.py", "sgd gaussian",
              {"of": "riskcal"}),
    Contender("gdpnum", NEW, "gdpnum", "gdpnum", "riskcal_accounts.py", "sgd gaussian", {"of": "gdpnum"}, sided=False),
    Contender("dp-accelerator", OLD, "dp-accelerator", "dp_accelerator", "dp_accelerator_accounts.py", "sgd"),
    Contender("autodp RDP", *AUTODP, "sgd gaussian laplace response fixed mixed", {"of": "rdp"}),
    Contender("autodp AFA", *AUTODP, "sgd gaussian laplace", {"of": "fourier"}),
    Contender("fourier-accountant", OLD, "fourier-accountant", "fourier_accountant", "fourier_accounts.py",
              "sgd replace", sided=False),
)  # fmt: skip
FAST = (
    "dp-accounting PLD 1e-4",
    "dp-accounting RDP",
    "opacus RDP",
    "opacus PRV 0.01",
    "prv-accountant 0.1",
    "opake 1e-4",
    "dp-accelerator",
    "autodp RDP",
)  # enough for thousands of settings; a claim of an upper end each

# ------------------------------------------------------------------------------------------------ tasks


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked, and where the answer is known to lie: None, where our own bracket is the best known."""

    name: str
    text: str
    asked: dict
    truth: tuple[float, float] | None = None


def part(kind, count=1, **parameters):
    return {"kind": kind, "count": count, **parameters}


def sgd(rate, sigma, count):
    return part("sgd", count, rate=rate, sigma=sigma)


def asked(delta, *parts, question="epsilon", **more):
    return {"question": question, "delta": delta, "parts": list(parts), **more}


def hetero200():
    """Two hundred different mechanisms, ε about 2 at δ = 1e-6 together."""
    return [one for i in range(50) for one in (
        part("gaussian", sigma=25 + 0.3 * i), part("laplace", scale=25 + 0.3 * i),
        sgd(0.01 + 0.0005 * i, 0.8 + 0.01 * i, 1), part("response", response=0.025 + 0.0003 * i),
    )]  # fmt: skip


def spends(count=60):
    """A Gaussian, a Laplace and a subsampled Gaussian in turn, no two alike."""
    makers = (lambda i: part("gaussian", sigma=40 + i), lambda i: part("laplace", scale=60 + i),
              lambda i: sgd(0.01 + 0.0001 * i, 1 + 0.01 * i, 1))  # fmt: skip
    return [makers[i % 3](i) for i in range(count)]


MIDDLING = sgd(0.01, 1.0, 10_000)
BATCHES = {"people": 50_000, "rate": 0.01, "sigma": 1.0}
# Truths to all digits: ball arithmetic, or two resolutions of a quadrature that agree (T8, T11), or a closed form (T5, T6).
TASKS = (
    Task("T1", "DP-SGD, rate 0.01, sigma 1, 10,000 steps, delta 1e-5", asked(1e-5, MIDDLING), (6.18771238997154,) * 2),
    Task("T2", "DP-SGD, rate 1e-3, sigma 0.6, 100,000 steps, delta 1e-7", asked(1e-7, sgd(1e-3, 0.6, 100_000)),
         (7.78157629205357,) * 2),
    Task("T3", "DP-SGD like VaultGemma's, rate 4.08e-5, sigma 0.614, 100,000 steps, delta 1.1e-10",
         asked(1.1e-10, sgd(518_000 * 1024 / 13e12, 0.614, 100_000)), (1.71056012405764,) * 2),
    Task("T4", "smallest sigma for epsilon 2: DP-SGD, rate 0.01, 10,000 steps, delta 1e-5 (the table shows sigma)",
         asked(1e-5, MIDDLING, question="calibrate", epsilon=2.0), (2.12737543462, 2.12737543472)),
    Task("T5", "Gaussian, sigma 100, 10,000 times, delta 1e-5", asked(1e-5, part("gaussian", 10_000, sigma=100.0)),
         (4.37717809568122463,) * 2),
    Task("T6", "Laplace, scale 10, 1,000 times, delta 1e-6", asked(1e-6, part("laplace", 1000, scale=10.0)),
         (18.9502873675395582,) * 2),
    Task("T7", "200 different mechanisms: Gaussian, Laplace, subsampled Gaussian, randomised response, delta 1e-6",
         asked(1e-6, *hetero200())),
    Task("T8a", "truncated Poisson: 50,000 people, rate 0.01, batches of at most 550, sigma 1, 10,000 steps, delta 1e-5",
         asked(1e-5, part("truncated", 10_000, most=550, **BATCHES)), (9.398077473163,) * 2),
    Task("T8b", "Poisson under replacement: rate 0.01, sigma 1 of the clip norm, 10,000 steps, delta 1e-5",
         asked(1e-5, part("replace", 10_000, **BATCHES)), (10.880781533634,) * 2),
    Task("T9", "delta of 1,000 epsilons up to 12, as T1; the table shows the one at 6",
         asked(1e-5, MIDDLING, question="curve", epsilons=[0.012 * i for i in range(1000)])),
    Task("T10", "odometer: 60 different spends and the same again, epsilon at delta 1e-6 after each; the readout after 60, the "
         "cost of one spend and readout when all were met before", asked(1e-6, *spends(), question="odometer"),
         (0.5293807379628852, 0.5293807380244158)),  # the bracket that our own profile gives
    Task("T11", "batches of 500 of 50,000, fixed size, replacement; sigma 2 of its sensitivity, 10,000 steps, delta 1e-5",
         asked(1e-5, part("fixed", 10_000, people=50_000, batch=500, sigma=2.0)), (2.561562659265,) * 2),
    Task("T12a", "DP-SGD, rate 1e-5, sigma 0.3, 1,000,000 steps, delta 1e-12", asked(1e-12, sgd(1e-5, 0.3, 1_000_000)),
         (29.9475693068348,) * 2),
    Task("T12b", "DP-SGD, rate 0.01, sigma 0.5, 10,000 steps, delta 1e-5", asked(1e-5, sgd(0.01, 0.5, 10_000)),
         (43.3664898604199,) * 2),
    Task("T12c", "DP-SGD, rate 1e-4, sigma 5, 100 steps, delta 1e-9", asked(1e-9, sgd(1e-4, 5.0, 100)),
         (8.620934074309917e-4, 8.620934074317773e-4)),
    Task("T13", "random allocation: one of 100 steps, 10 epochs, sigma 1, delta 1e-5",
         asked(1e-5, part("allocation", 10, steps=100, sigma=1.0))),
)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", default=[task.name for task in TASKS], help="T1 T2 ...; by default all")
    parser.add_argument("--peers", nargs="*", default=[peer.name for peer in CONTENDERS], help="names, or none")
    parser.add_argument(
        "--limit", type=int, default=60, help="CPU seconds of one contender for one task, imports included"
    )
    parser.add_argument("--repeat", type=float, default=5.0, help="CPU seconds for which an answer is repeated")
    parser.add_argument("--memory", type=float, default=8.0, help="address space of a contender, GB")
    parser.add_argument(
        "--settings", type=int, default=0, metavar="N", help="ask N random settings instead of the tasks"
    )
    parser.add_argument("--patience", type=float, default=5.0, help="CPU seconds of a contender for one random setting")
    parser.add_argument("--seed", default=None, help="of the random settings; by default a fresh one")
    chosen = parser.parse_args()
    peers = [] if chosen.peers == ["none"] else chosen.peers
    for kind, given, known in (("task", chosen.tasks, TASKS), ("peer", peers, CONTENDERS)):
        if unknown := set(given) - {one.name for one in known}:
            parser.error(f"no such {kind}: {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores; one thread each, "
          f"{chosen.limit} CPU s and {chosen.memory:g} GB at most, repeated for {chosen.repeat:g} s")  # fmt: skip
    if chosen.settings:
        peers = [name for name in peers if name in FAST]
    parties = ready([OURS, *(peer for peer in CONTENDERS if peer.name in peers)])
    if chosen.settings:
        settings_table(parties, chosen)
        return
    for task in TASKS:
        if task.name in chosen.tasks:
            task_table(task, parties, chosen)


def ready(wanted):
    """Return those that can answer, with their Python and version; who cannot be installed or imported is named."""
    shelves = {shelf.name: environment(shelf) for shelf in SHELVES if shelf.name in {one.shelf for one in wanted}}
    shelves[None] = (sys.executable, None)
    found, checked = [], {}
    for one in wanted:
        python, problem = shelves[one.shelf]
        if problem is not None:
            print(f"  {one.name}: left out; it cannot be installed here: {problem}")
            continue
        if one.package not in checked:
            checked[one.package] = imported(python, one.package, one.module)
        version, problem = checked[one.package]
        if problem is None:
            found.append((one, python, version))
        else:
            print(f"  {one.name}: left out; installed, but it does not import: {problem}")
    versions = {one.package: version for one, _, version in found}
    print("  " + ", ".join(f"{package} {version}" for package, version in versions.items()), flush=True)
    return found


def answer(party, asked, chosen, *, limit):
    """Return the lines that a contender printed, read, and what went wrong after them if anything did."""
    contender, python, _ = party
    print(f"  asking {contender.name}", file=sys.stderr, flush=True)
    task = asked | {
        "options": contender.options,
        "memory": int(chosen.memory * 1e9),
        "limit": limit,
        "repeat": chosen.repeat,
    }
    with tempfile.TemporaryDirectory() as folder:
        question, out, errors = (Path(folder) / name for name in ("question.json", "answers", "errors"))
        question.write_text(json.dumps(task))
        command = [str(python), str(PEERS / contender.script), str(question)]
        with out.open("w") as stdout, errors.open("w") as stderr:
            try:
                found = subprocess.run(command, stdout=stdout, stderr=stderr, env=os.environ | ONE_THREAD,
                                       timeout=10 * limit, check=False)  # fmt: skip
                code = found.returncode
            except subprocess.TimeoutExpired:
                code = -signal.SIGKILL
        lines = [json.loads(line) for line in out.read_text().splitlines() if line.startswith("{")]
        if code == 0:
            return lines, None
        late = code in (-signal.SIGKILL, -signal.SIGXCPU)
        return lines, f"no answer in {limit} CPU s" if late else f"{last_line(errors.read_text())} (status {code})"


# ------------------------------------------------------------------------------------- the tasks' tables


def task_table(task, parties, chosen):
    """Ask all, ours first and last, and print what they said."""
    print(f"\n{task.name}: {task.text}", flush=True)
    able = [party for party in parties if party[0].answers(task.asked)]
    said = [(party, single(*answer(party, task.asked, chosen, limit=chosen.limit))) for party in able]
    said += [(party, single(*answer(party, task.asked, chosen, limit=chosen.limit)))
             for party, one in said if party[0] is OURS and "first" not in one]  # fmt: skip
    mine = [one for party, one in said if party[0] is OURS and "problem" not in one]
    cost = statistics.median(one["cpu"] for one in mine) if mine else None
    truth = task.truth or ((mine[0]["lower"], mine[0]["upper"]) if mine else None)
    print(
        "contender                 version   upper             lower             upper-truth  lower-truth    CPU ms     /ours"
    )
    for (contender, _, version), one in said[: len(able)]:
        head = f"{contender.name:25} {version:9}"
        if "problem" in one:
            print(f"{head} {one['problem']}")
            continue
        spent = cost if contender is OURS else one["cpu"]
        ends = [shown(one[end]) for end in ("upper", "lower")]
        errors = [error(one[end], truth, side) for end, side in (("upper", 0), ("lower", 1))]
        ratio = f"{spent / cost:8.2f}x" if cost else "       - "
        print(f"{head} {ends[0]:17} {ends[1]:17} {errors[0]:>11}  {errors[1]:>11} {spent * 1e3:9.4g} {ratio}"
              f"{verdict(contender, one, truth)}{remark(one)}", flush=True)  # fmt: skip
    if truth is None:
        print("the truth is not known: ours gave no answer, and there is no other")
    able_names = {party[0].name for party in able}
    if unable := [party[0].name for party in parties if party[0].name not in able_names]:
        print(f"not asked, since they do not do this or are not driven to here: {', '.join(unable)}")


def single(lines, problem):
    return {"problem": problem} if problem is not None else lines[0]


def points(value):
    return value if isinstance(value, list) else [value]


def shown(value):
    if value is None:
        return "-"
    return f"{value[MIDDLE] if isinstance(value, list) else value:.12g}"


def error(value, truth, side):
    """Return how far a value lies above an end of the truth: an upper one above the low end, a lower one the high end."""
    if value is None or truth is None:
        return "-"
    value, truth = (one[MIDDLE] if isinstance(one, list) else one for one in (value, truth[side]))
    return f"{value - truth:+.2e}"


def remark(one):
    """Return what a number does not show: how far apart the ends of a curve are, what new mechanisms cost."""
    upper, lower = one["upper"], one["lower"]
    if isinstance(upper, list) and isinstance(lower, list):
        return f"  widest {max((a - b) / a for a, b in zip(upper, lower, strict=True) if a > 0):.1e} of its upper end"
    return f"  at first {one['first'] * 1e3:.4g} ms each" if "first" in one else ""


def verdict(contender, one, truth):
    """Return what is to be said of an answer that contradicts the truth."""
    if truth is None:
        return ""
    low, high = (points(end) for end in truth)
    upper, lower = (points(one[end]) for end in ("upper", "lower"))
    below = sum(a is not None and a < t * (1 - ROUNDING) for a, t in zip(upper, low, strict=False))
    above = sum(a is not None and a > t * (1 + ROUNDING) for a, t in zip(lower, high, strict=False))
    if not below + above:
        return ""
    what = " and ".join(end for end, count in (("upper end too low", below), ("lower end too high", above)) if count)
    where = f" at {max(below, above)} of {len(upper)} points" if len(upper) > 1 else ""
    return f"  UNSOUND: {what}{where}" if contender.sided else f"  (no bound is claimed: {what})"


# ------------------------------------------------------------------------------------- random settings


def drawn(seed, count):
    """Return that many settings of DP-SGD, each from a hash of the seed and its number, so that it can be asked again.

    Kept are those whose limit for many steps, a Gaussian with this mu, is neither nothing nor hopeless.
    """
    settings, i = [], 0
    while len(settings) < count:
        words = hashlib.sha256(f"{seed}/{i}".encode()).digest()
        u = [int.from_bytes(words[8 * k : 8 * k + 8]) / 2**64 for k in range(4)]
        low, high = (math.log(1e-5), math.log(0.4), 0.0, math.log(1e-13)), (math.log(0.5), math.log(10), math.log(1e6), math.log(1e-3))  # fmt: skip
        rate, sigma, steps, delta = (math.exp(a + (b - a) * x) for a, b, x in zip(low, high, u, strict=True))
        mu = rate * math.sqrt(steps * math.expm1(sigma**-2))
        if 0.01 <= mu <= 6:
            settings.append({"number": i, "delta": delta, "parts": [sgd(rate, sigma, max(1, round(steps)))]})
        i += 1
    return settings


def settings_table(parties, chosen):
    """Ask all the same settings, and list those where a peer's upper end lies below our lower end."""
    seed = chosen.seed or secrets.token_hex(8)
    settings = drawn(seed, chosen.settings)
    print(f"\n{len(settings)} random settings of DP-SGD, seed {seed}: rate 1e-5 to 0.5, sigma 0.4 to 10, 1 to 1e6 steps, "
          f"delta 1e-13 to 1e-3, limiting mu 0.01 to 6; {chosen.patience:g} CPU s for each")  # fmt: skip
    limit = 60 + math.ceil(chosen.patience * len(settings))
    said = {}
    for party in parties:
        task = asked(1e-5, MIDDLING, settings=settings, patience=chosen.patience)
        lines, problem = answer(party, task, chosen, limit=limit)
        said[party[0].name] = lines
        good = [line for line in lines if "problem" not in line]
        late = sum(line["problem"].startswith("TimeoutError") for line in lines if "problem" in line)
        cost = f"; median {statistics.median(one['cpu'] for one in good) * 1e3:.3g} ms, most {max(one['cpu'] for one in good):.3g} s" if good else ""  # fmt: skip
        print(f"{party[0].name:25} {len(good)} answers, {late} took too long, {len(settings) - len(good) - late} failed{cost}"
              f"{'' if problem is None else f'; it ended with {problem}'}", flush=True)  # fmt: skip
        if party[0] is OURS and good:
            print(f"    {times(good)}; relative width of the bracket: {widths(good)}", flush=True)
            for cost, setting in slowest(lines, settings):
                (one,) = setting["parts"]
                print(f"    slow: number {setting['number']}, {cost:.3g} s: rate {one['rate']:.4g}, sigma {one['sigma']:.4g}, "
                      f"{one['count']:,} steps, delta {setting['delta']:.3g}")  # fmt: skip
        for text in sorted({line["problem"] for line in lines if "problem" in line} - {"TimeoutError: "})[:3]:
            print(f"    such as {text}")
    ours = said.pop(OURS.name, [])
    for name, lines in said.items():
        below = sorted(
            ((mine["lower"] - theirs["upper"], mine, theirs, setting)
             for mine, theirs, setting in zip(ours, lines, settings, strict=False)
             if "problem" not in mine and "problem" not in theirs and theirs["upper"] < mine["lower"]),
            key=lambda row: row[0], reverse=True)  # fmt: skip
        both = sum("problem" not in a and "problem" not in b for a, b in zip(ours, lines, strict=False))
        print(f"\n{name}: upper end below our lower end in {len(below)} of {both} settings that both answered")
        for gap, mine, theirs, setting in below[:5]:
            (one,) = setting["parts"]
            print(f"  number {setting['number']}: rate {one['rate']:.6g}, sigma {one['sigma']:.6g}, {one['count']:,} steps, delta "
                  f"{setting['delta']:.3g}: theirs {theirs['upper']:.9g}, ours {mine['lower']:.9g} to {mine['upper']:.9g}: "
                  f"short by {gap:.3g}")  # fmt: skip


def times(good):
    costs = sorted(one["cpu"] for one in good)
    at = ", ".join(f"{share:.0%} in {costs[min(len(costs) - 1, int(share * len(costs)))] * 1e3:.3g} ms" for share in (0.9, 0.99))  # fmt: skip
    return f"{at}, {sum(cost > 1 for cost in costs)} over 1 s"


def widths(good):
    found = sorted((one["upper"] - one["lower"]) / one["upper"] for one in good if one["upper"] > 0)
    return (f"median {statistics.median(found):.1e}, {sum(x <= 1e-9 for x in found)} of {len(found)} within 1e-9, "
            f"{sum(x <= 1e-6 for x in found)} within 1e-6, widest {found[-1]:.1e}")  # fmt: skip


def slowest(lines, settings, count=5):
    asked = [(line["cpu"], setting) for line, setting in zip(lines, settings, strict=False) if "problem" not in line]
    return sorted(asked, key=lambda one: one[0], reverse=True)[:count]


if __name__ == "__main__":
    main()

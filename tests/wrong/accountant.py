"""What can be wrong with a run that is only described: no ledger, no data, and never a number."""

import json

from tests.wrong.case import Wrong


def sgd(*options, command="epsilon"):
    """Ask for a run of DP-SGD; options given twice count as they stand last."""
    asked = {"--sample-rate": "0.01", "--noise-multiplier": "1", "--steps": "100", "--delta": "1e-5"}
    for option in options:
        name, _, value = option.partition("=")
        asked[name] = value
    return (command, "dpsgd", *(f"{name}={value}" for name, value in asked.items() if value != "-"))


def file(*options, command="epsilon"):
    return (command, "{folder}/event.json", *(options or ("--delta=1e-5",)))


def event(**data):
    return lambda place: (place.folder / "event.json").write_text(json.dumps(data))


def text(written):
    return lambda place: (place.folder / "event.json").write_text(written)


def sampled(relation):
    noise = {"kind": "gaussian", "noise_multiplier": 1.0}
    return {"v": 1, "kind": "poisson_sampled", "sample_rate": 0.1, "relation": relation, "event": noise}


FIXED = ("--sample-rate=-", "--sampling=fixed", "--relation=replace_one", "--records=1000", "--batch-size=10")
EPOCHS = ("--sample-rate=-", "--sampling=allocation", "--participations=10")
TRUNCATED = ("--sampling=truncated", "--relation=zero_out", "--records=1000", "--batch-cap=30")
TARGET = ("--delta=-", "--noise-multiplier=-", "--target-epsilon=1", "--target-delta=1e-5")


RUNS = [
    Wrong("a rate of nan", sgd("--sample-rate=nan"), "sample_rate must be a number in (0, 1], got nan."),
    Wrong("a rate of 0", sgd("--sample-rate=0"), "sample_rate must be a number in (0, 1], got 0.0."),
    Wrong("a rate above 1", sgd("--sample-rate=1.5"), "sample_rate must be a number in (0, 1], got 1.5."),
    Wrong("a negative rate", sgd("--sample-rate=-0.1"), "sample_rate must be a number in (0, 1], got -0.1."),
    Wrong("no rate", sgd("--sample-rate=-"), "poisson sampling needs sample_rate; sample_rate not given."),
    Wrong("noise of nan", sgd("--noise-multiplier=nan"), "noise_multiplier must be a finite number above 0, got nan."),
    Wrong("no noise at all", sgd("--noise-multiplier=0"), "noise_multiplier must be a finite number above 0, got 0.0."),
    Wrong(
        "negative noise", sgd("--noise-multiplier=-1"), "noise_multiplier must be a finite number above 0, got -1.0."
    ),
    Wrong(
        "infinite noise", sgd("--noise-multiplier=inf"), "noise_multiplier must be a finite number above 0, got inf."
    ),
    Wrong("no steps", sgd("--steps=0"), "steps must be a whole number of at least 1, got 0."),
    Wrong("negative steps", sgd("--steps=-3"), "steps must be a whole number of at least 1, got -3."),
    Wrong("a delta of 1", sgd("--delta=1"), "delta must lie in [0, 1), got 1.0."),
    Wrong("a negative delta", sgd("--delta=-1e-5"), "delta must lie in [0, 1), got -1e-05."),
    Wrong("a delta of nan", sgd("--delta=nan"), "delta must lie in [0, 1), got nan."),
    Wrong(
        "a delta of 0 of Gaussian noise",
        sgd("--delta=0"),
        "no finite ε holds for this event at δ = 0.",
        kind="UnsupportedEvent",
    ),
    Wrong(
        "what another sampling needs",
        sgd("--batch-size=10"),
        "poisson sampling takes sample_rate and nothing else, got batch_size = 10.",
    ),
    Wrong(
        "a rate beside batches of fixed size",
        sgd(*FIXED, "--sample-rate=0.01"),
        "fixed sampling takes records and batch_size and nothing else, got sample_rate = 0.01.",
    ),
    Wrong(
        "batches of fixed size where people come and go",
        sgd(*FIXED, "--relation=add_remove"),
        "fixed-size sampling is bounded under replace_one only, so not under add_remove.",
    ),
    Wrong(
        "batches larger than all records",
        sgd(*FIXED, "--batch-size=1001"),
        "batch_size must not exceed records, got 1001 of 1000.",
    ),
    Wrong(
        "truncated batches where people come and go",
        sgd(*TRUNCATED, "--relation=add_remove"),
        "truncated sampling needs a public number of records, so not under add_remove.",
    ),
    Wrong("a cap of 0", sgd(*TRUNCATED, "--batch-cap=0"), "batch_cap must be a whole number of at least 1, got 0."),
    Wrong(
        "truncated batches without their cap",
        sgd(*TRUNCATED, "--batch-cap=-"),
        "truncated sampling needs sample_rate and records and batch_cap; batch_cap not given.",
    ),
    Wrong(
        "half an epoch",
        sgd(*EPOCHS, "--participations=3"),
        "steps must be a multiple of participations, got 100 steps and 3 participations.",
    ),
    Wrong(
        "random allocation where a record is replaced",
        sgd(*EPOCHS, "--relation=replace_one"),
        "random allocation is bounded under add_remove and zero_out only, so not under replace_one.",
    ),
]


TARGETS = [
    Wrong(
        "a target of nan",
        sgd(*TARGET, "--target-epsilon=nan", command="calibrate"),
        "target_epsilon must be a finite number above 0, got nan.",
    ),
    Wrong(
        "a target of 0",
        sgd(*TARGET, "--target-epsilon=0", command="calibrate"),
        "target_epsilon must be a finite number above 0, got 0.0.",
    ),
    Wrong(
        "a negative target",
        sgd(*TARGET, "--target-epsilon=-1", command="calibrate"),
        "target_epsilon must be a finite number above 0, got -1.0.",
    ),
    Wrong(
        "a target at a δ of 0",
        sgd(*TARGET, "--target-delta=0", command="calibrate"),
        "target_delta must lie in (0, 1), got 0.0.",
    ),
    Wrong(
        "a target at a δ of 1",
        sgd(*TARGET, "--target-delta=1", command="calibrate"),
        "target_delta must lie in (0, 1), got 1.0.",
    ),
    Wrong(
        "a target of no steps",
        sgd(*TARGET, "--steps=0", command="calibrate"),
        "steps must be a whole number of at least 1, got 0.",
    ),
    Wrong(
        "a target without a rate",
        sgd(*TARGET, "--sample-rate=-", command="calibrate"),
        "poisson sampling needs sample_rate; sample_rate not given.",
    ),
]


FILES = [
    Wrong(
        "no such event", ("epsilon", "{folder}/none.json", "--delta=1e-5"), "{folder}/none.json cannot be read: No such"
    ),
    Wrong(
        "an event that is a folder", ("epsilon", "{folder}", "--delta=1e-5"), "{folder} cannot be read: Is a directory."
    ),
    Wrong("an event that is no JSON", file(), "{folder}/event.json: this is no valid JSON.", text("{")),
    Wrong(
        "an event of a later version",
        file(),
        "{folder}/event.json: this event is of version 2; this discreet reads version 1.",
        event(v=2, kind="pure", epsilon=1.0),
    ),
    Wrong(
        "a later version within a list",
        file(),
        "{folder}/event.json: this event is of version 7;",
        text('[{"v": 1, "kind": "pure", "epsilon": 1.0}, {"v": 7, "kind": "pure", "epsilon": 1.0}]'),
    ),
    Wrong(
        "an unknown kind of event",
        file(),
        "{folder}/event.json: unknown kind of event: 'gausian'.",
        event(v=1, kind="gausian", noise_multiplier=1.0),
    ),
    Wrong(
        "negative noise in a file",
        file(),
        "{folder}/event.json: noise_multiplier must be a finite number above 0, got -1.0.",
        event(v=1, kind="gaussian", noise_multiplier=-1.0),
    ),
    Wrong(
        "two relations in one composition",
        file(),
        "{folder}/event.json: its parts are bounded under different relations, add_remove and replace_one:",
        text(json.dumps([sampled("add_remove"), sampled("replace_one")])),
    ),
    Wrong(
        "options beside a file",
        file("--delta=1e-5", "--steps=10"),
        "{folder}/event.json holds its event whole; --steps describes another beside it.",
        event(v=1, kind="pure", epsilon=1.0),
    ),
    Wrong(
        "a δ that the event spends alone",
        file(),
        "no finite ε holds for this event at δ = 1e-05.",
        event(v=1, kind="approximate", epsilon=1.0, delta=0.01),
        kind="UnsupportedEvent",
    ),
    Wrong(
        "a picture of another format",
        file("--plot", "curve.gif", command="curve"),
        "a picture is a .svg, .png, .pdf, got 'curve.gif'.",
        event(v=1, kind="pure", epsilon=1.0),
    ),
    Wrong(
        "a picture that cannot be written",
        file("--plot", "{folder}/none/curve.svg", command="curve"),
        "{folder}/none/curve.svg cannot be written: No such file or directory.",
        event(v=1, kind="pure", epsilon=1.0),
    ),
    Wrong(
        "a comparison at a δ of nan",
        file("--delta=nan", command="compare"),
        "delta must lie in [0, 1), got nan.",
        event(v=1, kind="pure", epsilon=1.0),
    ),
]


USAGE = [
    Wrong(f"usage: {' '.join(command)[:60]}", command, says, kind="Usage", code=2)
    for command, says in (
        (sgd("--noise-multiplier=-"), "dpsgd needs --noise-multiplier."),
        (sgd("--steps=-"), "dpsgd needs --steps."),
        (sgd("--steps=1.5"), ""),
        (sgd("--delta=-"), ""),
        (sgd("--relation=remove"), ""),
        (sgd("--sampling=shuffled"), ""),
        (sgd(*TARGET, "--target-delta=-", command="calibrate"), ""),
        (("calibrate", "event.json", "--target-epsilon=1", "--target-delta=1e-5", "--steps=1"), ""),
        (("epsilon", "--delta=1e-5"), ""),
        (("compare", "--delta=1e-5"), ""),
    )
]

ACCOUNTANT = [*RUNS, *TARGETS, *FILES, *USAGE]

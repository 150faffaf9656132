"""Shadow models and the attack with them: any classifier, any function; what comes out is internal."""

import json

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from discreet.audit.membership.attack import Attack, Membership, membership
from discreet.audit.membership.roc import MemberRoc
from discreet.audit.membership.shadows import Shadows, confidence
from discreet.errors import InvalidInput
from discreet.release import Internal
from tests.unit.test_release import release

RNG = np.random.default_rng(23)
DATA = RNG.normal(size=(400, 5))
LABELS = (DATA[:, 0] + RNG.normal(size=400) > 0).astype(int)


def test_a_model_that_remembers_its_records_is_found_out():
    found = membership(KNeighborsClassifier(1), DATA, LABELS, shadows=8)
    for attack in (Attack.LIRA, Attack.RMIA, Attack.BAVARIA):
        assert found.roc(attack).auc > 0.6  # by chance 0.5 ± 0.03
    assert "AUC" in str(found)


def test_a_model_that_ignores_its_records_is_not():
    def fit(data, labels):
        return lambda asked, _: 1 / (1 + np.exp(-asked[:, 0] + 0.1 * RNG.normal(size=len(asked))))

    found = membership(fit, DATA, LABELS, shadows=8)
    for attack in Attack:
        assert abs(found.roc(attack).auc - 0.5) < 0.2  # more than six standard deviations


@pytest.mark.parametrize(
    "form", [np.asarray, sparse.csr_array, "frame", list], ids=["array", "sparse", "frame", "list"]
)
def test_any_form_of_records(form):
    if form == "frame":
        data = pytest.importorskip("pandas").DataFrame(DATA)
    else:
        data = form(DATA)
    found = membership(LogisticRegression(), data, LABELS.astype(str), shadows=4)
    assert found.signals.shadows.shape == (4, 400)


def test_each_model_gets_its_own_half_and_no_estimator_is_touched():
    seen, model = [], DecisionTreeClassifier()

    def fit(data, labels):
        seen.append({row.tobytes() for row in data})
        return DecisionTreeClassifier().fit(data, labels)

    training = Shadows(fit, DATA, LABELS, count=6)
    assert len(training) == 7
    assert list(training) == list(range(7))
    rows = [row.tobytes() for row in DATA]
    assert seen[0] == {row for row, inside in zip(rows, training.flip.included, strict=True) if inside}
    for shadow, inside in zip(seen[1:], training.signals.inside, strict=True):
        assert shadow == {row for row, chosen in zip(rows, inside, strict=True) if chosen}
    assert (training.signals.inside.sum(axis=0) == 3).all()  # each record in exactly half of the shadows
    membership(model, DATA, LABELS, shadows=4)
    assert not hasattr(model, "tree_")


def test_training_can_stop_and_go_on():
    training = Shadows(DecisionTreeClassifier(), DATA, LABELS, count=4)
    steps = iter(training)
    next(steps)
    with pytest.raises(InvalidInput, match="1 of 5 models are trained"):
        _ = training.signals
    assert list(training) == [1, 2, 3, 4]
    assert list(training) == []
    assert training.signals.target.shape == (400,)


def test_confidence_is_that_in_the_records_own_label():
    model = LogisticRegression().fit(DATA, np.where(LABELS, "yes", "no"))
    own = confidence(model, DATA[:3], ["yes", "no", "never seen"])
    table = model.predict_proba(DATA[:3])
    assert own.tolist() == [table[0, 1], table[1, 0], 0.0]


def test_what_comes_out_is_internal(tmp_path):
    found = membership(DecisionTreeClassifier(), DATA, LABELS, shadows=4)
    assert isinstance(found, Internal)
    assert isinstance(found.roc(), MemberRoc)
    assert found.flip.real
    assert isinstance(found.flip.roc(found.scores()), MemberRoc)
    assert str(found).endswith("internal: computed from raw data outside the door")
    with pytest.raises(InvalidInput, match="computed from raw data outside of the door"):
        release(facts={"attack": found})
    found.write(tmp_path / "attack.json")
    assert (tmp_path / "attack.json").stat().st_mode & 0o777 == 0o600
    written = json.loads((tmp_path / "attack.json").read_text())
    assert written["internal"].startswith("internal")
    assert all(curve["internal"] for curve in written["attacks"].values())
    assert len(written["vulnerability"]) == 400
    with pytest.raises(InvalidInput, match="exists already"):
        found.write(tmp_path / "attack.json")


def test_vulnerable_records_are_those_that_move():
    data, labels = DATA.copy(), LABELS.copy()
    data[:5] = 50 * np.eye(5)  # far away: a neighbourhood of their own
    found = membership(KNeighborsClassifier(1), data, labels, shadows=16)
    assert isinstance(found, Membership)
    assert found.vulnerability.shape == (400,)
    assert found.vulnerability.mean() > 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[:-1]}, "each record needs one label, got 400 records"),
        ({"labels": np.ones(400)}, "got 400 of 1"),
        ({"data": DATA[:10], "labels": LABELS[:10]}, "at least 20 records"),
        ({"count": 3}, "count must be an even number"),
        ({"count": 2}, "at least 4"),
        ({"count": 0}, "count must be an even number"),
        ({"count": True}, "count must be an even number"),
        ({"fit": 3}, "fit must be a scikit-learn classifier or a function, got int"),
    ],
    ids=str,
)
def test_wrong_input_is_refused(change, message):
    right = {"fit": DecisionTreeClassifier(), "data": DATA, "labels": LABELS, "count": 4}
    with pytest.raises(InvalidInput, match=message):
        Shadows(**(right | change))


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (lambda data, labels: np.full(len(labels), np.nan), "400 of 400 that do not"),
        (lambda data, labels: np.full(len(labels), 2.0), "400 of 400 that do not"),
        (lambda data, labels: np.full(7, 0.5), r"shape \(7,\)"),
        ("no function", "needs predict_proba, or must be a function"),
    ],
    ids=["nan", "no probability", "too few", "no model"],
)
def test_wrong_models_are_refused(scorer, message):
    with pytest.raises(InvalidInput, match=message):
        membership(lambda data, labels: scorer, DATA, LABELS, shadows=4)

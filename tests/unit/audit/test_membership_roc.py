"""The curve of a score: counts by hand, exact intervals, and what may not leave."""

import numpy as np
import pytest

from discreet.audit.canaries import flip
from discreet.audit.membership.roc import MemberRoc, Roc, area, interval, roc
from discreet.errors import InvalidInput
from discreet.explain import roc as pictures
from discreet.release import Internal
from tests.unit.test_release import release


def test_counts_by_hand():
    curve = roc([9.0, 7.0, 5.0, 5.0], [8.0, 5.0, 2.0, 1.0, 0.0])
    assert curve.false_positives.tolist() == [0, 0, 1, 1, 2, 3, 4, 5]
    assert curve.true_positives.tolist() == [0, 1, 1, 2, 4, 4, 4, 4]
    # pairs won: 9 beats 5, 7 beats 4, each 5 beats 3 and ties with one
    assert curve.auc == pytest.approx((5 + 4 + 3.5 + 3.5) / 20)
    assert curve.auc == pytest.approx(area([9.0, 7.0, 5.0, 5.0], [8.0, 5.0, 2.0, 1.0, 0.0]))
    assert (curve.at(0.0).true_positives, curve.at(0.0).false_positives) == (1, 0)
    assert (curve.at(0.2).true_positives, curve.at(0.2).false_positives) == (2, 1)
    assert (curve.at(0.39).true_positives, curve.at(0.4).true_positives) == (2, 4)
    assert curve.at(1.0).true_positives == 4


def test_intervals_are_those_of_clopper_and_pearson():
    # 3 of 10 at 95 %: the published table of exact intervals gives 0.0667 to 0.6525
    low, high = interval(3, 10, 0.95)
    assert (round(low, 4), round(high, 4)) == (0.0667, 0.6525)
    curve = roc(np.arange(10) + np.where(np.arange(10) > 6, 100, 0), np.full(20, 50.0))
    found = curve.at(0.0)
    assert (found.true_positives, found.members) == (3, 10)
    assert (found.low, found.high) == (low, high)
    assert found.most_false == pytest.approx(1 - 0.025 ** (1 / 20), rel=1e-9)  # none of 20


def test_the_share_found_where_nobody_is_accused_covers_the_truth():
    """The threshold is set by the others: the exact interval must hold the true share as often as it says."""
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(2000):
        inner, outer = rng.random(100), rng.random(100)
        found = roc(inner, outer, confidence=0.9).at(0.05)
        threshold = np.sort(outer)[-6]  # what lies above it is called a member
        missed += not found.low <= 1 - threshold <= found.high
    assert missed < 2000 * 0.1 + 6 * np.sqrt(2000 * 0.1 * 0.9)
    assert missed > 20  # intervals that always hold would be no intervals


def test_plain_data_keeps_the_bends():
    rng = np.random.default_rng(5)
    curve = roc(rng.normal(1, 1, 300), rng.normal(0, 1, 400))
    data = curve.to_dict()
    x, y = np.array(data["curve"]["false_positive_rate"]), np.array(data["curve"]["true_positive_rate"])
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert x.size < curve.false_positives.size
    assert np.trapezoid(y, x) == pytest.approx(curve.auc)  # what was left out lay on straight lines
    assert [found["at"] for found in data["found"]] == [0.01, 0.001, 0.0]


@pytest.mark.parametrize(
    ("members", "others", "message"),
    [
        ([], [1.0], "got 0 and 1"),
        ([1.0], [], "got 1 and 0"),
        ([1.0, np.nan], [1.0], "members must be finite"),
        ([1.0], [np.inf, 1.0], "others must be finite"),
        ([2.0, 2.0], [2.0, 2.0], "all 4 scores are equal"),
        ([[1.0]], [2.0], "members must have 1 axes, got 2"),
    ],
    ids=str,
)
def test_wrong_scores_are_refused(members, others, message):
    with pytest.raises(InvalidInput, match=message):
        roc(members, others)


@pytest.mark.parametrize("wrong", [0.0, 1.0, -1.0, np.nan])
def test_confidence_is_checked(wrong):
    with pytest.raises(InvalidInput, match="confidence must lie"):
        roc([1.0], [2.0], confidence=wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_rates_are_checked(wrong):
    with pytest.raises(InvalidInput, match="a rate must lie"):
        roc([1.0], [2.0]).at(wrong)


# ------------------------------------------------------------------------------ what is internal


def curves():
    coins = flip(400)
    scores = np.random.default_rng(1).normal(size=400) + 2 * coins.included
    return roc(scores[coins.included], scores[~coins.included]), coins.roc(scores)


def test_curves_of_real_records_are_internal_and_those_of_canaries_are_not():
    real, canaries = curves()
    assert isinstance(real, MemberRoc)
    assert isinstance(real, Internal)
    assert not isinstance(canaries, Internal)
    assert isinstance(canaries, Roc)
    assert "internal" in real.to_dict()
    assert "internal" not in canaries.to_dict()
    assert real.to_dict()["curve"] == canaries.to_dict()["curve"]


def test_a_report_takes_canaries_and_refuses_real_records():
    real, canaries = curves()
    shown = pictures.picture("one", {"canaries": canaries.to_dict()})
    assert shown.startswith("<svg")
    assert "canaries found" not in shown
    assert "members found at 1 % wrongly accused" in shown
    with pytest.raises(InvalidInput, match="the curve of lira was computed from real records"):
        pictures.picture("two", {"canaries": canaries.to_dict(), "lira": real.to_dict()})


def test_a_release_refuses_a_curve_of_real_records():
    with pytest.raises(InvalidInput, match="computed from raw data"):
        release(facts={"attack": curves()[0]})


def test_a_picture_of_real_records_says_so_and_only_its_owner_can_read_it(tmp_path):
    real, canaries = curves()
    pictures.save({"lira": real.to_dict()}, tmp_path / "real.svg")
    pictures.save({"canaries": canaries.to_dict()}, tmp_path / "canaries.svg")
    assert "internal: computed from real records" in (tmp_path / "real.svg").read_text()
    assert "internal" not in (tmp_path / "canaries.svg").read_text()
    assert (tmp_path / "real.svg").stat().st_mode & 0o777 == 0o600


def test_one_curve_is_one_file(tmp_path):
    _, canaries = curves()
    for name in ("a.svg", "b.svg"):
        pictures.save({"canaries": canaries.to_dict()}, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_pictures_that_cannot_be_drawn(tmp_path):
    curve = curves()[1].to_dict()
    with pytest.raises(InvalidInput, match="no curve to draw"):
        pictures.picture("x", {})
    with pytest.raises(InvalidInput, match="cannot be written"):
        pictures.save({"c": curve}, tmp_path / "nowhere" / "x.svg")
    with pytest.raises(InvalidInput, match=r"\.gpx is no format"):
        pictures.save({"c": curve}, tmp_path / "x.gpx")
    assert not (tmp_path / "x.gpx").exists()

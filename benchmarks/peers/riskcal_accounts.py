"""riskcal and gdpnum: both wrap dp-accounting; riskcal's ε, and the ε of the μ (and its regret) that gdpnum finds."""

from __future__ import annotations

from meter import account, task


def by_riskcal(task):
    from riskcal.accountants import CTDAccountant

    found = CTDAccountant()
    found.history = [(part["sigma"], part.get("rate", 1.0), part["count"]) for part in task["parts"]]
    return float(found.get_epsilon(delta=task["delta"])), None


def by_gdpnum(task):
    from gdpnum import CTDAccountant

    found = CTDAccountant()
    found.history = [(part["sigma"], part.get("rate", 1.0), part["count"]) for part in task["parts"]]
    mu, _ = found.get_mu_and_regret()
    return gaussian_epsilon(mu, task["delta"]), None


def gaussian_epsilon(mu, delta):
    """Return the ε at which a μ-GDP mechanism has that δ, by its closed form."""
    import math

    from scipy.optimize import brentq
    from scipy.stats import norm

    def gap(epsilon):
        return norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu)) - delta

    return brentq(gap, 0, mu * mu / 2 + 40 * mu, xtol=1e-14) if gap(0) > 0 else 0.0


if __name__ == "__main__":
    account({"epsilon": by_riskcal if task()["options"]["of"] == "riskcal" else by_gdpnum})

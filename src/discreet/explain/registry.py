"""The record for the public registry of deployments (the shape of opendp/deployments-registry-data)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from discreet.errors import InvalidInput
from discreet.explain import words

MISSING = "MISSING: only the curator can say"
VARIANTS = {"pure": "Pure DP", "zcdp": "Zero-concentrated DP", "renyi": "Rényi DP"}


def registry(facts: Mapping[str, Any], *, tier: int) -> dict[str, Any]:
    """Return the record at a transparency tier: 1 names, 2 parameters, 3 details too.

    Raises:
        InvalidInput: no such tier.
    """
    if tier not in (1, 2, 3):
        raise InvalidInput(f"tier must be 1, 2 or 3, got {tier!r}.", state="Nothing was written.")
    deployment: dict[str, Any] = {"basic": _basic(facts)}
    if tier > 1:
        deployment |= {
            "dp_variant": _variant(facts),
            "privacy_loss": _loss(facts),
            "deployment_model": _model(facts),
            "accounting": _accounting(facts),
            "implementation": _implementation(facts),
        }
    deployment["administrative"] = {"sources": MISSING, "registry_authors": [MISSING]}
    if tier < 3:
        deployment = {part: _short(fields) for part, fields in deployment.items()}
    return {"url_slug": _slug(facts["title"]), "status": "Draft", "tier": tier, "deployment": deployment}


def missing(record: Mapping[str, Any]) -> list[str]:
    """Return the paths of the fields that a person must still fill in."""
    return [path for path, value in flat(record) if value == MISSING]


def flat(record: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of a record with their paths, in order."""
    if isinstance(record, Mapping):
        return [leaf for key, value in record.items() for leaf in flat(value, f"{path}.{key}" if path else str(key))]
    if isinstance(record, list):
        return [leaf for value in record for leaf in flat(value, path)]
    return [(path, record)]


def _short(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if not key.endswith("_details")}


def _said(facts: Mapping[str, Any], field: str) -> str:
    value = facts["project"].get(field)
    return str(value) if value else MISSING


def _basic(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": _said(facts, "name"),
        "data_curators": [{"data_curator_name": _said(facts, "curator")}],
        "intended_use": _said(facts, "intended_use"),
        "data_product_type": "Summary statistics",
        "data_product_region": _said(facts, "region"),
        "description": _said(facts, "description"),
        "publication_date": (facts["as_of"] or MISSING)[:10] if facts["as_of"] else MISSING,
        "data_product_sector": _said(facts, "sector"),
    }


def _variant(facts: Mapping[str, Any]) -> dict[str, Any]:
    account = facts["account"]
    kind = account["measure"].split("(")[0]
    tables = sorted({str(release["source"]) for release in facts["releases"] if release["source"]})
    return {
        "variant_name": VARIANTS.get(kind, "Approximate DP"),
        "data_domain": f"Tables with declared columns: {', '.join(tables)}." if tables else "No release is shown here.",
        "unprotected_quantities": "None leave through discreet. Table names, column names, declared bounds and keys are public by declaration.",
    }


def _loss(facts: Mapping[str, Any]) -> dict[str, Any]:
    account = facts["account"]
    parameters: dict[str, Any] = {"epsilon": account["epsilon"], "delta": account["delta"]}
    if account["measure"] == "zcdp":
        parameters["rho"] = facts["budget"]["capacity"] / 2**40
    return {
        "privacy_unit": "Person-level" if account["enforced"] else "Record-level",
        "privacy_unit_details": f"Protected is {account['unit_words']}. Adjacent datasets ({account['relation']}): {account['relation_words']}.",
        "privacy_parameters": parameters,
        "privacy_parameters_details": f"The budget of the account {account['population']}, of which {words.percent(facts['budget']['spent'])} "
        f"was spent when this record was written. {_raised(account)}",
    }


def _raised(account: Mapping[str, Any]) -> str:
    if not account["raises"]:
        return "It was fixed at opening."
    moment = "after releases had been seen" if account["chosen_after"] else "before anything was released"
    return f"It was raised {words.times(len(account['raises']))}, {moment}."


def _model(facts: Mapping[str, Any]) -> dict[str, Any]:
    versions = sorted({str(release["data_version"]) for release in facts["releases"] if release["data_version"]})
    return {
        "model_name": "Central",
        "model_name_details": "The curator holds the rows and runs the mechanisms; only noised results leave.",
        "actors": _said(facts, "actors"),
        "release_type": "One release" if facts["published"] == 1 else "Many releases",
        "release_type_details": f"{words.count(len(facts['releases']), 'release')} of {facts['published']} published in this record; the ledger holds {words.count(len(facts['budget']['parts']), 'charge')}.",
        "data_source_type": "Static" if len(versions) <= 1 else "Dynamic",
        "data_source_type_details": f"Declared data versions: {', '.join(versions) or 'none'}.",
        "access_type": "Interactive" if facts["budget"]["analysts"] else "Non-interactive",
        "access_type_details": _access(facts),
    }


def _access(facts: Mapping[str, Any]) -> str:
    names = [row["analyst"] for row in facts["budget"]["analysts"]]
    if names:
        return f"Shares of the budget are granted to {', '.join(names)}; the account's own limit holds for all of them together, so they may collude."
    return "No shares are granted; the owner runs declared questions."


def _accounting(facts: Mapping[str, Any]) -> dict[str, Any]:
    account = facts["account"]
    return {
        "post_processing": "Arithmetic, ordering and filtering of released values; this report. None reads private rows.",
        "composition": f"Adaptive: a privacy filter in {account['measure_words']} admits each charge before the rows are read; costs are whole numbers rounded up.",
    }


def _implementation(facts: Mapping[str, Any]) -> dict[str, Any]:
    used = sorted({text.split(":")[0] for release in facts["releases"] for text in release["mechanisms"]})
    software = sorted({str(release["software"]) for release in facts["releases"] if release["software"]})
    return {
        "preprocessing_and_hyperparameter_tuning": _said(facts, "tuning"),
        "mechanisms": f"{'; '.join(used) or 'None'}. Library: discreet {', '.join(software)}. Floating point: "
        f"{_hazard(facts, 'floating-point')} Timing: {_hazard(facts, 'running time')}",
        "justification": _said(facts, "justification"),
    }


def _hazard(facts: Mapping[str, Any], part: str) -> str:
    return next((row[2] for row in facts["hazards"] if part in row[1].lower()), "not examined.")


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "deployment"

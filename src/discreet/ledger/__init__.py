"""The ledger: a durable account of what was spent on each population."""

from discreet.ledger.account import Account, Raise, Share
from discreet.ledger.audit import Verified
from discreet.ledger.budget import remaining_epsilon
from discreet.ledger.entries import Entry
from discreet.ledger.keys import OwnerKey
from discreet.ledger.ledger import Ledger
from discreet.ledger.periods import Period, Renewal
from discreet.ledger.total import Total

__all__ = [
    "Account",
    "Entry",
    "Ledger",
    "OwnerKey",
    "Period",
    "Raise",
    "Renewal",
    "Share",
    "Total",
    "Verified",
    "remaining_epsilon",
]

"""The ledger: a durable account of what was spent on each population."""

from discreet.ledger.account import Account, Raise, Share
from discreet.ledger.audit import Verified
from discreet.ledger.budget import remaining_epsilon
from discreet.ledger.entries import Entry
from discreet.ledger.keys import OwnerKey
from discreet.ledger.ledger import Ledger

__all__ = ["Account", "Entry", "Ledger", "OwnerKey", "Raise", "Share", "Verified", "remaining_epsilon"]

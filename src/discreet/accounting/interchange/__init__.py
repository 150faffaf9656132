"""Events of other accountants, read and written: dp-accounting's trees, and the histories of opacus.

What is read is the same mechanism in our words, or an error that names what is not: nothing is skipped,
and nothing is replaced by a bound. dp-accounting's events are recognised by the name of their class, so
that none of its modules is needed to read them; an event of a later version with other fields is refused.

Noise is where conventions part. dp-accounting *documents* a noise multiplier as s / C for contributions of
norm at most C, whatever the relation, and its PLDAccountant computes that. Its RdpAccountant, the only one
for fixed-size batches, takes the same number for s / sensitivity. Under replace_one the sensitivity is 2C,
so the two readings differ by 2. `noise_per` says which is meant; the documented one never reads less loss.
"""

from discreet.accounting.interchange.conventions import NoisePer
from discreet.accounting.interchange.reading import from_dp_accounting, from_opacus, read
from discreet.accounting.interchange.writing import to_dp_accounting

__all__ = ["NoisePer", "from_dp_accounting", "from_opacus", "read", "to_dp_accounting"]

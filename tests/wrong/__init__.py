"""What people do wrong: every case, by what it is about."""

from tests.wrong.accountant import ACCOUNTANT
from tests.wrong.books import DATA, DISK, LEDGER
from tests.wrong.files import BOUNDS, TOML, UNITS
from tests.wrong.questions import BUDGETS, OUTPUT, SQL, USAGE

ALL = [*TOML, *SQL, *BUDGETS, *OUTPUT, *DATA, *BOUNDS, *UNITS, *LEDGER, *DISK, *USAGE, *ACCOUNTANT]

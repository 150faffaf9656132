"""What holds for every test. Warnings are errors and a hang is a failure: pyproject.toml says so."""

from hypothesis import settings

from tests.browser import browser  # noqa: F401 - fixtures for every test
from tests.ledgers import book, book_key, book_url  # noqa: F401 - the same
from tests.postgres import postgres, postgres_server  # noqa: F401 - the same
from tests.spark import connect, pytest_xdist_make_scheduler, spark, spark_log  # noqa: F401 - and one worker for them

# No deadline: the machine is shared, and a slow example is no counter-example. Fresh examples each
# run; the blob that repeats a failing one is printed.
settings.register_profile("discreet", deadline=None, print_blob=True)
settings.load_profile("discreet")

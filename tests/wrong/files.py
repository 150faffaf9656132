"""What can be wrong in discreet.toml."""

from tests.wrong.case import PLAN, Wrong, ask, toml

WARD = 'keys = ["A", "B"]'
VIEW = 'sql = "SELECT id FROM visits"\npopulation = "people"'


TOML = [
    Wrong("no such folder", ("plan", "{folder}/nowhere"), "{folder}/nowhere cannot be read: No such file"),
    Wrong("no file in the folder", PLAN, "{toml} cannot be read: No such file", lambda place: place.toml.unlink()),
    Wrong("not TOML", PLAN, "{toml} is not valid TOML: ", toml("version = 1", "version = = 1")),
    Wrong("not text", PLAN, "{toml} is not valid TOML: ", lambda place: place.toml.write_bytes(b"\xff\xfe")),
    Wrong("another version", PLAN, "{toml}: version must be 1, got 2.", toml("version = 1", "version = 2")),
    Wrong(
        "no version",
        PLAN,
        "{toml}: version must be 1, got None.",
        toml("version = 1", ""),
    ),
    Wrong(
        "an unknown section",
        PLAN,
        "{toml}: unknown key 'populations'. Did you mean 'population'?",
        toml("[population.people]", "[populations.people]"),
    ),
    Wrong(
        "a misspelt key",
        PLAN,
        "{toml}: [population.people]: unknown key 'epsilom'. Did you mean 'epsilon'?",
        toml("epsilon = 2.0", "epsilom = 2.0"),
    ),
    Wrong(
        "a missing key",
        PLAN,
        "{toml}: [population.people]: measure is missing.",
        toml('measure = "zcdp"\n', ""),
    ),
    Wrong(
        "a text for a number",
        PLAN,
        "{toml}: [population.people]: epsilon must be a number",
        toml("epsilon = 2.0", 'epsilon = "2"'),
    ),
    Wrong(
        "true for a number",
        PLAN,
        "{toml}: [population.people]: epsilon must be a number",
        toml("epsilon = 2.0", "epsilon = true"),
    ),
    Wrong(
        "a number for a text",
        PLAN,
        "{toml}: [table.visits]: version must be a text",
        toml('version = "1"', "version = 1.5"),
    ),
    Wrong(
        "half an attempt",
        PLAN,
        "{toml}: [[release]] people: attempt must be a whole number",
        toml('name = "people"', 'name = "people"\nattempt = 1.5'),
    ),
    Wrong(
        "attempt 0",
        PLAN,
        "{toml}: [[release]] people: attempt must be a whole number of at least 1, got 0.",
        toml('name = "people"', 'name = "people"\nattempt = 0'),
    ),
    Wrong(
        "a release in single brackets",
        PLAN,
        "{toml}: ",
        lambda place: place.toml.write_text(place.toml.read_text().split("[[release]]")[0] + '[release]\nname = "x"\n'),
    ),
    Wrong(
        "an unknown population",
        PLAN,
        "{toml}: [table.visits]: population names 'peopl', which is not declared. Did you mean 'people'?",
        toml('population = "people"', 'population = "peopl"'),
    ),
    Wrong(
        "a public table of a population",
        PLAN,
        "{toml}: [table.visits]: population stands beside public = true: a public table's rows are nobody's.",
        toml('population = "people"', 'population = "people"\npublic = true'),
    ),
    Wrong(
        "a link to no table",
        PLAN,
        "{toml}: [table.visits]: via names the table 'visit', which is not declared. Did you mean 'visits'?",
        toml('population = "people"', 'population = "people"\nvia = { column = "id", table = "visit", key = "id" }'),
    ),
    Wrong(
        "a link in a circle",
        PLAN,
        "{toml}: [table.visits]: the links of visits → visits go round in a circle.",
        toml('population = "people"', 'population = "people"\nvia = { column = "id", table = "visits", key = "id" }'),
    ),
    Wrong(
        "a view by the name of a table",
        PLAN,
        "{toml}: [table.visits] and [view.Visits] have one name; SQL does not tell cases apart.",
        toml("[[release]]", f"[view.Visits]\n{VIEW}\n\n[[release]]"),
    ),
    Wrong(
        "a view of nothing",
        PLAN,
        "{toml}: [[release]] people: [view.people]: the query reads 'visit', which is not a declared table. Did you mean",
        lambda place: (
            place.change("[[release]]", f"[view.people]\n{VIEW}\n\n[[release]]"),
            place.change('FROM visits"\nepsilon', 'FROM people"\nepsilon'),
            place.change("id FROM visits", "id FROM visit"),
        ),
    ),
    Wrong(
        "an unknown table",
        PLAN,
        "{toml}: [[release]] people: the query reads 'visit', which is not a declared table. Did you mean 'visits'?",
        toml("FROM visits", "FROM visit"),
    ),
    Wrong(
        "a key that does not exist",
        PLAN,
        "{toml}: [[release]] people: unknown key 'table'.",
        toml('name = "people"', 'name = "people"\ntable = "nowhere"'),
    ),
    Wrong(
        "two releases of one name",
        PLAN,
        "{toml}: [[release]] people: the name 'people' stands twice.",
        toml('name = "by_ward"', 'name = "people"'),
    ),
    Wrong(
        "a name with a slash",
        PLAN,
        "{toml}: [[release]] ../x: a release's name is ",
        toml('name = "people"', 'name = "../x"'),
    ),
    Wrong(
        "another kind",
        PLAN,
        '{toml}: [[release]] people: kind must be "sql" or "train", got ',
        toml('name = "people"', 'name = "people"\nkind = "fit"'),
    ),
    Wrong(
        "url and url_env",
        PLAN,
        "{toml}: [ledger]: give either url",
        toml('url = "ledger.db"', 'url = "ledger.db"\nurl_env = "X"'),
    ),
    Wrong(
        "neither url nor url_env",
        PLAN,
        "{toml}: [ledger]: give either url",
        toml('url = "ledger.db"', ""),
    ),
    Wrong(
        "an unset variable",
        PLAN,
        "{toml}: [ledger]: the environment variable DISCREET_NOWHERE is not set.",
        toml('url = "ledger.db"', 'url_env = "DISCREET_NOWHERE"'),
    ),
    Wrong(
        "another kind of database",
        PLAN,
        "{toml}: [ledger]: this is no place for a ledger: 'mysql'.",
        toml('url = "ledger.db"', 'url = "mysql://x"'),
    ),
    Wrong(
        "an unknown measure",
        PLAN,
        "{toml}: [population.people]: the measure must be ",
        toml('measure = "zcdp"', 'measure = "zdcp"'),
    ),
    Wrong(
        "an unknown relation",
        PLAN,
        "{toml}: [population.people]: relation must be one of ",
        toml("add_remove", "add_or_remove"),
    ),
    Wrong("an init over a project", ("init", "{folder}"), "{toml} exists already."),
    Wrong("an unknown release", ("run", "{folder}", "--yes", "--only", "agse"), "there is no release 'agse'."),
    Wrong(
        "a guess that is no number",
        PLAN,
        "{toml}: [[release]] people: guess must map output columns to numbers",
        toml("guess = { n = 60 }", 'guess = { n = "many" }'),
    ),
    Wrong(
        "a guess of an unknown column",
        PLAN,
        "{toml}: [[release]] people: ",
        toml("guess = { n = 60 }", "guess = { m = 60 }"),
    ),
    Wrong(
        "an owner that is no key",
        PLAN,
        "{toml}: [population.people]: owner must be the public half of the owner's key",
        toml("epsilon = 2.0", 'epsilon = 2.0\nowner = "ada"'),
    ),
    Wrong(
        "more delta set aside than there is",
        PLAN,
        "{toml}: [population.people]: delta_atoms must lie in [0, delta], got 0.1.",
        toml("delta = 1e-6", "delta = 1e-6\ndelta_atoms = 0.1"),
    ),
]


BOUNDS = [
    Wrong(
        "low above high",
        PLAN,
        "{toml}: [table.visits]: column 'cost': low must be below high",
        toml("high = 500.0", "high = -1.0"),
    ),
    Wrong(
        "low equals high",
        PLAN,
        "{toml}: [table.visits]: column 'cost': low must be below high",
        toml("high = 500.0", "high = 0.0"),
    ),
    Wrong(
        "low without high",
        PLAN,
        "{toml}: [table.visits]: column 'cost': a column needs both low and high",
        toml(", high = 500.0", ""),
    ),
    Wrong(
        "nan",
        PLAN,
        "{toml}: [table.visits]: column 'cost': high must be a finite number",
        toml("high = 500.0", "high = nan"),
    ),
    Wrong(
        "inf",
        PLAN,
        "{toml}: [table.visits]: column 'cost': high must be a finite number",
        toml("high = 500.0", "high = inf"),
    ),
    Wrong(
        "a text",
        PLAN,
        "{toml}: [table.visits]: column 'cost': high must be a finite number",
        toml("high = 500.0", 'high = "500"'),
    ),
    Wrong(
        "half an integer",
        PLAN,
        "{toml}: [table.visits]: column 'age': high of an integer column must be whole",
        toml("high = 100", "high = 99.5"),
    ),
    Wrong(
        "resolution 0",
        PLAN,
        "{toml}: [table.visits]: column 'cost': resolution must be above 0",
        toml("high = 500.0", "high = 500.0, resolution = 0.0"),
    ),
    Wrong(
        "resolution too fine",
        PLAN,
        "{toml}: [table.visits]: column 'cost': [0.0, 500.0] in steps of",
        toml("high = 500.0", "high = 500.0, resolution = 1e-15"),
    ),
    Wrong(
        "an unknown type",
        PLAN,
        "{toml}: [table.visits]: column 'ward': type must be one of",
        toml('ward = { type = "text"', 'ward = { type = "string"'),
    ),
    Wrong(
        "an unknown fact",
        PLAN,
        "{toml}: [table.visits]: column 'cost': unknown key 'hihg'. Did you mean 'high'?",
        toml("high = 500.0", "hihg = 500.0"),
    ),
    Wrong(
        "keys of another type",
        PLAN,
        "{toml}: [table.visits]: column 'ward': the keys of a text column must be",
        toml(WARD, "keys = [1, 2]"),
    ),
    Wrong(
        "keys that are no list",
        PLAN,
        "{toml}: [table.visits]: column 'ward': keys must be a list",
        toml(WARD, 'keys = "AB"'),
    ),
    Wrong(
        "no keys",
        PLAN,
        "{toml}: [table.visits]: column 'ward': keys must name at least one group",
        toml(WARD, "keys = []"),
    ),
    Wrong(
        "a key twice",
        PLAN,
        "{toml}: [table.visits]: column 'ward': keys must be distinct",
        toml(WARD, 'keys = ["A", "A"]'),
    ),
    Wrong(
        "keys of a float",
        PLAN,
        "{toml}: [table.visits]: column 'cost': a float column cannot be grouped by",
        toml("high = 500.0", "high = 500.0, keys = [1.5]"),
    ),
    Wrong(
        "too many groups",
        ask("SELECT ward, age, COUNT(*) AS n FROM visits GROUP BY ward, age"),
        "GROUP BY has 2000000 groups; at most 1000000",
        kind="UnsupportedQuery",
        change=lambda place: (
            place.change(WARD, f"keys = {[str(i) for i in range(2000)]}"),
            place.change("low = 0, high = 100", f"low = 0, high = 100, keys = {list(range(1000))}"),
        ),
    ),
]


UNITS = [
    Wrong(
        "an undeclared person's column",
        PLAN,
        "{toml}: [table.visits]: column of [population.people] is 'id', which is no column of this table.",
        toml('id = { type = "integer" }\n', ""),
    ),
    Wrong(
        "a misspelt person's column",
        PLAN,
        "{toml}: [table.visits]: column of [population.people] is 'idd', which is no column of this table. "
        "Did you mean 'id'?",
        toml('column = "id"', 'column = "idd"'),
    ),
    Wrong(
        "a float person's column",
        PLAN,
        "{toml}: [[release]] people: the unit's column 'id' is declared as float: 0.0 and -0.0",
        toml('id = { type = "integer" }', 'id = { type = "float" }'),
    ),
    Wrong(
        "max_rows 0",
        PLAN,
        "{toml}: [table.visits]: max_rows must be a whole number from 1",
        toml("max_rows = 2", "max_rows = 0"),
    ),
    Wrong(
        "max_groups true",
        PLAN,
        "{toml}: [table.visits]: max_groups must be a whole number from 1",
        toml("max_groups = 2", "max_groups = true"),
    ),
    Wrong(
        "bounds without a person's column",
        PLAN,
        "{toml}: [table.visits]: max_groups and max_rows of a table shape the truncation",
        toml('column = "id"\n', ""),
    ),
    Wrong(
        "another person than the account's",
        PLAN,
        "the account 'people' protects ",
        toml('column = "id"', 'column = "age"'),
    ),
    Wrong(
        "another relation than the account's", PLAN, "the account 'people' protects ", toml("add_remove", "replace_one")
    ),
]

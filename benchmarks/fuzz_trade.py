"""Statements for `fuzz_sql.py` over its world of trade, in the manner of a well-known benchmark; not all are answered."""

TRADE = (
    (
        "SELECT l_returnflag, l_linestatus, SUM(l_quantity) AS q, SUM(l_extendedprice * (1 - l_discount)) AS d, "
        "AVG(l_discount) AS a, COUNT(*) AS n FROM lineitem WHERE l_shipdate <= DATE '1998-09-02' GROUP BY "
        "l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus"
    ),
    (
        "SELECT l.l_shipmode, SUM(CASE WHEN o.o_orderpriority = '1-URGENT' THEN 1 ELSE 0 END) AS high, COUNT(*) AS"
        " n FROM orders o JOIN lineitem l ON o.o_orderkey = l.l_orderkey WHERE l.l_shipmode IN ('MAIL', 'SHIP') "
        "AND l.l_shipdate >= '1994-01-01' GROUP BY l.l_shipmode"
    ),
    (
        "SELECT n_name, SUM(l_extendedprice * (1 - l_discount)) AS revenue FROM customer JOIN orders ON c_custkey "
        "= o_custkey JOIN lineitem ON l_orderkey = o_orderkey JOIN nation ON c_nationkey = n_nationkey WHERE "
        "o_orderdate >= DATE '1994-01-01' GROUP BY n_name ORDER BY revenue DESC"
    ),
    (
        "SELECT SUM(l_extendedprice * l_discount) AS revenue FROM lineitem WHERE l_discount BETWEEN 0.05 AND 0.07 "
        "AND l_quantity < 24"
    ),
    (
        "SELECT EXTRACT(year FROM o_orderdate) AS y, SUM(l_extendedprice * (1 - l_discount)) AS volume FROM orders"
        " JOIN lineitem ON o_orderkey = l_orderkey GROUP BY y"
    ),
    (
        "SELECT c_count, COUNT(*) AS custdist FROM (SELECT c_custkey, LEAST(GREATEST(n, 0), 10) AS c_count FROM "
        "(SELECT c_custkey, COUNT(o_orderkey) AS n FROM customer LEFT JOIN orders ON c_custkey = o_custkey GROUP "
        "BY c_custkey) AS x) AS y GROUP BY c_count ORDER BY custdist DESC"
    ),
    (
        "SELECT 100 * SUM(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice ELSE 0 END) / SUM(l_extendedprice) "
        "AS promo FROM lineitem JOIN part ON l_partkey = p_partkey WHERE l_shipdate >= DATE '1995-09-01'"
    ),
    (
        "WITH revenue AS (SELECT l_orderkey, l_extendedprice * (1 - l_discount) AS v FROM lineitem) SELECT AVG(v) "
        "AS a, MEDIAN(v) AS m FROM revenue"
    ),
    (
        "SELECT SUM(l_extendedprice) / 7.0 AS avg_yearly FROM lineitem, part WHERE p_partkey = l_partkey AND "
        "p_brand = 'Brand#23'"
    ),
    (
        "SELECT o_orderpriority, COUNT(*) AS n FROM orders WHERE EXISTS (SELECT * FROM lineitem WHERE l_orderkey ="
        " o_orderkey) GROUP BY o_orderpriority"
    ),
    (
        "SELECT c_name, SUM(o_totalprice) AS s FROM customer JOIN orders ON c_custkey = o_custkey GROUP BY c_name "
        "HAVING s > 300 ORDER BY s LIMIT 10"
    ),
    (
        "SELECT c_mktsegment, AVG(c_acctbal) AS a, COUNT(DISTINCT c_custkey) AS people FROM customer WHERE "
        "c_acctbal > (SELECT AVG(c_acctbal) FROM customer) GROUP BY c_mktsegment"
    ),
    (
        "SELECT n_name, MEDIAN(spent) AS m FROM (SELECT c_custkey, c_nationkey, LEAST(GREATEST(SUM(o_totalprice), "
        "0), 100000) AS spent FROM customer JOIN orders ON c_custkey = o_custkey GROUP BY c_custkey, c_nationkey) "
        "AS x JOIN nation ON c_nationkey = n_nationkey GROUP BY n_name"
    ),
    (
        "SELECT l_returnflag, DATE_TRUNC('year', l_shipdate) AS y, COUNT(*) AS n FROM lineitem GROUP BY ROLLUP "
        "(l_returnflag, DATE_TRUNC('year', l_shipdate))"
    ),
    "SELECT o_comment, COUNT(*) AS n FROM orders GROUP BY o_comment",
)

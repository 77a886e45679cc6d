"""Reads Parquet files that we wrote, and those they were made from, with pyarrow, DuckDB and Polars, and compares them.

Each line of stdin is {"from", "to", "names", "added"}: two files, the names of the columns added, and their values by row. Writes one
line of JSON for each reader and file: {"reader", "file", "columns", "problems"}.
"""
import json
import sys

import duckdb
import polars
import pyarrow.parquet as parquet


def with_pyarrow(path):
    """Columns, their types as stored, and rows."""
    file = parquet.ParquetFile(path)
    leaves = {}
    for i in range(len(file.schema)):
        c = file.schema.column(i)
        logical = str(c.logical_type)
        if logical in ("Int(bitWidth=32, isSigned=true)", "Int(bitWidth=64, isSigned=true)"):
            logical = "None"  # the same said twice
        length = c.length if c.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0
        leaves.setdefault(c.path.split(".")[0], []).append(
            (c.path, c.physical_type, logical, length, c.max_definition_level, c.max_repetition_level))
    table = file.read()
    return table.column_names, leaves, table.to_pylist()


def with_duckdb(path):
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    types = {name: kind for name, kind, *_ in db.execute(f"DESCRIBE SELECT * FROM read_parquet('{path}')").fetchall()}
    cursor = db.execute(f"SELECT * FROM read_parquet('{path}')")
    names = [d[0] for d in cursor.description]
    return names, types, [dict(zip(names, row)) for row in cursor.fetchall()]


def with_polars(path):
    frame = polars.read_parquet(path)
    text = (polars.Categorical, polars.Enum)  # kept by Arrow's own notes in the file, which speak of other columns too
    types = {name: "String" if kind in text else str(kind) for name, kind in frame.schema.items()}
    return frame.columns, types, frame.to_dicts()


def compare(before, after, names, added):
    columns, types, rows = before
    problems = []
    if after[0] != columns + names:
        problems.append(f"columns are {after[0]}, should be {columns + names}")
    problems += [f"column {c} is {after[1].get(c)}, was {types[c]}" for c in columns if after[1].get(c) != types[c]]
    kept = [{c: row[c] for c in columns} for row in after[2]]
    new = [[row[c] for c in names] for row in after[2]]
    problems += [f"row {i} is {a}, was {b}" for i, (a, b) in enumerate(zip(kept, rows)) if repr(a) != repr(b)]
    problems += [f"row {i} has added {a}, should have {b}" for i, (a, b) in enumerate(zip(new, added)) if a != b]
    if len(after[2]) != len(rows):
        problems.append(f"{len(after[2])} rows of {len(rows)}")
    return problems


for line in sys.stdin:
    case = json.loads(line)
    for reader in with_pyarrow, with_duckdb, with_polars:
        name = reader.__name__.removeprefix("with_")
        try:
            before = reader(case["from"])
        except Exception as e:  # what it cannot read of another writer is no matter of ours
            print(json.dumps({"reader": name, "file": case["from"], "columns": 0, "problems": [], "unread": str(e)[:200]}))
            continue
        try:
            after = reader(case["to"])
            problems = compare(before, after, case["names"], case["added"])
        except Exception as e:
            after, problems = ([],), [f"cannot be read: {e}"]
        print(json.dumps({"reader": name, "file": case["from"], "columns": len(after[0]), "problems": problems[:3]}))

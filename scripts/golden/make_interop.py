"""Writes testdata/interop: small Parquet files as pyarrow, DuckDB and Polars write them, and expected.json with their rows.

Each file holds rows of table(), a part of its columns, or none of its rows. The rows of expected.json are what `dpo-ort data convert`
writes as JSON: decimals with all their digits, dates and times as text, maps as lists of {key, value}.
"""
import datetime
import decimal
import json
import pathlib
import shutil

import duckdb
import numpy
import polars
import pyarrow
import pyarrow.parquet

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "interop"
STRUCT = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
SCHEMA = pyarrow.schema([
    ("prompt", pyarrow.string()), ("chosen", pyarrow.list_(STRUCT)), ("rejected", pyarrow.list_(STRUCT)), ("margin", pyarrow.float64()),
    ("tags", pyarrow.list_(pyarrow.string())), ("deep", pyarrow.list_(pyarrow.list_(pyarrow.int32()))), ("price", pyarrow.decimal128(20, 3)),
    ("small", pyarrow.decimal128(5, 2)), ("day", pyarrow.date32()), ("at", pyarrow.timestamp("us", "UTC")), ("local", pyarrow.timestamp("ns")),
    ("tiny", pyarrow.int8()), ("short", pyarrow.uint16()), ("large", pyarrow.uint64()), ("flag", pyarrow.bool_()), ("single", pyarrow.float32()),
    ("half", pyarrow.float16()), ("raw", pyarrow.binary()), ("clock", pyarrow.time64("us"))])
ROWS = 12


def row(i):
    """Row i: every third has no optional value, every other one empty lists."""
    say = lambda text: [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": text}]
    values = {
        "prompt": f"prompt {i % 4} é 😀", "chosen": say("good " * (i % 3 + 1)), "rejected": say("bad"), "margin": i / 4, "tags": ["a", None, f"t{i}"][: i % 4],
        "deep": [[i, -i], [], [7]] if i % 2 else [], "price": decimal.Decimal(i * 1001 - 5000) / 1000, "small": decimal.Decimal(i - 6) / 4,
        "day": datetime.date(1969, 12, 25) + datetime.timedelta(i), "at": datetime.datetime(2026, 11, 24, 1, 2, 3, 100 * i, datetime.timezone.utc),
        "local": datetime.datetime(2001, 2, 3, 4, 5, i), "tiny": i - 100, "short": 65535 - i, "large": 2**64 - 1 - i, "flag": i % 2 == 0,
        "single": numpy.float32(i / 10), "half": numpy.float16(i / 8), "raw": bytes([255, i]), "clock": datetime.time(23, 59, i, 5)}
    if i % 3 == 2:
        values.update({name: None for name in values if name not in ("prompt", "chosen", "rejected")})
    return values


def table():
    return pyarrow.Table.from_pylist([row(i) for i in range(ROWS)], SCHEMA)


def clock(value):
    text = value.isoformat().split("+")[0]
    return text.rstrip("0") if "." in text else text


def plain(value, zone=False):
    """A value as JSON has it."""
    match value:
        case list():
            return [plain(v) for v in value]
        case dict():
            return {k: plain(v) for k, v in value.items()}
        case decimal.Decimal():
            return float(value)
        case datetime.datetime() | datetime.time():
            return clock(value) + ("Z" if getattr(value, "tzinfo", None) else "")
        case datetime.date():
            return value.isoformat()
        case bytes():
            import base64
            return base64.b64encode(value).decode()
        case numpy.floating():
            return float(str(value))
    return value


class Files:
    """The files written, with what is expected of each."""

    def __init__(self):
        self.expected = []

    def add(self, writer, case, name, rows, codec, renamed=None):
        """Row indices and column names are enough: the rows are in expected.json once."""
        columns = renamed or SCHEMA.names
        self.expected.append({"writer": writer, "case": case, "file": name, "codec": codec, "columns": columns, "rows": list(rows)})


def write_pyarrow(files):
    def write(case, codec="snappy", data=None, rows=range(ROWS), **options):
        data = table() if data is None else data
        name = f"pyarrow-{case}.parquet"
        pyarrow.parquet.write_table(data, OUT / name, compression=codec, **options)
        files.add("pyarrow", case, name, rows, codec, data.schema.names)

    for codec in "none", "snappy", "gzip", "zstd", "lz4", "brotli":
        write(codec, codec)
    write("no-dictionary", use_dictionary=False)
    write("v2-pages", data_page_version="2.0", codec="zstd")
    write("v2-pages-no-dictionary", data_page_version="2.0", use_dictionary=False)
    write("format-1.0", version="1.0", data=table().select([n for n in SCHEMA.names if n not in ("local", "half")]))
    delta = {"prompt": "DELTA_BYTE_ARRAY", "tiny": "DELTA_BINARY_PACKED", "large": "DELTA_BINARY_PACKED", "raw": "DELTA_LENGTH_BYTE_ARRAY",
             "at": "DELTA_BINARY_PACKED", "tags.list.element": "DELTA_LENGTH_BYTE_ARRAY", "chosen.list.element.content": "DELTA_BYTE_ARRAY",
             "margin": "BYTE_STREAM_SPLIT", "single": "BYTE_STREAM_SPLIT", "flag": "RLE"}
    write("delta", use_dictionary=False, column_encoding=delta, data_page_version="2.0")
    write("plain", use_dictionary=False, column_encoding={name: "PLAIN" for name in ("prompt", "large", "margin")})
    write("row-groups", row_group_size=5)
    write("small-pages", row_group_size=7, data_page_size=1, write_batch_size=2)
    write("no-rows", data=table().slice(0, 0), rows=[])
    write("page-index", write_page_index=True, write_page_checksum=True)
    write("compliant-off", use_compliant_nested_type=False)
    large = pyarrow.schema([("prompt", pyarrow.large_string()), ("chosen", pyarrow.large_list(STRUCT))] + list(SCHEMA)[2:])
    write("large-types", data=table().cast(large))
    views = pyarrow.schema([("prompt", pyarrow.string_view())] + list(SCHEMA)[1:])
    write("string-view", data=table().cast(views))
    dictionary = table().set_column(0, "prompt", table()["prompt"].dictionary_encode())
    write("dictionary-type", data=dictionary)
    required = pyarrow.schema([pyarrow.field(f.name, f.type, nullable=f.name not in ("prompt", "chosen", "rejected")) for f in SCHEMA])
    write("required", data=table().cast(required))
    write("int96", data=table().select([n for n in SCHEMA.names if n != "at"]), use_deprecated_int96_timestamps=True)

    name = "pyarrow-empty-row-group.parquet"
    with pyarrow.parquet.ParquetWriter(OUT / name, SCHEMA) as w:
        for part in table().slice(0, 5), table().slice(0, 0), table().slice(5):
            w.write_table(part)
    files.add("pyarrow", "empty-row-group", name, range(ROWS), "snappy")

    folder = table().append_column("a", pyarrow.array([1 + (i >= 5) for i in range(ROWS)]))
    pyarrow.parquet.write_to_dataset(folder, OUT / "pyarrow-partitioned", partition_cols=["a"], basename_template="part-{i}.parquet")
    (OUT / "pyarrow-partitioned" / "_SUCCESS").touch()
    files.add("pyarrow", "partitioned", "pyarrow-partitioned", range(ROWS), "snappy")


def write_duckdb(files):
    data = table()
    names = [n for n in SCHEMA.names if n not in ("half", "local")]  # it has no float16, and its timestamps have microseconds
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.register("data", data.select(names))

    def write(case, codec="snappy", options="", rows=range(ROWS), where=""):
        name = f"duckdb-{case}.parquet"
        db.execute(f"COPY (SELECT * FROM data {where}) TO '{OUT / name}' (FORMAT parquet, COMPRESSION {codec} {options})")
        files.add("duckdb", case, name, rows, codec, names)

    for codec in "uncompressed", "snappy", "gzip", "zstd", "lz4_raw", "brotli":
        write(codec, codec)
    write("v2", options=", PARQUET_VERSION v2")
    write("v2-zstd", "zstd", options=", PARQUET_VERSION v2")
    write("no-dictionary", options=", DICTIONARY_SIZE_LIMIT 1")
    write("no-rows", where="LIMIT 0", rows=[])
    db.execute(f"COPY (SELECT *, 1 + (tiny > -95)::INT AS a FROM data WHERE tiny IS NOT NULL) TO '{OUT / 'duckdb-partitioned'}' (FORMAT parquet, PARTITION_BY (a))")
    files.add("duckdb", "partitioned", "duckdb-partitioned", [i for i in range(ROWS) if i % 3 != 2], "snappy", names)


def write_polars(files):
    data = polars.from_arrow(table())

    def write(case, codec="zstd", frame=None, rows=range(ROWS), **options):
        frame = data if frame is None else frame
        name = f"polars-{case}.parquet"
        frame.write_parquet(OUT / name, compression=codec, **options)
        files.add("polars", case, name, rows, codec, frame.columns)

    for codec in "uncompressed", "snappy", "gzip", "zstd", "lz4", "brotli":
        write(codec, codec)
    write("row-groups", row_group_size=5)
    write("small-pages", data_page_size=1)
    write("no-rows", frame=data.head(0), rows=[])
    write("categorical", frame=data.with_columns(polars.col("prompt").cast(polars.Categorical)))
    write("no-statistics", statistics=False)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    files = Files()
    write_pyarrow(files)
    write_duckdb(files)
    write_polars(files)
    rows = [{k: plain(v) for k, v in row(i).items()} for i in range(ROWS)]
    lines = [json.dumps(entry) for entry in files.expected]
    (OUT / "expected.json").write_text('{"rows": [\n' + ",\n".join(json.dumps(r) for r in rows) + '\n], "files": [\n' + ",\n".join(lines) + "\n]}\n")
    size = sum(p.stat().st_size for p in OUT.rglob("*") if p.is_file())
    print(f"{len(files.expected)} files, {size} bytes")


if __name__ == "__main__":
    main()

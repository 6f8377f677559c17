"""As much of JSON Schema as docs/cli.schema.json needs, and stricter: members that it does not name are refused."""
import json
from pathlib import Path

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs" / "cli.schema.json").read_text())
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


class Mismatch(AssertionError):
    pass


def events():
    return SCHEMA["$defs"]["event"]["properties"]["event"]["enum"]


def check(record):
    """One object of standard output; Mismatch says where it is another than the schema says."""
    kinds = [ref["$ref"].rsplit("/", 1)[1] for ref in SCHEMA["oneOf"]]
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind not in kinds:
        raise Mismatch(f"kind {kind!r} is none of {kinds}")
    _check(record, SCHEMA["$defs"][kind], kind)


def check_lines(text):
    """JSON lines of an operation: events, and one result, which is last. Returns (events, result)."""
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        check(record)
    if [r["kind"] for r in records] != ["event"] * (len(records) - 1) + ["result"]:
        raise Mismatch(f"not events and a result: {[r['kind'] for r in records]}")
    return records[:-1], records[-1]


def _check(value, schema, where):
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "const" in schema and value != schema["const"]:
        raise Mismatch(f"{where}: {value!r} is not {schema['const']!r}")
    wanted = TYPES.get(schema.get("type"), object)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise Mismatch(f"{where}: {value!r} is no {schema['type']}")
    if "enum" in schema and value not in schema["enum"]:
        raise Mismatch(f"{where}: {value!r} is none of {schema['enum']}")
    if wanted is list:
        for i, item in enumerate(value):
            _check(item, schema["items"], f"{where}[{i}]")
    if wanted is dict:
        _check_members(value, schema, where)


def _check_members(value, schema, where):
    required = list(schema["required"])
    for rule in schema.get("allOf", []):
        if all(value.get(k) == v["const"] for k, v in rule["if"]["properties"].items()):
            required += rule["then"]["required"]
    missing = [k for k in required if k not in value]
    unknown = [k for k in value if k not in schema["properties"]]
    if missing or unknown:
        raise Mismatch(f"{where}: lacks {missing}, has {unknown} which the schema does not name")
    for key, member in value.items():
        _check(member, schema["properties"][key], f"{where}.{key}")

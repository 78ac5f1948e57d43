"""Files that are cut, shuffled or random: never a traceback, and every row accounts for itself."""

import gzip
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palate.audit import rows as audit_rows
from palate.collect import pairs, tables, thumbs
from palate.collect.columns import Columns
from palate.collect.labels import labels_of
from palate.core.errors import PalateError


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([{"prompt": "q", "chosen": "x", "rejected": "y"}] * 4), file
    )
    return file.getvalue()


N = range(4)
CHAT = [[turn("user", f"q{i}"), turn("assistant", t)] for i in N for t in ("x", "y")]
LABEL_STUDIO = [
    {"id": i, "data": {"prompt": f"q{i}", "a": "x", "b": "y"},
     "annotations": [{"completed_by": 1, "result": [
         {"type": "pairwise", "to_name": "a,b", "value": {"selected": "left"}}]}]}
    for i in N
]  # fmt: skip
RECORDS = [
    {"fields": {"prompt": f"q{i}", "a": "x", "b": "y"},
     "responses": {"choice": [{"value": "a", "user_id": "u"}]}}
    for i in N
]  # fmt: skip
CSV = "prompt,a,b,winner\n" + "".join(f'q{i},"x,\n{i}",y,{"ab"[i % 2]}\n' for i in N)
FILES: dict[str, bytes] = {
    "pairs.csv": CSV.encode(),
    "semi.csv": CSV.replace(",", ";").encode(),
    "wide.csv": CSV.encode("utf-16"),
    "gbk.csv": "prompt,a,b,winner\n问题,好,坏,a\n".encode("gb18030"),
    "pairs.csv.gz": gzip.compress(CSV.encode()),
    "chosen.jsonl": lines(*({"prompt": f"q{i}", "chosen": "x", "rejected": "y"} for i in N)),
    "chat.jsonl": lines(*({"chosen": CHAT[2 * i], "rejected": CHAT[2 * i + 1]} for i in N)),
    "hh.jsonl": lines(*({"chosen": f"\n\nHuman: q{i}\n\nAssistant: x",
                         "rejected": f"\n\nHuman: q{i}\n\nAssistant: y"} for i in N)),
    "kto.jsonl": lines(*({"prompt": f"q{i}", "completion": "x", "label": i > 1} for i in N)),
    "rated.jsonl": lines(
        *({"prompt": f"q{i // 2}", "response": f"{i}", "helpfulness": i} for i in N)
    ),
    "ultra.json": json.dumps([{"instruction": "q", "completions": [
        {"response": f"{i}", "overall_score": i} for i in N]}]).encode(),
    "studio.json": json.dumps(LABEL_STUDIO).encode(),
    "argilla.json": json.dumps(RECORDS).encode(),
    "pairs.parquet": parquet(),
}  # fmt: skip


def read_as_a_user(path: Path) -> int:
    """Read the file as import and audit do; return how many judgements it has."""
    try:
        table = tables.read(str(path))
    except PalateError:
        return 0
    found = 0
    for columns in (Columns(), Columns("prompt", "a", "b", "winner")):
        try:
            if single := thumbs.read(table, columns):
                new = thumbs.imported(single, skip=True)
                read, kept = len(single.rows) + len(single.bad), len(new.unpaired)
            else:
                data = pairs.read(table, columns)
                new = labels_of(data, skip=True)
                read = len(data.rows) + len(data.bad) + sum(data.set_aside.values())
                kept = len(new.events)
            assert read == kept + new.left_out.total() + new.refused.total()
            found += kept
        except PalateError:
            pass
    try:
        audit = audit_rows.read(str(path), Columns())
        assert audit.total == len(audit.rows) + sum(map(len, audit.problems.values()))
    except PalateError:
        pass
    return found


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    assert (read_as_a_user(tmp_path / name) > 0) is (name != "gbk.csv")


def spoilt(content: bytes, seed: int) -> bytes:
    """Return the content cut, with lines or bytes exchanged, or with a part twice."""
    chance = random.Random(seed)
    at = chance.randrange(len(content) + 1)
    match seed % 6:
        case 0:
            return content[:at]
        case 1:
            return content[at:]
        case 2:
            parts = content.split(b"\n")
            chance.shuffle(parts)
            return b"\n".join(parts)
        case 3:
            spot = bytes([chance.randrange(256)])
            return content[:at] + spot + content[at + 1 :]
        case 4:
            return content[:at] + content[at // 2 :]
        case _:
            value = chance.choice([b"null", b"[]", b"{}", b'"\\ud83d"', b"1e999", b"NaN", b"\0"])
            return content.replace(chance.choice([b'"x"', b"x", b"y", b"q1", b"a"]), value)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 10**6))
@settings(max_examples=700, suppress_health_check=list(HealthCheck))
def test_spoilt_files_never_end_in_a_traceback(tmp_path_factory, name, seed):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(spoilt(FILES[name], seed))
    read_as_a_user(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["user", "assistant", "a", "b", "tie", "\n\nHuman: x\n\nAssistant: y", "[{"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "type", "text"]), inner,
                      max_size=3),
    max_leaves=6,
)  # fmt: skip
KEYS = st.sampled_from(
    ["prompt", "instruction", "input", "system", "history", "images", "tools", "chosen", "rejected",
     "a", "b", "winner", "completion", "label", "messages", "completions", "response", "score",
     "output", "data", "annotations", "fields", "responses", "split", "annotator",
     "preferred_output", "non_preferred_output", "conversations", "x.responses"]
)  # fmt: skip


@given(st.lists(st.dictionaries(KEYS, values, max_size=6), min_size=1, max_size=4))
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_random_rows_never_end_in_a_traceback(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "random.json"
    path.write_text(json.dumps(rows))
    read_as_a_user(path)

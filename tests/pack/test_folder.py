"""The folder that llama.cpp's converter gets: it would run code, so there is none."""

import json
from types import SimpleNamespace

import pytest

from palate.pack.folder import plain

CODE = {"auto_map": {"AutoConfig": "somebody/else--code.Config"}, "kept": 1}


@pytest.mark.parametrize("name", ["config.json", "Config.json", "TOKENIZER_config.json"])
def test_no_file_names_code_whatever_its_case(tmp_path, name):
    source = tmp_path / "source"
    source.mkdir()
    (source / name).write_text(json.dumps(CODE))
    (source / "code.py").write_text("raise SystemExit")
    (source / "pytorch_model.bin").write_bytes(b"x")
    made = tmp_path / "made"
    plain(SimpleNamespace(base=None, folder=source, repo="me/m"), SimpleNamespace(), made)
    assert [file.name for file in made.iterdir()] == [name]
    assert json.loads((made / name).read_text()) == {"kept": 1}

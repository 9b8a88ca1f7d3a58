"""A process that knows nothing of this one: it is told a folder, loads it as any user would, and sends logits back.

``python -m harness.handover.fresh`` reads one JSON request a line and answers each with a line; tensors travel in a
safetensors file. One such process serves all requests, since its imports take longer than a small model.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness.errors import ModelError
from harness.handover.probes import logits_of


def fresh_logits(
    folder: Path, probes: Sequence[Sequence[int]], *, device: str = "auto", remote_code: bool = False
) -> list[torch.Tensor]:
    """Logits of a checkpoint, loaded in float32 by a process of its own, as ``logits_of`` gives them.

    Raises:
        ModelError: it cannot be loaded there.

    """
    from safetensors.torch import load_file

    process = _process()
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "logits.safetensors"
        asked = {"folder": str(folder), "probes": [list(ids) for ids in probes], "answer": str(answer)}
        request = json.dumps(asked | {"device": device, "remote_code": remote_code})
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request + "\n")
        process.stdin.flush()
        said = process.stdout.readline().strip()
        if said != "ok":
            raise ModelError(f"{folder}: a fresh process cannot load it ({said or 'it ended'}); save it again.")
        tensors = load_file(answer)
        return [tensors[str(number)].clone() for number in range(len(probes))]


@functools.cache
def _process() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness.handover.fresh"]
    process = subprocess.Popen(  # noqa: S603 - this interpreter, this module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()  # closes its pipes and takes leave of it


def serve() -> None:
    """Answer requests until there are no more."""
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints is no answer
        for line in sys.stdin:
            try:
                said = _answer(json.loads(line))
            except Exception as error:  # whatever loading raises: it is told, and the next request is waited for
                said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            answers.write(said + "\n")
            answers.flush()


def _answer(asked: dict[str, Any]) -> str:
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(
        asked["folder"], dtype=torch.float32, use_safetensors=True, trust_remote_code=asked["remote_code"]
    ).eval()
    wanted = asked["device"] if asked["device"] != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    found = logits_of(module.to(wanted), asked["probes"])
    save_file({str(number): each.contiguous() for number, each in enumerate(found)}, asked["answer"])
    return "ok"


if __name__ == "__main__":
    serve()

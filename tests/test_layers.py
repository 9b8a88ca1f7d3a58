"""The layers of the package: what each module may import, read from its source, and what collection really loads."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = {
    "harness.errors": 0,
    "harness.records": 0,
    "harness.scores": 0,
    "harness.findings": 0,
    "harness.references": 1,
    "harness.provenance": 1,
    "harness.samples": 1,
    "harness.requests": 1,
    "harness.rows": 1,
    "harness.prose": 1,
    "harness.once": 1,
    "harness.store": 1,
    "harness.wheels": 1,
    "harness.benchmarks": 1,
    "harness.journal": 1,
    "harness.dataset": 1,
    "harness.statistics": 1,
    "harness.chat": 2,
    "harness.engine": 2,
    "harness.models": 2,
    "harness.metrics": 3,
    "harness.lm_eval_tasks": 3,
    "harness.training": 3,
    "harness.selection": 3,
    "harness.inspection": 3,
    "harness.loop": 3,
    "harness.handover": 3,
    "harness.ratings": 3,
    "harness.gate": 4,
    "harness.calibration": 4,
    "harness.baselines": 4,
    "harness.report": 5,
    "harness.plugin": 6,
    "harness.zoo": 6,
    "harness.commands": 6,
    "harness.__main__": 6,
}
"""A package's layer is also that of the modules in it."""

DEMO = {"harness.demo": 1, "harness.demo.__main__": 6}
"""The demo's names are read from below and its command prints; the modules between them train, as layer 3 does."""

MAY_IMPORT = {0: {0}, 1: {0, 1}, 2: {0, 1, 2}, 3: {0, 1, 2, 3}, 4: {0, 1, 4}, 5: {0, 4, 5}, 6: {0, 1, 2, 3, 4, 5, 6}}

OUTSIDE = {
    "pytest": {6},
    "_pytest": set(),
    "rich": {5, 6},
    "torch": {2, 3, 6},
    "transformers": {2, 3, 6},
    "peft": {2, 3, 6},
    "datasets": {1, 2, 3, 6},
    "trl": {3, 6},
    "evaluate": {3, 6},
    "lm_eval": {3},
    "sacrebleu": {3, 6},
    "rouge_score": {3, 6},
    "xdist": {6},
}
"""Third-party package -> the layers that may import it, at the top or inside a function."""

HEAVY = ("torch", "transformers", "datasets", "evaluate")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "harness").rglob("*.py"))}


def layer_of(module: str) -> int | None:
    """The facade ``harness`` has none: it stands on top."""
    if module.startswith("harness.demo"):
        return DEMO.get(module, 3)
    return next((layer for home, layer in LAYERS.items() if module == home or module.startswith(f"{home}.")), None)


def imports_of(source: str, modules: dict[str, Path]) -> list[tuple[int, str]]:
    """(Line, module) of every import in a source text, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write the import with its full name"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(node.lineno, name if name in modules else str(node.module)) for name in inner]
    return sorted(set(found))


def violations(module: str, source: str, modules: dict[str, Path]) -> list[str]:
    layer = layer_of(module)
    wrong = []
    for line, imported in imports_of(source, modules):
        home = imported.partition(".")[0]
        if home == "harness":
            allowed = layer is None or layer_of(imported) in MAY_IMPORT[layer]
        else:
            allowed = layer is None or layer in OUTSIDE.get(home, {layer})
        if not allowed:
            wrong.append(f"{module}:{line}: layer {layer} may not import {imported} (layer {layer_of(imported)})")
    return wrong


@pytest.mark.parametrize("module", [name for name in MODULES if name != "harness"])
def test_every_module_has_a_layer_and_imports_from_below(module):
    assert layer_of(module) is not None, f"{module} is in no layer: put it into the table above"
    assert violations(module, MODULES[module].read_text(encoding="utf-8"), MODULES) == []


def test_the_facade_only_passes_names_on():
    tree = ast.parse(MODULES["harness"].read_text(encoding="utf-8"))
    assert {type(node) for node in tree.body} <= {ast.Expr, ast.ImportFrom, ast.Import, ast.Assign}
    assert all(imported.startswith("harness.") for _, imported in imports_of(ast.unparse(tree), MODULES))


@pytest.mark.parametrize(
    ("module", "source", "where"),
    [
        ("harness.gate.late", "def judge():\n    import torch", "harness.gate.late:2"),
        ("harness.gate.late", "import pytest", "harness.gate.late:1"),
        ("harness.samples", "from harness.chat import atoms", "harness.samples:1"),
        ("harness.samples", "from harness import METRICS", "harness.samples:1"),
        ("harness.report.late", "if True:\n    from harness.statistics import mean_stderr", "harness.report.late:2"),
        ("harness.references", "from harness.demo.train import train", "harness.references:1"),
        ("harness.metrics.late", "from harness import plugin", "harness.metrics.late:1"),
    ],
)
def test_a_violation_would_be_found(module, source, where):
    assert [found.split(": ")[0] for found in violations(module, source, MODULES)] == [where]


@pytest.mark.parametrize("suite", sorted((ROOT / "suites").glob("*.py")), ids=lambda path: path.stem)
def test_a_suite_imports_pytest_and_public_modules_only(suite):
    imported = {name for _, name in imports_of(suite.read_text(encoding="utf-8"), MODULES)}
    foreign = {
        name for name in imported if name.partition(".")[0] not in {"pytest", "harness", *sys.stdlib_module_names}
    }
    private = {name for name in imported if "._" in name or name.startswith("harness.plugin")}
    assert foreign == private == set()


def test_collecting_the_suites_loads_nothing_heavy(tmp_path):
    (tmp_path / "loaded_at_the_end.py").write_text(
        f"import sys\ndef pytest_sessionfinish():\n    print('loaded:', [m for m in {HEAVY} if m in sys.modules])\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "suites/", "--collect-only", "-q", "-p", "loaded_at_the_end"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loaded: []" in done.stdout


def test_the_light_layers_load_without_torch_and_scipy():
    light = ["harness", *(name for name in MODULES if layer_of(name) in {0, 1, 4}), "harness.metrics"]
    heavy = (*HEAVY, "sacrebleu", "scipy", "pytest")
    script = f"import sys, {', '.join(light)}\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr

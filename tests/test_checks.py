"""The tables of checks and the suites say the same: a case for every check, under its name, calling that check."""

import ast
from pathlib import Path

import pytest

import harness.dataset.checks
import harness.handover.checks
import harness.inspection.checks
import harness.loop.checks

SUITES = Path(__file__).parent.parent / "suites"
MODULES = (harness.inspection.checks, harness.loop.checks, harness.handover.checks, harness.dataset.checks)
TABLES = {
    f"{module.__name__}.{name}": table
    for module in MODULES
    for name, table in vars(module).items()
    if name.isupper() and isinstance(table, dict)
}
ALL = {name: check for table in TABLES.values() for name, check in table.items()}


def calls_of_cases(suite):
    """Case name -> the ``module.function`` names that its body calls."""
    tree = ast.parse((SUITES / f"test_{suite}.py").read_text(encoding="utf-8"))
    return {
        node.name.removeprefix("test_"): {
            f"{call.func.value.id}.{call.func.attr}"
            for call in ast.walk(node)
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
        }
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("name", ALL)
def test_every_check_is_made_by_the_case_of_its_name(name):
    suite, case = name.split("/")
    cases = calls_of_cases(suite)
    assert case in cases, f"suites/test_{suite}.py has no test_{case}"
    check = ALL[name]
    assert f"{check.__module__.rpartition('.')[2]}.{check.__name__}" in cases[case]


def test_no_name_stands_in_two_tables():
    assert sum(map(len, TABLES.values())) == len(ALL)


def test_the_check_of_two_models_is_made_by_the_case_of_its_name():
    called = calls_of_cases("handover")["the_adapter_leaves_its_base_untouched"]
    assert "untouched.the_adapter_leaves_its_base_untouched" in called

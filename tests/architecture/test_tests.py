"""No test passes because nothing was checked: the checks of a test are not all in loops over what may be empty."""

import ast
from pathlib import Path

import rasteret_sql

TESTS = Path(__file__).parents[1]
WRAPS = {"enumerate", "list", "reversed", "set", "sorted", "tuple", "zip"}
"""Calls that give as many values as they are given."""


def is_check(node, helpers):
    """An assert, `pytest.raises`, a call of a helper or such as `assert_same` or `np.testing.assert_allclose`."""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func).rpartition(".")[2]
    return name.startswith(("assert_", "check", "compare")) or name in {"raises", "warns", "fail"} | helpers


def helpers_that_check(tree):
    """Functions of a file that check what they are given, or call one that does."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
    found: set[str] = set()
    while more := {f.name for f in functions if f.name not in found and any(is_check(n, found) for n in ast.walk(f))}:
        found |= more
    return found


def has_values(node, names):
    """Whether one sees in the source that there is something to go through."""
    match node:
        case ast.Constant(value=str() | bytes() as text):
            return bool(text)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return any(not isinstance(one, ast.Starred) or has_values(one.value, names) for one in parts)
        case ast.Dict(keys=keys, values=values):
            return any(key is not None or has_values(one, names) for key, one in zip(keys, values, strict=True))
        case ast.BinOp(left=left, op=ast.Add() | ast.BitOr(), right=right):
            return has_values(left, names) or has_values(right, names)
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=int() as times)):
            return times > 0 and has_values(left, names)
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id="range"), args=[*given]) if all(isinstance(one, ast.Constant) for one in given):
            return bool(range(*(one.value for one in given)))
        case ast.Call(func=ast.Name(id=name), args=[first, *more]) if name in WRAPS:
            return has_values(first, names) or (name == "zip" and any(has_values(one, names) for one in more))
        case ast.Call(func=ast.Attribute(value=value, attr="items" | "values" | "keys")):
            return has_values(value, names)
        case ast.ListComp(generators=parts) | ast.SetComp(generators=parts) | ast.DictComp(generators=parts):
            return all(not one.ifs and has_values(one.iter, names) for one in parts)
    return False


def named(body, names):
    """`names`, and those that statements give to what has values."""
    names = set(names)
    for node in body:
        match node:
            case ast.With(body=inside):
                names = named(inside, names)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                (names.add if has_values(value, names) else names.discard)(name)
    return names


def checks(node, names, helpers, within=()):
    """Each check below a node, as the loops around it that may have nothing to go through."""
    if is_check(node, helpers):
        yield within
    if isinstance(node, ast.For | ast.AsyncFor):
        inside = within if has_values(node.iter, names) else (*within, node.lineno)
        for part in node.body:
            yield from checks(part, names, helpers, inside)
        yield from checks(node.iter, names, helpers, within)
    else:
        for part in ast.iter_child_nodes(node):
            yield from checks(part, names, helpers, within)


def unchecked(source):
    """The tests of a file that check nothing where their loops are empty, each with the lines of these loops."""
    tree = ast.parse(source)
    known, helpers = named(tree.body, ()), helpers_that_check(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            names = named(node.body, known)
            found = [loops for part in node.body for loops in checks(part, names, helpers)]
            if found and all(found):
                yield node.name, sorted({line for loops in found for line in loops})


def test_a_loop_over_nothing_is_found():
    """What the rule itself makes of a few tests."""
    loop = "    for one in {}:\n        assert one\n"
    for values, found in {
        "made()": True,
        "[]": True,
        "range(0)": True,
        "range(2)": False,
        "(1, 2)": False,
        "KNOWN.items()": False,
        "enumerate(KNOWN)": False,
        "zip(KNOWN, made(), strict=True)": False,
        "[a for a in KNOWN if a]": True,
    }.items():
        source = f"KNOWN = {{1: 2}}\ndef test_it():\n{loop.format(values)}"
        assert [name for name, _ in unchecked(source)] == ["test_it"] * found, values
        assert list(unchecked(f"{source}    assert True\n")) == [], values
        assert list(unchecked(source.replace("test_it", "helper"))) == [], values


def test_no_test_checks_only_in_loops_that_may_be_empty():
    files = sorted(TESTS.rglob("test_*.py"))
    assert Path(__file__) in files
    wrong = [
        f"{path.relative_to(TESTS)}: {name}, the loops of lines {lines}"
        for path in files
        for name, lines in unchecked(path.read_text("utf-8"))
    ]
    assert wrong == []


KINDS = {
    "architecture": "of the source itself",
    "benchmarks": "of time and memory beside other readers",
    "cloud": "of processes in an internet of tests",
    "contract": "of what an answer is and costs, through the front doors",
    "faults": "of servers that fail",
    "interchange": "of files of and for rasteret",
    "oracle": "of numbers beside those of independent readers",
    "promises": "of docs/promises.md",
    "secrets": "of what a run of tests writes",
    "servers": "no tests: servers for tests",
    "sql": "no Python: the SQL surface in files",
    "training": "of datasets of PyTorch and TorchGeo, where these are",
}
"""Folders of tests that are not of one room."""


def test_each_folder_of_tests_is_named_after_its_room():
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/*.py")} | {"sql"}
    rooms = {path.name for path in Path(rasteret_sql.__file__).parent.iterdir() if path.is_dir()}
    assert folders - rooms == set(KINDS)

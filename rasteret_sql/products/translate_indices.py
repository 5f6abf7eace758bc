"""Makes the catalogue of spectral indices of the data of the package spyndex.

    python -m rasteret_sql.products.translate_indices FOLDER

FOLDER is that of spyndex's data, such as `spyndex/data` in its wheel. The formulas are Python's; here each becomes a
tree of operators, bands and numbers. So they are never read by the rules of SQL, in which `g` and `G` are one name.
Constants have the values that spyndex gives them by default. Bands of kernels are written out, by the radial basis
function with spyndex's default length.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parent / "data" / "indices.json"
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "pow",
}
Tree = list[Any] | str | float | int
"""[operator, part, part], name of a band or of a constant without a value, or number."""


def translate(folder: Path) -> list[dict[str, Any]]:
    """The catalogue, an entry an index, ordered by name.

    Args:
        folder: of spyndex's data.
    """
    indices = json.loads((folder / "spectral-indices-dict.json").read_text())["SpectralIndices"]
    constants = json.loads((folder / "constants.json").read_text())
    values = {name: one["default"] for name, one in constants.items() if one["default"] is not None}
    entries = []
    for name, one in sorted(indices.items()):
        tree = _tree(ast.parse(one["formula"].strip(), mode="eval").body, values)
        entries.append(
            {
                "name": name,
                "long_name": one["long_name"],
                "domain": one["application_domain"],
                "formula": " ".join(one["formula"].split()),
                "bands": sorted(_names(tree)),
                "reference": one["reference"],
                "tree": tree,
            }
        )
    return entries


def _tree(part: ast.expr, values: dict[str, float]) -> Tree:
    match part:
        case ast.BinOp(left, op, right):
            return [_OPERATORS[type(op)], _tree(left, values), _tree(right, values)]
        case ast.UnaryOp(ast.USub(), inner):
            return ["negative", _tree(inner, values)]
        case ast.Constant(int() | float() as number):
            return number
        case ast.Name(name):
            if name.startswith("k") and len(name) == 3:
                return _kernel(name[1], name[2], values)
            return values.get(name, name)
    raise ValueError(f"{ast.unparse(part)} has no translation")


def _kernel(left: str, right: str, values: dict[str, float]) -> Tree:
    """Radial basis function of two bands, exp(-(a - b)² / (2 σ²)); L is the constant of that name."""
    if left == right:
        return 1.0
    ends = [values.get(end, end) if end == "L" else end for end in (left, right)]
    return ["exp", ["/", ["negative", ["pow", ["-", *ends], 2]], 2.0 * values["sigma"] ** 2]]


def _names(tree: Tree) -> set[str]:
    if isinstance(tree, list):
        return {name for part in tree[1:] for name in _names(part)}
    return {tree} if isinstance(tree, str) else set()


def main() -> None:
    """Write the catalogue."""
    entries = translate(Path(sys.argv[1]))
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    CATALOGUE.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()

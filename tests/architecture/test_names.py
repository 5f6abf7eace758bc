"""Files and docstrings say what is in them: the first line of a module has a verb, none begins with a question."""

import ast
import re
from pathlib import Path

import rasteret_sql

ROOT = Path(rasteret_sql.__file__).parent
QUESTION = re.compile(r"(What|Which|Where|How|Whether|Who|Why|When|The way)\b")
NAMED = re.compile(r"`[^`]+`(,? and `[^`]+`|, [^:]*)*: ")
"""A class or command and a colon, before the verb: "`Box`: draws ..."."""
VERBS = set(
    re.findall(
        r"\w+",
        "adds answers appends applies asks bounds brings builds changes checks chooses classifies colours completes "
        "computes connects converts copies corrects counts cuts decides declares decodes defines describes divides "
        "draws encodes evaluates explains fetches fills finds follows gathers gets gives goes grows hands holds "
        "imports joins keeps knows limits lists loads locks looks makes maps masks mends merges moves name names "
        "opens packs parses passes places plans prints probes puts quotes reads registers remembers removes repeats "
        "replaces resolves restricts route routes rules runs says searches serves sets shows sorts spells stops "
        "streams takes tells tests transforms unpacks upgrades waits walks warns warps works writes",
    )
)
"""A verb of a new module's first line is added here."""


def first_lines():
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT), (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]


def verb_of(line):
    """Its first word after a name; empty before `of`, since "Limits of requests" has no verb."""
    word, _, rest = NAMED.sub("", line, count=1).partition(" ")
    return "" if rest.startswith("of ") else word.strip(",:.").lower()


def test_every_module_says_with_a_verb_what_it_does():
    lines = list(first_lines())
    assert len(lines) > 300
    assert [f"{path}: {line!r} does not begin with a verb" for path, line in lines if verb_of(line) not in VERBS] == []


def test_a_name_may_stand_before_the_verb():
    assert verb_of("`Box`: draws the rows.") == verb_of("Draws, cuts.") == verb_of("`A` and `B`: draws.") == "draws"
    assert verb_of("Limits of requests.") == ""
    assert verb_of("`Box`, the rows of a result.") not in VERBS
    assert verb_of("The rows of a result.") not in VERBS


def test_no_docstring_begins_with_a_question():
    asked = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                said = ast.get_docstring(node) or ""
                if QUESTION.match(said):
                    asked.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', '')}: {said.splitlines()[0]}")
    assert asked == []

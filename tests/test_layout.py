"""What may import what: the data's way, from the command line down to the SQL."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = ("cli", "orchestration", "assets", "resources", "library", "sql")
"""Each imports from itself and from those behind it."""
PACKAGES = ("selection_platform", "orchestration", "assets", "resources", "sql")
FRONT_DOOR = ("selection_platform.cli", "selection_platform.definitions")


def modules() -> dict[str, Path]:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def layer(module: str) -> str:
    if module.startswith(FRONT_DOOR):
        return "cli"
    package = module.partition(".")[0]
    return "library" if package == "selection_platform" else package


@cache
def parsed(file: Path) -> ast.Module:
    """A file's syntax tree, which nobody may change."""
    return ast.parse(file.read_text(encoding="utf-8"))


class WithoutTypes(ast.NodeTransformer):
    """Leaves out what is imported for annotations alone."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node


def imported(tree: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    """Modules of ours that a file imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            yield from modules or {node.module} & known.keys()


def arrows(*, for_types: bool) -> dict[str, set[str]]:
    known = modules()
    trees = {name: parsed(file) for name, file in known.items()}
    if not for_types:
        trees |= {
            name: WithoutTypes().visit(ast.parse(text))
            for name, file in known.items()
            if "TYPE_CHECKING" in (text := file.read_text(encoding="utf-8"))
        }
    return {name: set(imported(tree, known)) - {name} for name, tree in trees.items()}


def test_imports_follow_the_datas_way():
    against = [
        f"{module} imports {other}"
        for module, others in arrows(for_types=True).items()
        for other in others
        if LAYERS.index(layer(other)) < LAYERS.index(layer(module))
    ]
    assert against == []


def test_no_module_imports_itself_through_others():
    left = arrows(for_types=False)
    while free := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in free}
    assert left == {}


def test_a_circle_and_a_wrong_arrow_would_be_seen():
    tree = ast.parse("def f():\n    from assets.keys import Node\n    import resources.warehouse")
    assert set(imported(tree, modules())) == {"assets.keys", "resources.warehouse"}
    assert layer("assets.keys") == "assets"
    assert layer("selection_platform.pools.pool") == "library"
    assert layer("selection_platform.cli.run") == "cli"

"""Small mistakes, one at a time: a module in which a single operator or number is changed."""

import ast
import copy
from typing import NamedTuple

SWAPPED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


class Mutant(NamedTuple):
    """A changed module: where, what, and the tree of its source."""

    line: int
    change: str
    tree: ast.Module


def _swap_branches(where):
    """Swap what a call of ``where(condition, x, y)`` or ``x.where(condition, y)`` chooses from."""
    if len(where.args) == 2:
        where.func.value, where.args[1] = where.args[1], where.func.value
    else:
        where.args[1:] = where.args[:0:-1]


def _changes(node):
    """Yield functions that change a node, each in one way."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPPED:
        yield lambda n: setattr(n, "op", SWAPPED[type(n.op)]())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        yield lambda n: setattr(n, "ops", [SWAPPED[type(n.ops[0])](), *n.ops[1:]])
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert | ast.USub | ast.Not):
        yield lambda n: setattr(n, "op", ast.UAdd() if not isinstance(n.op, ast.Not) else None)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "where":
        yield _swap_branches


class _Skipping(ast.NodeTransformer):
    """Leave out what no test of values can see: docstrings, annotations, assertions.

    Among these is ``strict`` of `zip`, which asserts that lengths are equal.
    """

    def visit_ClassDef(self, node):
        """Keep the annotations of a class, which are the fields of some."""
        node.body = [self.visit(n) if isinstance(n, ast.FunctionDef) else n for n in node.body]
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        value = node.value
        return ast.Assign([node.target], value) if value is not None else None

    def visit_Assert(self, node):
        return ast.Pass()

    def visit_Call(self, node):
        self.generic_visit(node)
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        return node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        if ast.get_docstring(node):
            node.body[0] = ast.Pass()
        return node


def _functions(tree):
    """Return the functions of a module, and the methods of its classes."""
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    return [n for owner in (tree, *classes) for n in owner.body if isinstance(n, ast.FunctionDef)]


def mutants(source, only=None):
    """Yield every mutant of the functions and methods of a module, or `only` that of a number."""
    tree = ast.fix_missing_locations(_Skipping().visit(ast.parse(source)))
    mutant_number = -1
    for number, function in enumerate(_functions(tree)):
        for statement in function.body:
            for place, node in enumerate(ast.walk(statement)):
                for change in _changes(node):
                    mutant_number += 1
                    if only not in (None, mutant_number):
                        continue
                    changed = copy.deepcopy(tree)
                    own = _functions(changed)[number]
                    own_statement = own.body[function.body.index(statement)]
                    target = list(ast.walk(own_statement))[place]
                    before = ast.unparse(target)
                    change(target)
                    if isinstance(target, ast.UnaryOp) and target.op is None:  # not x -> x
                        target.op, target.operand = (
                            ast.Not(),
                            ast.UnaryOp(ast.Not(), target.operand),
                        )
                    ast.fix_missing_locations(changed)
                    yield Mutant(node.lineno, f"{before}  ->  {ast.unparse(target)}", changed)

"""Arithmetic that a tool may compute for an agent: numbers, + - * / // % **, brackets; nothing is ever executed."""

import ast
import operator
from collections.abc import Callable

Number = int | float
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_LARGEST_EXPONENT, _LARGEST_BASE, _LONGEST = 64, 10**9, 500


def evaluate(expression: str) -> Number:
    """The value of an arithmetic expression.

    Raises:
        ValueError: if it is not arithmetic, or too large (SyntaxError and ZeroDivisionError as Python raises them).
    """
    if len(expression) > _LONGEST:
        raise ValueError(f"an expression may have at most {_LONGEST} characters")
    try:
        return _value(ast.parse(expression.strip(), "<string>", "eval").body)
    except (RecursionError, MemoryError) as error:
        raise ValueError("the expression is nested too deeply") from error


def _value(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # pyright: ignore[reportReturnType]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow) and (abs(right) > _LARGEST_EXPONENT or abs(left) > _LARGEST_BASE):
            raise ValueError("numbers as large as this are not computed")
        found = _BINARY[type(node.op)](left, right)
        if isinstance(found, complex):
            raise ValueError("the result is not a real number")
        return found
    raise ValueError(f"not arithmetic: {ast.unparse(node)[:60]}")


def calculate(expression: str) -> str:
    """tau-bench's calculator: the value rounded to two digits, or "Error: …"."""
    if not all(character in "0123456789+-*/(). " for character in expression):
        return "Error: invalid characters in expression"
    try:
        return str(round(float(evaluate(expression)), 2))
    except (ValueError, ArithmeticError, SyntaxError) as error:
        return f"Error: {error}"

"""Parser of NNEF, in time linear in the number of tokens.

    document  := "version" number ";" extension* fragment* graph
    extension := "extension" ident { any character except ";" } ";"
    fragment  := "fragment" ident ["<?" ["=" type] ">"] "(" params ")" "->" "(" results ")"
                 (body | ";")
    graph     := "graph" ident "(" idents ")" "->" "(" idents ")" body
    body      := "{" assignment* "}"          assignment := lvalue "=" expr ";"

Expressions, from loosest to tightest; every binary operator is left associative:

    1  a if c else b    4  == != <= >= < >    7  ^
    2  in               5  + -                8  x[i]  x[a:b]   (one only)
    3  && ||            6  * /                9  literal, call, name, ( ), tuple, array, unary + - !

The expression reader keeps its stack in a list: nesting costs no Python frames.
Differs from tract: linear, not exponential in the nesting, as 24 levels must not take a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tract_ref.nnef import ast, lexer
from tract_ref.nnef.ast import Expr, LValue, Source, TypeName, post_order
from tract_ref.nnef.lexer import END, NAME, NAME_KINDS, NUMBER, STRING, TYPE_NAMES, Cursor

# Deepest expression tree: a recursive visitor with up to three Python frames a level still fits the
# interpreter's default stack.
MAX_DEPTH = 256

_BY_LEVEL = {2: "in", 3: "&& ||", 4: "== != <= >= < >", 5: "+ -", 6: "* /", 7: "^"}
LEVELS = {op: level for level, ops in _BY_LEVEL.items() for op in ops.split()}

_Value = tuple[Expr, int]  # an expression and the depth of its tree
_T = TypeVar("_T")


def parse_document(text: str, file: str = "graph.nnef") -> ast.Document:
    """Parse a whole document.

    Args:
        text: the document.
        file: path shown in messages.

    Errors:
        MalformedFile: not a document; has line, column and caret.
        Refused: the type `complex`.
    """
    source = Source(file, text)
    version, extensions, offset = lexer.read_head(source)
    return DocumentReader(Cursor(source, offset)).read(version, extensions)


def parse_expression(text: str, file: str = "expression") -> Expr:
    """Parse one expression that fills the whole text."""
    cursor = Cursor(Source(file, text))
    expr = ExpressionReader(cursor).read()
    cursor.expect(END, "an operator or the end")
    return expr


class _Frame:
    """An open construct: what was read inside it, not yet joined.

    Args:
        offset: of the construct.
        close: takes one item, returns the construct when it is complete, None when an item follows.
        name: of the call, or the variable of the comprehension.
        generic: type of the call.
        names: name or None, and offset, of each argument of the call.
        items: items read so far; of a subscript, its base first.
        is_range: a subscript with `:`.
        operands: left sides of `operators`.
        operators: binary operators that wait for their right side.
        prefixes: unary operators that wait for their operand.
        branches: then, condition (None while it is read) and offset of each `if`.
        is_subscripted: the current operand has its one subscript.
    """

    def __init__(
        self, offset: int, close: _Close, name: str = "", generic: TypeName | None = None
    ) -> None:
        self.offset = offset
        self.close = close
        self.name = name
        self.generic = generic
        self.names: list[tuple[str | None, int]] = []
        self.items: list[_Value] = []
        self.is_range = False
        self.operands: list[_Value] = []
        self.operators: list[tuple[str, int]] = []
        self.prefixes: list[tuple[str, int]] = []
        self.branches: list[tuple[_Value, _Value | None, int]] = []
        self.is_subscripted = False


_Close = Callable[[_Frame, _Value], _Value | None]


class ExpressionReader:
    """Reads expressions off a cursor.

    Args:
        cursor: the tokens; left after the expression.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        # Turns of the main loop, for the test that work is linear in the text.
        self.steps = 0

    def read(self) -> Expr:
        """Read the longest expression from here.

        Errors:
            MalformedFile: no expression here, or one deeper than MAX_DEPTH.
        """
        frames = [_Frame(0, lambda _frame, whole: whole)]
        value: _Value | None = None
        while True:
            self.steps += 1
            frame = frames[-1]
            if value is None:
                value = self._operand(frames)
                continue
            value = self._bind_tightly(frames, value)
            if value is None or self._goes_on(frame, value):
                value = None
                continue
            value = self._whole(frame, value)
            if len(frames) == 1:
                return value[0]
            value = frame.close(frame, value)
            if value is not None:
                frames.pop()

    def _above(self, expr: Expr, offset: int, *below: _Value) -> _Value:
        """Return a node with the depth of its tree, which is checked."""
        depth = 1 + max((depth for _, depth in below), default=0)
        if depth > MAX_DEPTH:
            seen = f"this expression is more than {MAX_DEPTH} levels deep"
            raise self.cursor.source.error(seen, offset, "give parts of it a name of their own")
        return expr, depth

    def _operand(self, frames: list[_Frame]) -> _Value | None:
        """Read an atom, or open a construct and return None."""
        cursor, frame = self.cursor, frames[-1]
        frame.is_subscripted = False
        while (kind := cursor.kind) in ("-", "+", "!"):
            offset = cursor.offset
            cursor.advance()
            if kind == "-" and cursor.kind == NUMBER and cursor.offset == offset + 1:
                return self._number(offset, "-"), 1
            frame.prefixes.append((kind, offset))
        offset = cursor.offset
        if kind == NUMBER:
            return self._number(offset, ""), 1
        if kind in NAME_KINDS:
            return self._named(frames)
        if kind in ("(", "["):
            return self._open(frames, kind)
        text = cursor.text
        if kind == STRING:
            atom: Expr = ast.String(text, span=offset)
        elif kind in ("true", "false"):
            atom = ast.Logical(kind == "true", span=offset)
        else:
            raise cursor.unexpected("an expression")
        cursor.advance()
        return atom, 1

    def _number(self, offset: int, sign: str) -> ast.Number:
        text = self.cursor.text
        self.cursor.advance()
        if not text.isdigit():
            return ast.Number(float(sign + text), span=offset)
        digits = text.lstrip("0") or "0"
        value = int(sign + digits) if len(digits) < 20 else 1 << 64
        if not -(1 << 63) <= value < 1 << 63:
            remedy = "write a float, with a `.`"
            raise self.cursor.source.error("this integer does not fit 64 bits", offset, remedy)
        return ast.Number(value, span=offset)

    def _named(self, frames: list[_Frame]) -> _Value | None:
        cursor = self.cursor
        name, offset = cursor.word("a name")
        generic = None
        if cursor.kind == "<" and cursor.ahead(2) == ">" and cursor.ahead(3) == "(":
            word = cursor.texts[cursor.at + 1]
            if word in TYPE_NAMES or word == "?":
                cursor.advance()
                generic = lexer.read_type_name(cursor)
                cursor.expect(">")
        if not cursor.accept("("):
            return ast.Identifier(name, span=offset), 1
        if cursor.accept(")"):
            return ast.Call(name, generic, (), span=offset), 1
        frame = _Frame(offset, self._close_call, name, generic)
        self._begin_argument(frame)
        frames.append(frame)
        return None

    def _open(self, frames: list[_Frame], kind: str) -> _Value | None:
        cursor = self.cursor
        offset = cursor.offset
        cursor.advance()
        if kind == "(":
            if cursor.accept(")"):
                return ast.TupleExpr((), span=offset), 1
            frames.append(_Frame(offset, self._close_group))
        elif cursor.accept("]"):
            return ast.ArrayExpr((), span=offset), 1
        elif cursor.kind == "for" and cursor.ahead() in NAME_KINDS and cursor.ahead(2) == "in":
            cursor.advance()
            variable, _ = cursor.word("a name")
            cursor.expect("in")
            frames.append(_Frame(offset, self._close_loop, variable))
        else:
            frames.append(_Frame(offset, self._close_array))
        return None

    def _bind_tightly(self, frames: list[_Frame], value: _Value) -> _Value | None:
        """Apply the unary operators, then open the subscript and return None if there is one."""
        cursor, frame = self.cursor, frames[-1]
        while frame.prefixes:
            op, offset = frame.prefixes.pop()
            value = self._above(ast.Unary(op, value[0], span=offset), offset, value)
        if not cursor.accept("["):
            return value
        offset = cursor.starts[cursor.at - 1]
        if frame.is_subscripted:
            remedy = "give the first subscript a name of its own"
            raise cursor.source.error("a second subscript; only one may follow", offset, remedy)
        frame.is_subscripted = True
        index = _Frame(offset, self._close_subscript)
        index.items.append(value)
        if cursor.accept(":"):
            index.is_range = True
            if cursor.kind == "]":
                return self._subscript(index, None, None)
        frames.append(index)
        return None

    def _close_group(self, frame: _Frame, value: _Value) -> _Value | None:
        frame.items.append(value)
        if self.cursor.accept(","):
            return None
        self.cursor.expect(")", "an operator, `,` or `)`")
        if len(frame.items) == 1:
            return value
        return self._list_above(frame, ast.TupleExpr)

    def _close_array(self, frame: _Frame, value: _Value) -> _Value | None:
        frame.items.append(value)
        if self.cursor.accept(","):
            return None
        self.cursor.expect("]", "an operator, `,` or `]`")
        return self._list_above(frame, ast.ArrayExpr)

    def _list_above(self, frame: _Frame, make: type[ast.TupleExpr | ast.ArrayExpr]) -> _Value:
        node = make(tuple(item for item, _ in frame.items), span=frame.offset)
        return self._above(node, frame.offset, *frame.items)

    def _begin_argument(self, frame: _Frame) -> None:
        cursor, offset, name = self.cursor, self.cursor.offset, None
        if cursor.kind in NAME_KINDS and cursor.ahead() == "=":
            name, _ = cursor.word("a name")
            cursor.expect("=")
        frame.names.append((name, offset))

    def _close_call(self, frame: _Frame, value: _Value) -> _Value | None:
        frame.items.append(value)
        if self.cursor.accept(","):
            self._begin_argument(frame)
            return None
        self.cursor.expect(")", "an operator, `,` or `)`")
        args = tuple(
            ast.Arg(name, item, span=offset)
            for (name, offset), (item, _) in zip(frame.names, frame.items, strict=True)
        )
        node = ast.Call(frame.name, frame.generic, args, span=frame.offset)
        return self._above(node, frame.offset, *frame.items)

    def _close_loop(self, frame: _Frame, value: _Value) -> _Value | None:
        frame.items.append(value)
        if len(frame.items) == 1:
            self.cursor.expect("yield", "an operator or `yield`")
            return None
        self.cursor.expect("]", "an operator or `]`")
        over, result = frame.items
        node = ast.Comprehension(frame.name, over[0], result[0], span=frame.offset)
        return self._above(node, frame.offset, over, result)

    def _close_subscript(self, frame: _Frame, value: _Value) -> _Value | None:
        frame.items.append(value)
        if frame.is_range:
            begin = frame.items[1] if len(frame.items) == 3 else None
            return self._subscript(frame, begin, value)
        if not self.cursor.accept(":"):
            return self._subscript(frame, value, None)
        frame.is_range = True
        return self._subscript(frame, value, None) if self.cursor.kind == "]" else None

    def _subscript(self, frame: _Frame, begin: _Value | None, end: _Value | None) -> _Value:
        self.cursor.expect("]", "an operator, `:` or `]`")
        base = frame.items[0]
        first, last = begin and begin[0], end and end[0]
        node = ast.Subscript(base[0], first, last, frame.is_range, span=frame.offset)
        return self._above(node, frame.offset, *frame.items)

    def _goes_on(self, frame: _Frame, value: _Value) -> bool:
        """Read an operator, `if` or `else` that continues the expression of this frame."""
        cursor = self.cursor
        kind, offset = cursor.kind, cursor.offset
        level = LEVELS.get(kind)
        if level is not None:
            frame.operands.append(self._join(frame, value, level))
            frame.operators.append((kind, offset))
        elif kind == "if":
            frame.branches.append((self._join(frame, value, 0), None, offset))
        elif kind == "else" and any(condition is None for _, condition, _ in frame.branches):
            value = self._join(frame, value, 0)
            value = self._fold_branches(frame, value)
            then, _, at = frame.branches.pop()
            frame.branches.append((then, value, at))
        else:
            return False
        cursor.advance()
        return True

    def _whole(self, frame: _Frame, value: _Value) -> _Value:
        value = self._fold_branches(frame, self._join(frame, value, 0))
        if frame.branches:
            raise self.cursor.unexpected("an operator or the `else` of an `if`")
        return value

    def _join(self, frame: _Frame, right: _Value, level: int) -> _Value:
        """Join what binds at least as tightly as `level`: left associative."""
        while frame.operators and LEVELS[frame.operators[-1][0]] >= level:
            op, offset = frame.operators.pop()
            left = frame.operands.pop()
            right = self._above(ast.Binary(op, left[0], right[0], span=offset), offset, left, right)
        return right

    def _fold_branches(self, frame: _Frame, otherwise: _Value) -> _Value:
        """Close the innermost `if`s whose condition is known."""
        while frame.branches:
            then, condition, offset = frame.branches[-1]
            if condition is None:
                break
            frame.branches.pop()
            node = ast.IfElse(then[0], condition[0], otherwise[0], span=offset)
            otherwise = self._above(node, offset, then, condition, otherwise)
        return otherwise


class DocumentReader:
    """Reads fragments and the graph off a cursor.

    Args:
        cursor: the tokens after the extensions.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.expressions = ExpressionReader(cursor)

    def read(self, version: str, extensions: tuple[ast.Extension, ...]) -> ast.Document:
        """Read everything to the end of the text."""
        cursor = self.cursor
        order = "the order is: version, extensions, fragments, then one graph"
        fragments: list[ast.Fragment] = []
        while cursor.kind == NAME and cursor.text == "fragment":
            fragments.append(self._fragment())
        if not (cursor.kind == NAME and cursor.text == "graph"):
            raise cursor.unexpected("`fragment` or `graph`", order)
        graph = self._graph()
        if cursor.kind != END:
            raise cursor.unexpected("nothing after the graph", order)
        return ast.Document(version, extensions, tuple(fragments), graph)

    def _list(self, close: str, item: Callable[[], _T]) -> tuple[_T, ...]:
        """Read comma-separated items and the closing token."""
        items: list[_T] = []
        if self.cursor.accept(close):
            return ()
        while True:
            items.append(item())
            if self.cursor.accept(","):
                continue
            self.cursor.expect(close, f"`,` or `{close}`")
            return tuple(items)

    def _graph(self) -> ast.Graph:
        cursor = self.cursor
        span = cursor.expect(NAME)
        name, _ = cursor.word("the name of the graph")
        cursor.expect("(")
        inputs = self._list(")", self._identifier)
        cursor.expect("->")
        cursor.expect("(")
        outputs = self._list(")", self._identifier)
        return ast.Graph(name, inputs, outputs, self._body(), span=span)

    def _identifier(self) -> ast.Identifier:
        name, offset = self.cursor.word("a name")
        return ast.Identifier(name, span=offset)

    def _fragment(self) -> ast.Fragment:
        cursor = self.cursor
        span = cursor.expect(NAME)
        name, _ = cursor.word("the name of the fragment")
        generic_default = None
        is_generic = cursor.accept("<")
        if is_generic:
            cursor.expect("?")
            if cursor.accept("="):
                generic_default = lexer.read_type_name(cursor)
            cursor.expect(">")
        cursor.expect("(")
        params = self._list(")", self._param)
        self._refuse_duplicates("parameter", params)
        cursor.expect("->")
        cursor.expect("(")
        results = self._list(")", self._result)
        self._refuse_duplicates("result", results)
        body = None if cursor.accept(";") else self._body()
        return ast.Fragment(name, params, results, body, is_generic, generic_default, span=span)

    def _refuse_duplicates(
        self, what: str, items: tuple[ast.Param, ...] | tuple[ast.Result, ...]
    ) -> None:
        seen: set[str] = set()
        for item in items:
            if item.name in seen:
                message = f"two {what}s are called `{item.name}`"
                raise self.cursor.source.error(message, item.span, "rename one of them")
            seen.add(item.name)

    def _param(self) -> ast.Param:
        cursor = self.cursor
        name, span = cursor.word("the name of a parameter")
        cursor.expect(":")
        kind = lexer.read_type(cursor)
        default = None
        if cursor.accept("="):
            offset = cursor.offset
            default = self.expressions.read()
            literal = (ast.Number, ast.String, ast.Logical, ast.ArrayExpr, ast.TupleExpr)
            if not all(isinstance(node, literal) for node in post_order(default)):
                seen = f"the default of `{name}` is computed"
                raise cursor.source.error(seen, offset, "write a literal, or an array of literals")
        return ast.Param(name, kind, default, span=span)

    def _result(self) -> ast.Result:
        name, span = self.cursor.word("the name of a result")
        self.cursor.expect(":")
        return ast.Result(name, lexer.read_type(self.cursor), span=span)

    def _body(self) -> tuple[ast.Assignment, ...]:
        cursor = self.cursor
        cursor.expect("{")
        assignments: list[ast.Assignment] = []
        while not cursor.accept("}"):
            if cursor.kind is END:
                raise cursor.unexpected("an assignment or `}`")
            assignments.append(self._assignment())
        return tuple(assignments)

    def _assignment(self) -> ast.Assignment:
        cursor = self.cursor
        span = cursor.offset
        items = [self._lvalue(0)]
        while cursor.accept(","):
            items.append(self._lvalue(0))
        left = items[0] if len(items) == 1 else ast.LTuple(tuple(items), span=span)
        cursor.expect("=", "`,` or `=`")
        right = self.expressions.read()
        cursor.expect(";", "an operator or `;`")
        return ast.Assignment(left, right, span=span)

    def _lvalue(self, depth: int) -> LValue:
        cursor = self.cursor
        cursor.check_depth("left-hand side", depth)
        offset = cursor.offset
        if cursor.accept("("):
            return ast.LTuple(self._list(")", lambda: self._lvalue(depth + 1)), span=offset)
        if cursor.accept("["):
            return ast.LArray(self._list("]", lambda: self._lvalue(depth + 1)), span=offset)
        name, offset = cursor.word("an assignment or `}`" if depth == 0 else "a name")
        return ast.Identifier(name, span=offset)

"""Lexer of NNEF: one pattern, one pass, three parallel lists; and the cursor that reads them.

    number := (digits | "inf") ["." [digits]] [("e" | "E") ["+" | "-"] digits]
    string := one kind of quote, backslash escapes, no raw quote of either kind inside
    ident  := letter or "_", then letters, digits, "_"; or i"any text"

The sign of a negative literal is a token of its own: only the parser tells operand from operator.
The version and the extensions are read here as well, because the text of an extension is free.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tract_ref.errors import MalformedFile
from tract_ref.nnef.ast import (
    ArrayType,
    Extension,
    Source,
    TensorType,
    TupleType,
    Type,
    TypeName,
)

# Annotated `str` and not literal types: the kind of the current token changes with each call.
NAME: str = "name"
NUMBER: str = "number"
STRING: str = "string"
END: str = "end of file"

# Words with a meaning in one place only; everywhere else they are names, as in tract.
CONTEXTUAL = frozenset({"if", "else", "in", "for", "yield"})
NAME_KINDS = CONTEXTUAL | {NAME}
LITERAL_WORDS = frozenset({"true", "false"})
_OWN_KIND = CONTEXTUAL | LITERAL_WORDS

TYPE_NAMES = frozenset({"integer", "scalar", "logical", "string", "complex"})
# Deepest type or left-hand side: these are read by recursion.
MAX_TYPE_DEPTH = 32

IDENT = r"[A-Za-z_][A-Za-z0-9_]*"
SKIP = r"(?:[ \t\r\n]++|[#][^\n]*+)*+"
_QUOTED = r"""(?:"(?:[^"'\\]|\\.)*+"|'(?:[^"'\\]|\\.)*+')"""
_MASTER = re.compile(
    SKIP
    + rf"""(?:
    (?P<number>(?>[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?+|inf)(?![A-Za-z0-9_.]))
  | (?P<escaped>i{_QUOTED})
  | (?P<name>{IDENT})
  | (?P<op>->|&&|\|\||==|!=|<=|>=|[-+*/^!<>=()\[\]{{}},;:?])
  | (?P<string>{_QUOTED})
  | (?P<bad_number>[0-9.][0-9A-Za-z_.]*+)
  | (?P<bad_string>["'])
  | (?P<end>\Z)
  | (?P<bad>.)
  )""",
    re.DOTALL | re.VERBOSE,
)
_OPEN_STRING = re.compile(r"""(?:[^"'\\]|\\.)*+""", re.DOTALL)
_VERSION = re.compile(rf"{SKIP}version{SKIP}([0-9]+(?:\.[0-9]+)*){SKIP};")
_EXTENSION = re.compile(rf"{SKIP}(extension){SKIP}({IDENT})([^;]*);")
_EXTENSION_WORD = re.compile(rf"{SKIP}(?=extension[^A-Za-z0-9_])")
_SKIP = re.compile(SKIP)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(slots=True)
class Tokens:
    """The tokens of a text; the last one is always END.

    Args:
        kinds: NAME, NUMBER, STRING, END, or the operator or word itself.
        texts: the text; of a string or an escaped name, what it stands for.
        starts: offset of the first character.
    """

    kinds: list[str] = field(default_factory=list[str])
    texts: list[str] = field(default_factory=list[str])
    starts: list[int] = field(default_factory=list[int])


def tokenize(source: Source, start: int = 0) -> Tokens:
    """Split the text from `start` to its end into tokens.

    Errors:
        MalformedFile: a character, number or string that is none of the language.
    """
    tokens = Tokens()
    add_kind, add_text, add_start = tokens.kinds.append, tokens.texts.append, tokens.starts.append
    for match in _MASTER.finditer(source.text, start):
        group = match.lastgroup or "bad"
        text = match[group]
        if group == "name":
            kind = text if text in _OWN_KIND else NAME
        elif group == "op":
            kind = text
        elif group == "number":
            kind = NUMBER
        elif group == "string":
            kind, text = STRING, unescape(text[1:-1])
        elif group == "escaped":
            kind, text = NAME, unescape(text[2:-1])
        elif group == "end":
            kind = END
        else:
            raise _lexical_error(source, group, match.start(group), text)
        add_kind(kind)
        add_text(text)
        add_start(match.start(group))
        if kind is END:
            break
    return tokens


def read_head(source: Source) -> tuple[str, tuple[Extension, ...], int]:
    """Read the version and the extensions; return them with the offset of what follows.

    Errors:
        MalformedFile: no version, or an extension without name or end.
    """
    text = source.text
    match = _VERSION.match(text)
    if match is None:
        skipped = _SKIP.match(text)
        offset = skipped.end() if skipped else 0
        raise source.error("expected `version NUMBER;`", offset, "begin with `version 1.0;`")
    version, offset = match[1], match.end()
    extensions: list[Extension] = []
    while word := _EXTENSION_WORD.match(text, offset):
        match = _EXTENSION.match(text, offset)
        if match is None:
            raise source.error("expected `extension NAME ...;`", word.end(), "end it with `;`")
        extensions.append(Extension(match[2], match[3].strip(), span=match.start(1)))
        offset = match.end()
    return version, tuple(extensions), offset


def unescape(text: str) -> str:
    """Return the text with every backslash pair replaced by its second character."""
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _lexical_error(source: Source, group: str, offset: int, text: str) -> MalformedFile:
    if group == "bad_number":
        remedy = f"write 0{text}" if text[0] == "." else "put a blank or an operator between them"
        return source.error(f"`{text}` is not a number; a number is digits first", offset, remedy)
    if group == "bad_string":
        end = _OPEN_STRING.match(source.text, offset + 1)
        stop = end.end() if end else offset
        if stop < len(source.text) and source.text[stop] in "\"'":
            other = source.text[stop]
            seen = f"a raw {other} inside a string that another quote opened"
            return source.error(seen, stop, f"write \\{other}")
        return source.error("this string is not closed", offset)
    remedy = 'a name with other characters is written i"..."' if text.isprintable() else ""
    return source.error(f"character {text!r} is not part of the language", offset, remedy)


class Cursor:
    """Reads the tokens of a text one by one.

    Args:
        source: the text.
        start: offset of the first token.
    """

    __slots__ = ("at", "kind", "kinds", "source", "starts", "texts")

    def __init__(self, source: Source, start: int = 0) -> None:
        tokens = tokenize(source, start)
        self.source = source
        self.kinds = tokens.kinds
        self.texts = tokens.texts
        self.starts = tokens.starts
        self.at = 0
        self.kind = self.kinds[0]

    @property
    def offset(self) -> int:
        """Offset of the current token."""
        return self.starts[self.at]

    @property
    def text(self) -> str:
        """Text of the current token."""
        return self.texts[self.at]

    def ahead(self, count: int = 1) -> str:
        """Return the kind of a later token, END beyond the last one."""
        index = self.at + count
        return self.kinds[index] if index < len(self.kinds) else END

    def advance(self) -> None:
        """Go to the next token; END stays."""
        if self.kind is not END:
            self.at += 1
            self.kind = self.kinds[self.at]

    def accept(self, kind: str) -> bool:
        """Go past the current token if it is of this kind, and say whether it was."""
        if self.kind != kind:
            return False
        self.advance()
        return True

    def expect(self, kind: str, expected: str = "") -> int:
        """Go past a token of this kind and return its offset.

        Args:
            kind: the only kind accepted.
            expected: what the message names, by default the kind.

        Errors:
            MalformedFile: any other token.
        """
        if self.kind == ">=" and kind == ">":
            # `tensor<scalar>= 1.0` closes a type; the other half of the token is still to be read.
            self.kinds[self.at] = self.kind = self.texts[self.at] = "="
            self.starts[self.at] += 1
            return self.starts[self.at] - 1
        if self.kind != kind:
            raise self.unexpected(expected or f"`{kind}`")
        offset = self.offset
        self.advance()
        return offset

    def word(self, expected: str) -> tuple[str, int]:
        """Go past a name and return it with its offset.

        Errors:
            MalformedFile: any other token.
        """
        if self.kind not in NAME_KINDS:
            raise self.unexpected(expected)
        text, offset = self.text, self.offset
        self.advance()
        return text, offset

    def unexpected(self, expected: str, remedy: str = "") -> MalformedFile:
        """Return the error that names the current token and what should be there."""
        quoted = END if self.kind is END else f"`{self.text}`"
        found = f"the string {self.text!r}" if self.kind is STRING else quoted
        return self.source.error(f"expected {expected}, found {found}", self.offset, remedy)

    def check_depth(self, what: str, depth: int) -> None:
        """Stop a recursive reader in time.

        Errors:
            MalformedFile: deeper than MAX_TYPE_DEPTH.
        """
        if depth > MAX_TYPE_DEPTH:
            seen = f"this {what} is more than {MAX_TYPE_DEPTH} levels deep"
            raise self.source.error(seen, self.offset)


def read_type_name(cursor: Cursor) -> TypeName:
    """Read one of the names of types, or `?`.

    Errors:
        Refused: `complex`.
        MalformedFile: anything else.
    """
    text, offset = cursor.text, cursor.offset
    if cursor.kind == "?" or (cursor.kind == NAME and text in TYPE_NAMES):
        if text == "complex":
            remedy = "use real and imaginary tensors"
            raise cursor.source.refused("the type complex", offset, remedy)
        cursor.advance()
        return TypeName(text)
    raise cursor.unexpected("a type: integer, scalar, logical, string or ?")


def read_type(cursor: Cursor, depth: int = 0) -> Type:
    """Read a type: a name, `tensor<T>`, `T[]` or `(T, U)`.

    Errors:
        MalformedFile: no type here, or one too deep.
    """
    cursor.check_depth("type", depth)
    if cursor.accept("("):
        items = [read_type(cursor, depth + 1)]
        while cursor.accept(","):
            items.append(read_type(cursor, depth + 1))
        cursor.expect(")", "`,` or `)`")
        kind: Type = TupleType(tuple(items))
    elif cursor.kind == NAME and cursor.text == "tensor":
        cursor.advance()
        cursor.expect("<")
        kind = TensorType(read_type_name(cursor))
        cursor.expect(">")
    else:
        kind = read_type_name(cursor)
    while cursor.accept("["):
        depth += 1
        cursor.check_depth("type", depth)
        cursor.expect("]")
        kind = ArrayType(kind)
    return kind

"""Every exception of the project: six classes, each a different promise to the caller.

Wording is always `stage: node "name" (Op): what was seen; the rule it breaks; the remedy`. Parts
that do not apply are left out. The stage is one of read, declutter, pulsify v1, plan, run, compare.
"""

from __future__ import annotations


class TractRefError(Exception):
    """Base of all errors; `str(error)` is the whole message.

    Args:
        seen: what was seen and the rule it breaks, with values and units.
        stage: the pass or phase that declined.
        node: name of the node, empty when the error is not about one.
        op: op of that node.
        remedy: what the user can do about it.
    """

    def __init__(
        self, seen: str, *, stage: str = "", node: str = "", op: str = "", remedy: str = ""
    ) -> None:
        self.seen = seen
        self.stage = stage
        self.node = node
        self.op = op
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        where = f'node "{self.node}"' + (f" ({self.op})" if self.op else "") if self.node else ""
        head = ": ".join(part for part in (self.stage, where, self.seen) if part)
        return f"{head}; {self.remedy}" if self.remedy else head

    def at(self, *, stage: str = "", node: str = "", op: str = "") -> TractRefError:
        """Return the same error with a place, keeping the place it already has."""
        return type(self)(
            self.seen,
            stage=self.stage or stage,
            node=self.node or node,
            op=self.op or op,
            remedy=self.remedy,
        )


class MalformedFile(TractRefError):
    """The file cannot be read; has file, line and caret (NNEF) or the node's name (ONNX).

    Args:
        seen: what was found and what was expected.
        file: path inside the archive or on disk.
        line: 1-based line, 0 when the file is binary.
        column: 1-based column of the caret.
        text: the source line that the caret points into.
        stage: always `read` for the readers of this project.
        node: name of the node (ONNX).
        op: op of the node (ONNX).
        remedy: what the user can do about it.
    """

    def __init__(
        self,
        seen: str,
        *,
        file: str = "",
        line: int = 0,
        column: int = 0,
        text: str = "",
        stage: str = "read",
        node: str = "",
        op: str = "",
        remedy: str = "",
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.text = text
        super().__init__(seen, stage=stage, node=node, op=op, remedy=remedy)

    def _message(self) -> str:
        message = super()._message()
        if self.file:
            place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
            message = f"{place}: {message}"
        if self.text and self.column:
            caret = " " * (self.column - 1) + "^"
            message = f"{message}\n    {self.text}\n    {caret}"
        return message

    def at(self, *, stage: str = "", node: str = "", op: str = "") -> MalformedFile:
        """Return the same error with a place, keeping the place it already has."""
        return MalformedFile(
            self.seen,
            file=self.file,
            line=self.line,
            column=self.column,
            text=self.text,
            stage=self.stage or stage,
            node=self.node or node,
            op=self.op or op,
            remedy=self.remedy,
        )


class InvalidModel(TractRefError):
    """The model breaks a rule of the IR or of an op."""


class Refused(TractRefError):
    """The model is legal, but this pass declines it, with a reason."""


class Inconclusive(TractRefError):
    """The known symbols and assertions do not decide the question."""


class EvalError(TractRefError):
    """A failure that depends on the data or on run-time sizes."""


class InternalError(TractRefError):
    """Cannot happen in a valid model: a bug of tract_ref, never expected by a test."""

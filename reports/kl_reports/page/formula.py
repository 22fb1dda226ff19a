"""Formulas in plain text, such as ``Σ p·(log p − log q)``, as MathML.

The command line prints the same text, so it is not LaTeX: latex2mathml would set the words of 87 of the 92 formulas as
single letters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from kl_reports.analysis.wording import visible

DEEPEST = 12  # nesting of brackets
LONGEST = 48  # characters on one line: browsers do not break lines within a formula
BREAK = 8  # characters after which a line may end before a relation

_TOKEN = re.compile(
    r"""(?P<space>\s*)(?:
    (?P<number>\d+(?:\.\d+)?(?:e[-−+]?\d+)?|[½¼¾])
  | (?P<code>`\w+`)
  | (?P<word>\.?[A-Za-z][A-Za-z0-9]+(?:_[A-Za-z0-9]+)*(?:'[a-z]+)?|a(?!\w)|'s(?!\w))
  | (?P<letter>[A-Za-zα-ωΓΔΘΛΞΠΦΨΩ∞])
  | (?P<large>[Σ∑√∂∇])
  | (?P<sub>[₀-₉]+) | (?P<sup>[⁰¹²³⁴-⁹⁻ᵀ]+) | (?P<script>[_^])
  | (?P<relation>[=≠<>≤≥≪≫≈~∈⇒⇔→])
  | (?P<operator>[-−+±·×÷/⊕⊗‖])
  | (?P<open>[(\[{]) | (?P<close>[)\]}]) | (?P<bar>\|) | (?P<mark>[,;:])
  | (?P<end>\Z))""",
    re.VERBOSE,
)
_SCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀ", "01234567890123456789−T")
_SINGLE = re.compile(r"<(m[inor]|mtext)>[^<]*</\1>")
_TYPESET = str.maketrans("-~", "−∼")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_FUNCTIONS = {"log", "ln", "exp"}  # their argument needs no brackets
_SIGNS = "+-−±"
_JOINS = {"operator", "relation"}
_ENDS = {"close", "mark", "end"}
_THIN, _WORD = "<mtext>\u2009</mtext>", "<mtext>\u00a0</mtext>"


class FormulaSyntaxError(ValueError):
    """The text is not a formula of this notation."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    spaced: bool  # whether white space precedes it


def formula(text: str) -> Markup:
    """Return a formula as HTML: parts in MathML with words between them; a line may end between the parts.

    Text that is not a formula is returned unchanged, in an element of role ``math`` that is labelled with the text.
    """
    try:
        return Markup(_Parser(_tokens(text)).formula())
    except FormulaSyntaxError:
        return Markup('<span role="math" aria-label="{0}">{0}</span>').format(visible(text))


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        found = _TOKEN.match(text, at)
        if found is None:
            raise FormulaSyntaxError(text[at])
        kind = str(found.lastgroup)
        tokens.append(_Token(kind, found[kind], bool(found["space"])))
        at = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._bars = set[int]()  # positions of opening bars

    def formula(self) -> str:
        """Return the whole formula: parts of one line each, with words and marks between them."""
        written: list[str] = []
        while self._next.kind != "end":
            token = self._next
            if token.kind == "mark":
                written.append(self._take().text)
            elif self._is_prose():
                word = self._take()
                plain = word.text.strip("`")
                text = f"<code>{plain}</code>" if word.kind == "code" else str(escape(plain))
                written.append(f"{_space(token)}{text}")
            else:
                written.append(f"{_space(token)}<math>{self._line()}</math>")
        return "".join(written).strip()

    def _line(self) -> str:
        """Return one part: up to a word, a mark or, once it is long enough, a relation."""
        start = self._at
        parts = [self._join(first=True)] if self._next.kind in _JOINS else []
        while self._next.kind not in _ENDS and not self._is_prose():
            if self._next.kind == "relation" and self._length(start) > BREAK:
                break
            parts.append(self._join() if self._next.kind in _JOINS else self._gap(parts) + self._operand())
        if not parts or self._length(start) > LONGEST:
            raise FormulaSyntaxError(self._next.text if not parts else "too long for a line")
        return "".join(parts)

    def _inside(self, closing: str) -> str:
        """Return the content of brackets, up to the closing one."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise FormulaSyntaxError("too deep")
        parts: list[str] = []
        while self._next.text != closing or self._next.kind not in {"close", "bar"}:
            token = self._next
            if token.kind in {"close", "end"}:
                raise FormulaSyntaxError(f"{closing} is missing")
            if token.kind in _JOINS:
                parts.append(self._join())
            elif token.kind == "mark":
                parts.append(f"<mo>{self._take().text}</mo>")
            elif self._is_prose():
                parts.append(f"{self._gap(parts)}<mtext>{escape(self._take().text.strip('`'))}</mtext>")
            else:
                parts.append(self._gap(parts) + self._operand())
        self._take()
        self._depth -= 1
        return "".join(parts)

    def _join(self, *, first: bool = False) -> str:
        """Return a relation, an operator between two operands, or a sign before one."""
        operand_next, token = self._expects_operand(), self._take()
        text = escape(token.text.translate(_TYPESET))
        if token.kind == "relation":
            return f"<mo lspace=0>{text}</mo>" if first else f"<mo>{text}</mo>"
        sign = token.text in _SIGNS and operand_next
        if self._next.kind in _ENDS | _JOINS and not self._is_sign():
            raise FormulaSyntaxError(token.text)
        if token.text == "‖":
            return "<mo stretchy=false lspace=.1em rspace=.1em>‖</mo>"
        form = " form=prefix" if sign else " form=infix" if first else ""
        return f"<mo{form}>{text}</mo>"

    def _operand(self) -> str:
        """Return one operand, or a fraction of two."""
        upper, bare = self._factor()
        while self._next.text == "/":
            self._take()
            lower, bare_lower = self._factor()
            upper = f"<mfrac>{_one(bare or upper)}{_one(bare_lower or lower)}</mfrac>"
            bare = ""
        return upper

    def _gap(self, parts: Sequence[str]) -> str:
        """Return the space before an operand that follows another operand or a word."""
        if not parts or not self._next.spaced or self._before in {"mark", *_JOINS}:
            return ""
        return _WORD if "word" in {self._next.kind, self._before} else _THIN

    def _factor(self) -> tuple[str, str]:
        """Return an operand with its scripts and arguments, and its content if it is brackets and nothing else."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise FormulaSyntaxError("too deep")
        base, bare = self._atom()
        while True:
            token = self._next
            if token.kind in {"sub", "sup", "script"}:
                base, bare = self._scripted(base), ""
            elif token.kind == "open" and not token.spaced:
                base, bare = base + self._atom()[0], ""
            elif token.kind == "word" and token.text.startswith("."):
                base, bare = f"{base}<mtext>{self._take().text}</mtext>", ""
            else:
                self._depth -= 1
                return base, bare

    def _atom(self) -> tuple[str, str]:
        token = self._take()
        match token.kind:
            case "number":
                return _number(token.text), ""
            case "letter":
                return f"<mi>{token.text}</mi>", ""
            case "word" | "code":
                return self._named(token.text.strip("`")), ""
            case "large":
                return self._large(token.text), ""
            case "open":
                inner, closing = self._inside(_CLOSING[token.text]), _CLOSING[token.text]
                return _bracketed(token.text, inner, closing), inner
            case "bar":
                self._bars.add(self._at - 1)
                return _bracketed("|", self._inside("|"), "|"), ""
            case _:
                raise FormulaSyntaxError(token.text)

    def _named(self, word: str) -> str:
        """Return a name of several letters; a function with its argument, a limit with its condition."""
        if word == "lim":
            under = [self._atom()[0], self._join(), self._operand()]
            if self._take().text != "of":
                raise FormulaSyntaxError("a limit without 'of'")
            return f"<munder><mi>lim</mi><mrow>{''.join(under)}</mrow></munder>{_THIN}"
        if word in _FUNCTIONS and self._next.kind not in _ENDS | _JOINS | {"open"}:
            return f"<mi>{word}</mi>{_THIN}{self._factor()[0]}"
        return f"<mi>{word}</mi>" if word in _FUNCTIONS or _is_symbol(word) else f"<mtext>{word}</mtext>"

    def _large(self, sign: str) -> str:
        match sign:
            case "Σ" | "∑":
                return "<mo>∑</mo>"
            case "√":
                return f"<msqrt>{self._factor()[0]}</msqrt>"
            case _:
                mark = "<mi>∂</mi>" if sign == "∂" else "<mi mathvariant=normal>∇</mi>"
                while self._next.kind in {"sub", "sup", "script"}:
                    mark = self._scripted(mark)
                adjacent = not self._next.spaced and self._next.kind not in _ENDS | _JOINS
                return mark + self._factor()[0] if adjacent else mark

    def _scripted(self, base: str) -> str:
        token = self._take()
        if token.kind != "script":
            small = f"<mn>{token.text.translate(_SCRIPTS)}</mn>".replace("<mn>T</mn>", "<mi>T</mi>")
        else:
            sign = self._join() if self._is_sign() else ""
            small, bare = self._atom()
            small = _one(sign + (bare or small))
        tag = "msub" if token.kind == "sub" or token.text == "_" else "msup"
        return f"<{tag}>{_one(base)}{small}</{tag}>"

    def _is_prose(self) -> bool:
        """Whether the next word belongs to the text, not to the formula."""
        token = self._next
        if token.kind != "word":
            return token.kind == "code"
        following, third = (self._tokens[min(self._at + ahead, len(self._tokens) - 1)] for ahead in (1, 2))
        if following.kind in {"open", "sub"} and not following.spaced:
            return False
        if token.text == "lim":
            return third.text != "→"
        if _is_symbol(token.text) or (token.text in _FUNCTIONS and following.kind not in _ENDS):
            return False
        ending = following.kind in _ENDS or following.kind == "bar"
        operand = following.kind in _JOINS or (ending and self._before not in {"", "mark"})
        return not (self._expects_operand() and operand)

    def _expects_operand(self) -> bool:
        return self._before in {"", "mark", "open", "large", "script", *_JOINS} or self._at - 1 in self._bars

    @property
    def _before(self) -> str:
        return self._tokens[self._at - 1].kind if self._at else ""

    def _is_sign(self) -> bool:
        return self._next.kind == "operator" and self._next.text in _SIGNS

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        if token.kind == "end":
            raise FormulaSyntaxError("unexpected end")
        self._at += 1
        return token

    def _length(self, start: int) -> int:
        return sum(len(token.text) + token.spaced for token in self._tokens[start : self._at])


def _space(token: _Token) -> str:
    return " " if token.spaced else ""


def _bracketed(opening: str, inner: str, closing: str) -> str:
    """Return content in brackets; they grow with a fraction only."""
    tall = "" if "<mfrac" in inner else " stretchy=false"
    forms = (" form=prefix", " form=postfix") if opening == "|" else ("", "")
    before, after = (f"<mo{form}{tall}>{fence}</mo>" for form, fence in zip(forms, (opening, closing), strict=True))
    return f"<mrow>{before}{inner}{after}</mrow>"


def _one(elements: str) -> str:
    """Return one element: several are put into a row."""
    return elements if _SINGLE.fullmatch(elements) else f"<mrow>{elements}</mrow>"


def _is_symbol(word: str) -> bool:
    """Whether a word is a mathematical name: KL, CE, NaN."""
    return any(letter.isupper() for letter in word[1:])


def _number(text: str) -> str:
    mantissa, _, power = text.partition("e")
    if not power:
        return f"<mn>{text}</mn>"
    times = "" if mantissa == "1" else f"<mn>{mantissa}</mn><mo>×</mo>"
    return f"<mrow>{times}<msup><mn>10</mn><mn>{power.replace('-', '−').removeprefix('+')}</mn></msup></mrow>"

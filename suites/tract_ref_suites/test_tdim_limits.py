"""Numbers too long to be written, products of too many terms, and what is no dimension at all."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from tract_ref.dim import (
    Scope,
    ceil_div,
    evaluate,
    parse_assertion,
    parse_dim,
    product,
    substitute,
    sym,
)
from tract_ref.errors import InvalidModel, MalformedFile
from tract_ref_suites.command_line import run
from tract_ref_suites.engines.tract_dims import main
from tract_ref_suites.test_tdim_growth import calls, exponent

S, T = sym("S"), sym("T")
LONG = "9" * 2900
TOO_LONG = "9" * 3900


@pytest.mark.parametrize(
    "words",
    [
        (f"{LONG}*{LONG}",),
        (f"S*{LONG}*{LONG}",),
        (f"S/{LONG}/{LONG}",),
        (f"(S+{LONG})*(S+{LONG})",),
        (f"max(S,{LONG})*max(S,{LONG})",),
        ("S*S", "--eval", f"S={LONG}"),
        ("S*S", "--set", f"S={LONG}"),
        ("S*S", "--assert", f"S=={LONG}"),
        ("S*S", "--assert", f"S>={LONG}", "--assert", f"S<={LONG}"),
        ("S", "--assert", f"S>={LONG}*{LONG}"),
        ("*".join(["S"] * 2000), "--eval", "S=1000"),
    ],
)
def test_a_number_that_grows_too_long_is_bad_input(words: tuple[str, ...]) -> None:
    ran = run("dims", *words)
    assert (ran.status, ran.out) == (3, "")
    assert ran.err == (
        "InvalidModel: a number of this dimension has more than 10000 bits; "
        "use smaller numbers or symbols\n"
    )


@pytest.mark.parametrize(
    "words",
    [(f"{TOO_LONG}*{TOO_LONG}",), (f"S/{TOO_LONG}",), ("S*S", "--eval", f"S={TOO_LONG}")],
)
def test_a_number_written_too_long_is_bad_input(words: tuple[str, ...]) -> None:
    ran = run("dims", *words)
    assert (ran.status, ran.out) == (3, "")
    assert "expected at most 3000 digits, found '9'" in ran.err
    # The text is not repeated as a whole.
    assert len(ran.err) < 500


def test_the_longest_number_is_read_and_written() -> None:
    number = 2**10_000 - 1
    assert evaluate(S + number - 1, {"S": 1}) == number
    with pytest.raises(InvalidModel, match="more than 10000 bits"):
        evaluate(S + number, {"S": number})
    with pytest.raises(InvalidModel, match="more than 10000 bits"):
        str(number * S * S * number)
    with pytest.raises(InvalidModel, match="more than 10000 bits"):
        _ = (S + 1) // 10**5000
    assert parse_dim(f"{LONG}+S") == int(LONG) + S
    assert parse_dim(str(int(LONG) * S)) == int(LONG) * S


def test_a_bound_that_is_too_long_is_none() -> None:
    scope = Scope([f"S >= {LONG}", f"T >= {LONG}"])
    assert scope.bounds(S) == (int(LONG), None)
    assert scope.bounds(S * T) == (None, None)


def test_a_product_of_too_many_terms_is_refused() -> None:
    with pytest.raises(InvalidModel, match="terms times factors is at most 30000"):
        parse_dim("*".join(["(S+T)"] * 300))
    assert run("dims", "*".join(["(S+T)"] * 300)).status == 3
    assert parse_dim("*".join(["(S+T)"] * 9)) == (S + T) * parse_dim("*".join(["(S+T)"] * 8))
    assert len(cast("Any", parse_dim("*".join(["S"] * 2000))).terms) == 1


@pytest.mark.parametrize("sign", ["+", "-"])
def test_reading_a_long_sum_takes_linear_work(sign: str) -> None:
    sizes = (100, 200, 400)
    texts = [sign.join(f"S{i}" for i in range(size)) for size in sizes]
    for text in texts:
        parse_dim(text)
    assert exponent(sizes, [calls(lambda t=text: parse_dim(t)) for text in texts]) <= 1.1


@pytest.mark.parametrize("sign", ["+", "-"])
def test_a_run_of_one_sign_is_one_step(sign: str) -> None:
    found = run("dims", sign.join(["T", *["S"] * 20, "4"]), "--json").json
    (step,) = found["steps"]
    assert step["law"] == "collect"
    assert step["before"] == sign.join(["T", *["S"] * 20, "4"])
    assert step["after"] == found["normal_form"]
    assert found["normal_form"] == ("T+4+20*S" if sign == "+" else "T+-4+-20*S")


def test_long_texts_are_cut_but_in_json() -> None:
    names = sorted(f"S{i}" for i in range(100, 200))
    text = "+".join(names)
    lines = run("dims", text).out.splitlines()
    assert lines[1] == f"normal form  {text[:240]}… (100 terms)"
    assert lines[0] == f"read         {' + '.join(names)[:240]}… (697 characters)"
    assert run("dims", text, "--json").json["normal_form"] == text


@pytest.mark.parametrize("text", ["S*T", "T+S", "(S>=T)+(T>=S+1)", "T+S+3", "S+(T+1)"])
def test_a_change_of_order_or_parentheses_is_no_step(text: str) -> None:
    assert run("dims", text, "--json").json["steps"] == []


def test_a_product_of_a_sum_is_a_step() -> None:
    (step,) = run("dims", "S*(T+1)", "--json").json["steps"]
    assert (step["law"], step["after"]) == ("distribute", "S+(S)*(T)")


@pytest.mark.parametrize("text", ["S−1", "S\u00a0+1", "S\u200b", "S²", "S١", "S½", "S·T", "S´"])
def test_above_ascii_only_letters_and_pictographs_are_names(text: str) -> None:
    with pytest.raises(MalformedFile, match="column 2: expected the end"):
        parse_dim(text)
    with pytest.raises(InvalidModel, match="is not an identifier"):
        sym(text)


@pytest.mark.parametrize("name", ["ß", "длина", "長さ", "\U0001f3afk", "n\u0303", "Ä1"])
def test_letters_of_any_script_are_names(name: str) -> None:
    assert parse_dim(f"2*{name}+1") == 2 * sym(name) + 1


def test_a_floor_has_one_argument() -> None:
    with pytest.raises(MalformedFile, match="one argument of floor, not 2"):
        parse_dim("floor(S,3)")
    assert parse_dim("floor(S)") is S


def test_what_is_no_dimension_is_invalid() -> None:
    broken: dict[str, Any] = {
        "the value of S is 1.5": lambda: evaluate(S, cast("Any", {"S": 1.5})),
        "the value of S is '2'": lambda: substitute(S, cast("Any", {"S": "2"})),
        "the value of S is 2.0": lambda: substitute(S, cast("Any", {"S": 2.0})),
        r"the divisor of \(7\) is 2.5": lambda: ceil_div(7, cast("Any", 2.5)),
        "a factor of a product is 1.5": lambda: product(cast("Any", [2, 1.5])),
        "5 is no text": lambda: parse_dim(cast("Any", 5)),
        "6 is no text": lambda: parse_assertion(cast("Any", 6)),
        "assertions are a list of texts": lambda: Scope("S>=1"),
    }
    for said, call in broken.items():
        with pytest.raises(InvalidModel, match=said):
            call()


def test_integers_of_numpy_are_integers() -> None:
    three = cast("int", np.int64(3))
    assert evaluate(S + 1, {"S": three}) == 4
    assert substitute(S + 1, {"S": three}) == 4
    assert product([three, S]) == 3 * S
    assert ceil_div(7, three) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no dim is given"),
        (["S+1", "T=3"], "S+1 has no value: S not set"),
        (["S", "S=3", "S=>1"], "'S=>1' is neither NAME=NUMBER nor a relation"),
        (["S", "S=3", "S+1"], "'S+1' is neither NAME=NUMBER nor a relation"),
    ],
)
def test_asking_the_engine_half_a_question_is_a_usage_error(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 3
    assert capsys.readouterr().err.startswith(said)


def test_the_first_equals_sign_ends_the_name() -> None:
    found = run("dims", "S+1", "--set", "S=(T==1)", "--eval", "T=1", "--json").json
    assert found["normal_form"] == "1+(T==1)"
    assert found["value"]["simplified"] == 2

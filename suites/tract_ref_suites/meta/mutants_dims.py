"""Wrong dimensions: rewrites, proofs, questions and prints, and the laws that must catch each.

Those about tract are what it does in 0.23.9 or did before, as its own results show.
"""

from __future__ import annotations

from tract_ref_suites.meta import broken_dims as broken
from tract_ref_suites.meta.mutant import Apply, Mutant

RANDOM = "dims/random"


def _mutant(about: str, apply: Apply, expected: str, *names: str) -> Mutant:
    problems = (*(f"dims/{name}" for name in names), RANDOM)
    return Mutant(about, "dims", apply, frozenset(expected.split()), problems)


DIM_MUTANTS: dict[str, Mutant] = {
    "dims-truncates": _mutant(
        "tract: quotients are rewritten as floor and evaluated rounded towards zero",
        broken.truncates, "D1", "quotient-of-two-symbols",
    ),
    "dims-sign-leaves-quotient": _mutant(
        "tract: (5-S)/4 becomes 2 - (S+3)/4", broken.sign_leaves_quotient,
        "D1", "quotient-of-minus-symbol", "quotient-of-minus-even",
    ),
    "dims-whole-part-truncates": _mutant(
        "tract: the integer part of a negative constant is rounded towards zero",
        broken.whole_part_truncates, "D1", "clamp-halved",
    ),
    "dims-one-quotient": _mutant(
        "tract: S/2-S becomes -(S/2)", broken.one_quotient_of_a_sum, "D1", "half-less-whole"
    ),
    "dims-factor-leaves-quotient": _mutant(
        "(3*S)/2 becomes 3*(S/2)", broken.factor_leaves_quotient, "D1", "product-in-a-quotient"
    ),
    "dims-factor-overflows": _mutant(
        "tract: S*4611686018427387904*4 becomes -S", broken.factor_overflows,
        "D1 D3", "large-factor",
    ),
    "dims-cross-terms-lost": _mutant(
        "of the product of two sums one term is lost", broken.cross_terms_lost, "D1 D3 D8",
        "two-sums",
    ),
    "dims-terms-unsorted": _mutant(
        "a sum depends on the order in which it was written", broken.terms_unsorted,
        "D8", "linear", "ramps",
    ),
    "dims-absorbs-any": _mutant(
        "max(a, min(a+1, b)) becomes a", broken.absorbs_any, "D1 D3", "not-absorbed"
    ),
    "dims-broadcast-is-max": _mutant(
        "a # b is read as max(a, b)", broken.broadcast_is_max, "D1", "size-and-smaller-size"
    ),
    "dims-stretches-zero": _mutant(
        "S # min(S, P) becomes S where both may be 0", broken.stretches_zero,
        "D4", "size-and-smaller-size", "size-and-positive-size",
    ),
    "dims-comparison-rounds-up": _mutant(
        "(2*S >= 5) becomes (S >= 2)", broken.comparison_rounds_up, "D1 D3", "at-least-half"
    ),
    "dims-equality-rounds": _mutant(
        "(2*S == 5) becomes (S == 2)", broken.equality_rounds, "D1", "equal-to-odd"
    ),
    "dims-unknown-skipped": _mutant(
        "tract, once: min(1, max(0, X)) loses its min, for an unknown bound is skipped",
        broken.unknown_pieces_skipped, "D4", "clamp-between",
    ),
    "dims-strict-too-strict": _mutant(
        "S > 4 is taken as S >= 6", broken.strict_too_strict, "D3 D4", "five-or-more"
    ),
    "dims-broadcast-bound": _mutant(
        "a broadcast is taken to be at least the larger lower bound",
        broken.broadcast_bound_is_largest, "D4", "size-of-zero",
    ),
    "dims-quotient-bound": _mutant(
        "a bound of a quotient forgets what was rounded down",
        broken.quotient_without_slack, "D4", "half-of-positive",
    ),
    "dims-comparison-of-three": _mutant(
        "(S >= 0) becomes 1 + S for -2 <= S <= 0", broken.sum_of_three_values,
        "D4", "three-neighbours",
    ),
    "dims-product-is-square": _mutant(
        "a bounded product is taken to be 0 or more, as a square is",
        broken.product_is_square, "D4", "product-of-both-signs",
    ),
    "dims-one-scenario": _mutant(
        "what one scenario says is taken for all", broken.one_scenario_is_enough,
        "D4", "scenarios-that-part",
    ),
    "dims-memo-shared": _mutant(
        "scopes share what they have simplified", broken.memo_shared, "D5", "window", "ramps"
    ),
    "dims-bounds-shared": _mutant(
        "scopes share their bounds", broken.bounds_shared, "D5", "window", "ramps"
    ),
    "dims-first-rate": _mutant(
        "tract: the rate of a maximum is that of its first piece",
        broken.steepest_is_first, "D6", "window", "clamp-halved",
    ),
    "dims-period-one": _mutant(
        "a quotient is taken to advance with each frame", broken.period_of_one,
        "D6", "quotient-of-quotient",
    ),
    "dims-substitutes-in-turn": _mutant(
        "symbols are replaced one after the other", broken.substitutes_in_turn,
        "D7", "quotient-of-two-symbols",
    ),
    "dims-clamps-stay": _mutant(
        "symbols inside a maximum are not replaced", broken.clamps_not_substituted,
        "D7", "clamp-halved",
    ),
    "dims-solution-sign": _mutant(
        "an equation in -S is solved with the wrong sign", broken.solution_of_wrong_sign,
        "D9", "falling",
    ),
    "dims-divisor-dropped": _mutant(
        "(13*S)/4 cancels to 13*S", broken.divisor_dropped, "D9", "linear"
    ),
    "dims-factor-printed-bare": _mutant(
        "tract: 2*(3+7*S) prints 2*3+7*S", broken.factor_printed_bare,
        "D2", "common-factor-in-a-broadcast",
    ),
    "dims-sides-swapped": _mutant(
        "(a >= b) prints (b >= a)", broken.sides_swapped, "D2", "at-least-half"
    ),
}  # fmt: skip

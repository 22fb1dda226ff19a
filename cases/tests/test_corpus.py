"""The corpus can be loaded, and its numbers are those of its sources."""

import json
import re
from typing import Any

import numpy as np
import pytest

from kl_cases.case import Case, PublishedValue
from kl_cases.corpus import CHAPTERS, case_pair, cases, cases_for, find_case, load, main, parse
from kl_cases.flags import FLAGS
from kl_cases.portable_math import Array
from kl_reference.answer import answer
from kl_reference.convention import Formula, Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand, Problem

ALL = {case.id: case for case in cases()}
PRINTED = [(case_id, quantity) for case_id, case in ALL.items() for quantity in case.printed]


def _operands(case: Case) -> tuple[Operand, Operand]:
    """Realise a case as in its source; logits are converted by softmax and log-softmax."""
    assert case.pair is not None
    assert case.dtype is not None
    target, model = case.pair.p.space, case.pair.q.space
    return case.pair.realise(
        Space.PROBABILITY if target is Space.LOGITS else target,
        Space.LOG if model is Space.LOGITS else model,
        case.dtype,
        subnormals=case.subnormals,
    )


def _quantity(case: Case, quantity: str) -> Array:
    """Compute the quantity that a source printed."""
    target, model = _operands(case)
    assert case.pair is not None
    axis = case.pair.axis
    if quantity == "ce-minus-h":
        crossed, own = (
            answer(Problem(target, side, Formula.CROSS_ENTROPY, Reduction.SUM, axis)).value for side in (model, target)
        )
        return np.asarray(crossed - own).ravel()
    formula, _, reduction = quantity.rpartition("/")
    chosen = Formula[formula.upper().replace("-", "_")] if formula else Formula.PLAIN
    return answer(Problem(target, model, chosen, Reduction[reduction.upper()], axis)).value.ravel()


@pytest.mark.parametrize(("case_id", "quantity"), PRINTED)
def test_the_reference_prints_what_the_source_printed(case_id: str, quantity: str) -> None:
    """Rounded to the printed digits, the exact answer is the number of the source."""
    case = ALL[case_id]
    got = _quantity(case, quantity)
    assert got.size == len(case.printed[quantity])
    for number, printed in zip(got, case.printed[quantity], strict=True):
        assert printed.matches(float(number)), (printed.text, float(number))


# The numbers in the three threads, by case; they must be in the corpus.
ROW = {"terms": ["0.2151", "-0.0271", "-0.0686", "-0.0478"], "sum": ["0.0716"], "mean": ["0.0179"]}
THREADS = {
    "softmax-for-log-softmax-first-epoch": {"mean": ["-0.019"]},
    "softmax-for-log-softmax-last-epoch": {"mean": ["-0.040"]},
    "equal-logits-smallest-residue": {"mean": ["1.4934e-12"]},
    "equal-logits-positive-residue": {"mean": ["1.8763e-11"]},
    "equal-logits-negative-residue": {"mean": ["-2.3461e-11"]},
    "one-row-of-four": ROW | {"batchmean": ["0.0716"], "ce-minus-h": ["0.0716"]},
    "four-classes-without-a-row": ROW | {"batchmean": ["0.0179"]},
}


@pytest.mark.parametrize("case_id", THREADS)
def test_the_threads_are_cases(case_id: str) -> None:
    """The numbers printed in the threads are in the corpus, digit for digit."""
    printed = {name: [number.text for number in row] for name, row in ALL[case_id].printed.items()}
    assert printed == THREADS[case_id]
    assert "discuss.pytorch.org" in ALL[case_id].link


def test_terms_of_the_first_thread_have_both_signs() -> None:
    """Terms are negative and positive, and their sum is positive."""
    case = ALL["negative-terms-positive-sum"]
    terms = _quantity(case, "terms")
    assert terms.min() < -0.01
    assert terms.max() > 0.01
    assert _quantity(case, "sum")[0] > 0.01


def test_one_hot_divergence_is_cross_entropy() -> None:
    """With one-hot targets KL and CE are one number per row, −log q of the class."""
    case = ALL["one-hot-is-cross-entropy"]
    np.testing.assert_array_equal(_quantity(case, "rows"), _quantity(case, "cross-entropy/rows"))


def test_equal_logits_are_within_the_budget_of_rounded_inputs() -> None:
    """Rounding P and log Q changes the mean by at most u·(1 + |log q|) per unit of P."""
    for name in ("smallest", "positive", "negative"):
        case = ALL[f"equal-logits-{name}-residue"]
        target, model = _operands(case)
        p, log_q = target.values.astype(np.float64), model.values.astype(np.float64)
        budget = Dtype.FLOAT32.roundoff * (p * (1.0 + np.abs(log_q))).mean()
        assert 0.0 < abs(_quantity(case, "mean")[0]) < budget


def test_a_tiled_case_has_its_full_size() -> None:
    """A case that needs a large array is stored as a small one, and repeated along each axis."""
    tiled = ALL["more-rows-than-half-can-count"].pair
    assert tiled is not None
    assert tiled.shape == (65537, 2)
    assert (tiled.q.values == tiled.q.values[0]).all()


def test_a_case_of_subnormals_keeps_them() -> None:
    """Subnormal numbers are kept in cases that test them."""
    case = ALL["subnormal-probabilities"]
    for operand in _operands(case):
        small = np.abs(operand.values[operand.values != 0.0]).min()
        assert small < Dtype.FLOAT32.least_normal


def test_misuse_of_the_threads_is_an_error() -> None:
    """The three unintended calls are cases that must raise."""
    misuse = {case.arguments.get("misuse"): case for case in load("errors")}
    for name in ("tensors-to-constructor", "tensor-as-dim", "attribute-as-input"):
        assert misuse[name].expectation == "error"
        assert misuse[name].pair is None


@pytest.mark.parametrize("case_id", ALL)
def test_a_case_can_be_answered(case_id: str) -> None:
    """The reference answers every case that has numbers; with NaN only if the case expects it."""
    case = ALL[case_id]
    if case.pair is None:
        assert case.shapes
        return
    terms = _quantity(case, "terms")
    given = np.concatenate([operand.values.ravel() for operand in _operands(case)])
    assert np.isnan(terms).any() == (np.isnan(given).any() or "nan" in case.accept)
    assert case.pair.origin == f"case {case.id}"


def test_ids_flags_and_chapters() -> None:
    """Ids are unique over all chapters, every flag is used, every chapter has cases."""
    assert len(ALL) == sum(len(load(chapter)) for chapter in CHAPTERS)
    assert {flag for case in ALL.values() for flag in case.flags} == set(FLAGS)
    assert all(len(load(chapter)) >= 3 for chapter in CHAPTERS)
    assert all(case.requirements and case.flags for case in ALL.values())


def test_public_trackers_are_sources() -> None:
    """More than a hundred issues are cases, at least one from each supported library."""
    found = [re.match(r"https://github\.com/([^/]+/[^/]+)/(issues|pull)/\d+$", case.link) for case in ALL.values()]
    threads = [match for match in found if match]
    assert len({match[0] for match in threads}) > 100
    assert {match[1] for match in threads} >= {
        "pytorch/pytorch",
        "keras-team/keras",
        "tensorflow/tensorflow",
        "jax-ml/jax",
        "google-deepmind/optax",
        "scipy/scipy",
        "Lightning-AI/torchmetrics",
        "linkedin/Liger-Kernel",
    }


def test_cases_are_found_by_requirement() -> None:
    """The cases of a requirement are found in every chapter."""
    found = cases_for("identities/ce-minus-h")
    assert {case.chapter for case in found} == {"reductions", "identities"}
    assert cases_for("no/such") == ()


def test_a_case_is_found_by_name() -> None:
    """An unknown name is rejected with the known ones."""
    assert find_case("values/textbook-forward") is ALL["textbook-forward"]
    with pytest.raises(ValueError, match="unknown case 'values/none'; known: values/"):
        find_case("values/none")


def test_a_case_without_numbers_is_a_pair() -> None:
    """Only its shape matters: both sides are the uniform distribution."""
    case = next(case for case in ALL.values() if case.pair is None)
    pair = case_pair(case)
    assert pair.p is pair.q
    assert pair.p.values.shape == case.shapes[0]
    assert case_pair(ALL["textbook-forward"]) is ALL["textbook-forward"].pair


def test_an_unknown_chapter_is_rejected() -> None:
    """The message lists the chapters."""
    with pytest.raises(ValueError, match="unknown chapter 'value'; known: values, support"):
        load("value")


@pytest.mark.parametrize(
    ("text", "number", "matches"),
    [
        ("0.0716", 0.07161555, True),
        ("0.0716", 0.07166, False),
        ("-0.040", -0.0404, True),
        ("1.8763e-11", 1.87634e-11, True),
        ("1.8763e-11", 1.8764e-11, False),
        ("inf", np.inf, True),
        ("inf", 1e300, False),
        ("nan", np.nan, True),
        ("nan", 0.0, False),
        ("0", np.nan, False),
        ("4", 4.4, True),
        ("4", 4.6, False),
    ],
)
def test_a_published_value_matches_what_rounds_to_it(text: str, number: float, matches: bool) -> None:
    """A number matches if it differs by at most half a unit of the last printed digit."""
    assert PublishedValue(text).matches(number) is matches


GOOD: dict[str, Any] = {
    "id": "a-case",
    "sentence": "It is so.",
    "flags": ["textbook"],
    "link": "derived",
    "requirements": ["values/sum"],
    "expectation": "exact",
    "target": {"space": "probability", "bits": ["f32:3f000000", "f32:3f000000"]},
    "model": {"space": "log", "bits": ["f32:bf800000", "f32:bf800000"]},
}


def _parsed(**changes: Any) -> tuple[Case, ...]:
    row = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return parse(json.dumps({"chapter": "values", "cases": [row]}), "values", "values.json")


def test_a_valid_case_is_parsed() -> None:
    """Bits become numbers, names become members."""
    (case,) = _parsed()
    assert case.pair is not None
    assert case.dtype is Dtype.FLOAT32
    np.testing.assert_array_equal(case.pair.p.values, [0.5, 0.5])
    np.testing.assert_array_equal(case.pair.q.values, [-1.0, -1.0])


def test_a_model_may_be_the_target() -> None:
    """P = Q is stored as a reference, not as a copy."""
    (case,) = _parsed(model="target")
    assert case.pair is not None
    assert case.pair.q is case.pair.p


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"sentence": None}, "sentence", "missing"),
        ({"colour": "red"}, "colour", "unknown; known: accept"),
        ({"id": "A Case"}, "id", "does not consist of lower-case words"),
        ({"flags": ["bad"]}, "flags", "unknown flag 'bad'; known: argument-order"),
        ({"flags": "textbook"}, "flags", "not a list"),
        ({"requirements": ["sum"]}, "requirements", "'sum' is not an id"),
        ({"expectation": "maybe"}, "expectation", "unknown 'maybe'; known: exact"),
        ({"expectation": "one-of"}, "accept", "required with the expectation 'one-of'"),
        ({"model": None}, "model", "missing, but the other side is given"),
        ({"target": {"space": "lag", "bits": []}}, "target", "a 'space' among probability"),
        ({"target": {"space": "log", "bits": ["0.5"]}}, "target", "malformed bit pattern '0.5'"),
        ({"target": {"space": "log", "bits": [["f32:00000000"], []]}}, "target", "inhomogeneous"),
        ({"target": {"space": "log", "bits": ["f64:0000000000000000"]}}, "model", "but the target is float64"),
        ({"model": {"space": "log", "bits": ["f32:00000000"] * 3}}, "model", "broadcast"),
        ({"axis": 3}, "axis", "outside the shape"),
        ({"printed": {"sum": ["seven"]}}, "printed", "'seven' is not a number"),
        ({"shapes": [["x"]]}, "shapes", "not lists of whole numbers"),
    ],
)
def test_an_invalid_case_is_named(changes: dict[str, Any], field: str, problem: str) -> None:
    """The message names the file, the case, the field and its defect."""
    with pytest.raises(ValueError, match=r"values\.json: case") as error:
        _parsed(**changes)
    assert f"field '{field}'" in str(error.value)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a JSON object"),
        ("[]", "not a JSON object"),
        ('{"chapter": "signs", "cases": []}', "belongs to chapter 'signs'"),
        ('{"chapter": "values", "cases": [3]}', "case 'number 0'"),
        (json.dumps({"chapter": "values", "cases": [GOOD, GOOD]}), "case 'a-case': field 'id': used twice"),
    ],
)
def test_an_invalid_file_is_named(text: str, problem: str) -> None:
    """The message names the file and its defect."""
    with pytest.raises(ValueError, match=r"values\.json: ") as error:
        parse(text, "values", "values.json")
    assert problem in str(error.value)


def test_the_command_writes_bits(capsys: pytest.CaptureFixture[str]) -> None:
    """Contributors write a case with numbers, not with bits."""
    assert main(["encode", "float32", "0.1", "-inf", "-1e-3"]) == 0
    assert json.loads(capsys.readouterr().out) == ["f32:3dcccccd", "f32:ff800000", "f32:ba83126f"]


def test_the_command_reads_bits(capsys: pytest.CaptureFixture[str]) -> None:
    """Bits can be converted to numbers."""
    assert main(["decode", "bf16:3dcd", "bf16:ff80"]) == 0
    assert capsys.readouterr().out.split() == ["bfloat16", "0.10009765625", "-inf"]

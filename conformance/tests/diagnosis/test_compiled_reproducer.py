"""A failure of a compiled call is reproduced by a script that compiles the call."""

import ast

import pytest

from kl_conformance.diagnosis.reproducer import LINES, reproducer
from kl_conformance.implementations import loading
from kl_conformance_testkit.witness import called, example_witness
from kl_reference.convention import Space
from kl_reports.runfile.records import Column

HALF = {"space": "probability", "shape": [2], "bits": ["f32:3f000000", "f32:3f000000"]}
LOGITS = {"space": "logits", "shape": [2], "bits": ["f32:00000000", "f32:00000000"]}


def script(name: str, mode: str, model: str = "probability") -> str:
    """Return the script of a hypothetical failure in a column of that mode."""
    own = loading.implementation(name)
    call = called(own, Space.LOG if model == "logits" else Space.PROBABILITY)
    witness = example_witness(HALF, HALF if model == "probability" else LOGITS, call)
    column = Column(name, own.framework, "1", "cpu", "float32", mode)
    return reproducer("values/pointwise", column, witness)


@pytest.mark.parametrize(
    ("name", "mode", "code"),
    [
        ("jax.scipy.special.rel_entr", "jit", "got = jax.jit(lambda p, q: jax.scipy.special.rel_entr(p, q))(p, q)"),
        ("jax.scipy.special.rel_entr", "x32", 'jax.config.update("jax_enable_x64", False)'),
        ("keras.losses.kl_divergence", "graph", ", autograph=False)(p, q)"),
        ("keras.losses.kl_divergence", "xla", ", autograph=False, jit_compile=True)(p, q)"),
        ("torch.nn.functional.kl_div", "compile", ", dynamic=False, fullgraph=True)(p, q)"),
    ],
)
def test_a_script_runs_its_call_in_the_mode_of_its_column(name: str, mode: str, code: str) -> None:
    """The script has the compilation or setting of its column, which an eager script has not, and is valid Python."""
    text, eager = script(name, mode), script(name, "eager")
    assert ast.parse(text)
    assert code in text
    assert code not in eager
    assert len(text.splitlines()) <= LINES


def test_log_softmax_is_outside_the_compiled_call() -> None:
    """The log_softmax of logits is not part of the function that was compiled, in the run and in the script."""
    text = script("torch.nn.functional.kl_div", "compile", model="logits")
    assert "fullgraph=True)(p, torch.log_softmax(q, -1))" in text

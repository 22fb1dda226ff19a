"""Every example is verified by the command line in a process of its own, as by a user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from kl_reports.analysis.kernel import failures
from kl_reports.runfile.file import read

HERE = Path(__file__).parent
TORCH, OPTAX, REL_ENTR = ("torch.nn.functional.kl_div", "optax.losses.kl_divergence", "scipy.special.rel_entr")


@dataclass(frozen=True, slots=True)
class Example:
    """A kernel, the implementation that it follows, its dependencies, and the requirements that must detect it."""

    kernel: str
    like: str
    needs: tuple[str, ...] = ()
    detected_by: frozenset[str] = frozenset()
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.kernel}-{self.dtype}"


CORRECT = (
    Example("numpy_kl.py:rel_entr", REL_ENTR),
    Example("c_kl.py:CORRECT", TORCH, ("cc", "torch")),
    Example("triton_kl.py:kl_div", TORCH, ("torch", "triton")),
    Example("triton_kl.py:kl_div", TORCH, ("torch", "triton"), dtype="float16"),
    Example("triton_kl.py:kl_div", TORCH, ("torch", "triton"), dtype="bfloat16"),
    Example("pallas_kl.py:kl_divergence", OPTAX, ("jax", "optax")),
    Example("adapters.py:NAMED", TORCH, ("torch",)),
    Example("adapters.py:APART", TORCH, ("torch",)),
    Example("adapters.py:IN_PLACE", TORCH, ("torch",)),
    Example("adapters.py:FUSED", TORCH, ("torch",)),
    Example("adapters.py:SOFT", TORCH, ("torch",)),
)
FAULTY = (
    Example("numpy_kl.py:rel_entr_epsilon", REL_ENTR, (), frozenset({"values/pointwise", "support/tiny-model"})),
    Example("c_kl.py:PACKED", TORCH, ("cc", "torch"), frozenset({"layouts/padded-rows", "layouts/expanded"})),
    Example("triton_kl.py:kl_div_unweighted", TORCH, ("torch", "triton"), frozenset({"gradients/upstream"})),
    Example(
        "triton_kl.py:kl_div_unweighted", TORCH, ("torch", "triton"), frozenset({"gradients/upstream"}), "bfloat16"
    ),
    Example("pallas_kl.py:kl_divergence_whole_blocks", OPTAX, ("jax", "optax"), frozenset({"layouts/odd"})),
)

LIGER, KL_DIV_LOSS = ("liger_kernel", "torch", "triton"), "torch.nn.KLDivLoss"
SHAPES = {"errors/shape-mismatch", "errors/class-mismatch"}
# The findings of README.md: the test fails if there are more or fewer.
RELEASED = (
    Example(
        "liger.py:KL_DIV",
        KL_DIV_LOSS,
        LIGER,
        frozenset(
            SHAPES
            | {"values/pointwise", "values/extreme", "values/from-logits"}
            | {"support/tiny-model", "support/negative-target"}
            | {"signs/pointwise", "signs/self"}
            | {"identities/log-target", "identities/scaling"}
        ),
    ),
    Example("liger.py:FORWARD_KL", KL_DIV_LOSS, LIGER, frozenset(SHAPES | {"gradients/model", "gradients/logits"})),
    Example("liger.py:REVERSE_KL", KL_DIV_LOSS, LIGER, frozenset(SHAPES | {"gradients/target"})),
)


def available(name: str) -> bool:
    """Whether a module of this name can be imported or a program is on the path."""
    return find_spec(name) is not None or shutil.which(name) is not None


def verified(example: Example, where: Path, device: str = "cpu") -> tuple[int, frozenset[str], str]:
    """Return the exit code of `kl-conformance verify`, the ids of failed requirements, and the output."""
    for name in example.needs:
        if not available(name):
            pytest.skip(f"{name} is not installed")
    found = where / "run.jsonl.gz"
    tested = ("--like", example.like, "--dtype", example.dtype, "--device", device)
    options = ("--profile", "quick", "--seed", "1", "-o", str(found))
    done = subprocess.run(
        [sys.executable, "-m", "kl_conformance", "verify", str(HERE / example.kernel), *tested, *options],
        env=os.environ | {"TRITON_INTERPRET": "1" if device == "cpu" else "0", "JAX_PLATFORMS": device},
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, frozenset(failures(read(found))), done.stdout + done.stderr


@pytest.mark.parametrize("example", CORRECT, ids=str)
def test_a_correct_kernel_conforms(example: Example, tmp_path: Path) -> None:
    """No requirement rejects a correct kernel, in any language."""
    code, failed, output = verified(example, tmp_path)
    assert not failed, output
    assert code == 0, output


@pytest.mark.parametrize("example", FAULTY, ids=str)
def test_a_faulty_kernel_fails_the_requirement_of_its_fault(example: Example, tmp_path: Path) -> None:
    """The verdict names the requirement that describes the fault."""
    code, failed, output = verified(example, tmp_path)
    assert code == 1, output
    assert example.detected_by <= failed, output


@pytest.mark.parametrize("example", RELEASED, ids=str)
def test_a_released_kernel_has_the_recorded_findings(example: Example, tmp_path: Path) -> None:
    """Liger-Kernel fails the requirements listed in README.md, and no others."""
    _, failed, output = verified(example, tmp_path)
    assert failed == example.detected_by, output


@pytest.mark.parametrize("example", [each for each in (*CORRECT, *FAULTY) if "triton" in each.needs], ids=str)
def test_the_gpu_agrees_with_the_interpreter(example: Example, tmp_path: Path) -> None:
    """A Triton kernel conforms compiled exactly if it conforms interpreted."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    code, failed, output = verified(example, tmp_path, "cuda")
    assert code == bool(example.detected_by), output
    assert example.detected_by <= failed, output

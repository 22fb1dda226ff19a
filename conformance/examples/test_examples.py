"""Every kernel here is verified as a user would: by the command line, in a process of its own."""

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
TORCH, OPTAX, REL_ENTR = (
    "torch.nn.functional.kl_div",
    "optax.losses.kl_divergence",
    "scipy.special.rel_entr",
)


@dataclass(frozen=True, slots=True)
class Example:
    """A kernel, what it is like, what it needs, and the requirements that must stop it."""

    kernel: str
    like: str
    needs: tuple[str, ...] = ()
    stopped_by: frozenset[str] = frozenset()
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.kernel}-{self.dtype}"


RIGHT = (
    Example("numpy_kl.py:rel_entr", REL_ENTR),
    Example("c_kl.py:RIGHT", TORCH, ("cc", "torch")),
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
WRONG = (
    Example(
        "numpy_kl.py:rel_entr_epsilon", REL_ENTR, (), frozenset({"values/pointwise", "support/tiny-model"})
    ),
    Example("c_kl.py:PACKED", TORCH, ("cc", "torch"), frozenset({"layouts/padded-rows", "layouts/expanded"})),
    Example("triton_kl.py:kl_div_unweighted", TORCH, ("torch", "triton"), frozenset({"gradients/upstream"})),
    Example(
        "triton_kl.py:kl_div_unweighted",
        TORCH,
        ("torch", "triton"),
        frozenset({"gradients/upstream"}),
        "bfloat16",
    ),
    Example("pallas_kl.py:kl_divergence_whole_blocks", OPTAX, ("jax", "optax"), frozenset({"layouts/odd"})),
)

LIGER, KL_DIV_LOSS = ("liger_kernel", "torch", "triton"), "torch.nn.KLDivLoss"
SHAPES = {"errors/shape-mismatch", "errors/class-mismatch"}
# What README.md has as findings: more or less of it is news.
SHIPPED = (
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
    Example(
        "liger.py:FORWARD_KL", KL_DIV_LOSS, LIGER, frozenset(SHAPES | {"gradients/model", "gradients/logits"})
    ),
    Example("liger.py:REVERSE_KL", KL_DIV_LOSS, LIGER, frozenset(SHAPES | {"gradients/target"})),
)


def there(name: str) -> bool:
    """Whether a module can be imported, or a program found."""
    return find_spec(name) is not None or shutil.which(name) is not None


def verified(example: Example, where: Path, device: str = "cpu") -> tuple[int, frozenset[str], str]:
    """Return the exit code of `kl-conformance verify`, the ids of what is broken, and what was printed."""
    for name in example.needs:
        if not there(name):
            pytest.skip(f"{name} is not installed here")
    found = where / "run.jsonl.gz"
    asked = ("--like", example.like, "--dtype", example.dtype, "--device", device)
    chosen = ("--profile", "quick", "--seed", "1", "-o", str(found))
    done = subprocess.run(
        [sys.executable, "-m", "kl_conformance", "verify", str(HERE / example.kernel), *asked, *chosen],
        env=os.environ | {"TRITON_INTERPRET": "1" if device == "cpu" else "0", "JAX_PLATFORMS": device},
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, frozenset(failures(read(found))), done.stdout + done.stderr


@pytest.mark.parametrize("example", RIGHT, ids=str)
def test_a_right_kernel_conforms(example: Example, tmp_path: Path) -> None:
    """Nothing is said against a right kernel, in whichever language it is written."""
    code, stopped_by, said = verified(example, tmp_path)
    assert not stopped_by, said
    assert code == 0, said


@pytest.mark.parametrize("example", WRONG, ids=str)
def test_a_wrong_kernel_is_stopped_by_the_requirement_it_breaks(example: Example, tmp_path: Path) -> None:
    """A fault is named: whoever reads the verdict knows where to look."""
    code, stopped_by, said = verified(example, tmp_path)
    assert code == 1, said
    assert example.stopped_by <= stopped_by, said


@pytest.mark.parametrize("example", SHIPPED, ids=str)
def test_a_shipped_kernel_does_what_is_recorded(example: Example, tmp_path: Path) -> None:
    """Liger-Kernel breaks what README.md says, and nothing else."""
    _, stopped_by, said = verified(example, tmp_path)
    assert stopped_by == example.stopped_by, said


@pytest.mark.parametrize("example", [each for each in (*RIGHT, *WRONG) if "triton" in each.needs], ids=str)
def test_the_gpu_says_what_the_interpreter_says(example: Example, tmp_path: Path) -> None:
    """A Triton kernel that conforms when interpreted conforms when compiled, and a wrong one does not."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    code, stopped_by, said = verified(example, tmp_path, "cuda")
    assert code == bool(example.stopped_by), said
    assert example.stopped_by <= stopped_by, said

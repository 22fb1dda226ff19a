"""The built-in implementations are known by name, without importing any framework."""

import subprocess
import sys
from pathlib import Path

import pytest

from kl_conformance import __version__, processes
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.registry import FRAMEWORKS, IMPLEMENTATIONS
from kl_conformance.requirements import catalogue
from kl_conformance.runs import header as headers
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance_testkit.command import CORRECT, DEFECTIVE
from kl_reference import Dtype, Profile

BUILTINS = [
    "torch.nn.functional.kl_div",
    "torch.nn.KLDivLoss",
    "torch.nn.functional.cross_entropy",
    "torch.nn.CrossEntropyLoss",
    "torch.nn.functional.cross_entropy(label_smoothing)",
    "torch.nn.CrossEntropyLoss(label_smoothing)",
    "torch.distributions.kl_divergence",
    "torch.distributions.kl_divergence(probs)",
    "keras.losses.KLDivergence(torch)",
    "keras.losses.kl_divergence(torch)",
    "keras.metrics.KLDivergence(torch)",
    "torchmetrics.functional.regression.kl_divergence",
    "torchmetrics.functional.regression.kl_divergence(log_prob)",
    "torchmetrics.regression.KLDivergence",
    "tf.nn.softmax_cross_entropy_with_logits",
    "keras.losses.KLDivergence",
    "keras.losses.kl_divergence",
    "keras.metrics.KLDivergence",
    "jax.scipy.special.rel_entr",
    "jax.scipy.special.kl_div",
    "keras.losses.KLDivergence(jax)",
    "keras.losses.kl_divergence(jax)",
    "keras.metrics.KLDivergence(jax)",
    "numpyro.distributions.kl_divergence",
    "optax.losses.kl_divergence",
    "optax.losses.kl_divergence_with_log_targets",
    "optax.losses.generalized_kl_divergence",
    "scipy.special.rel_entr",
    "scipy.special.kl_div",
    "scipy.stats.entropy",
    "paddle.nn.functional.kl_div",
    "paddle.nn.KLDivLoss",
    "tfp.substrates.jax.distributions.kl_divergence",
    "tfp.substrates.jax.distributions.kl_divergence(probs)",
    "mlx.nn.losses.kl_div_loss",
    "tinygrad.Tensor.cross_entropy",
]


def test_every_built_in_implementation_is_known() -> None:
    """Thirty-six implementations of eight frameworks are known by name, each with the page that documents it."""
    assert list(IMPLEMENTATIONS) == BUILTINS
    for each in IMPLEMENTATIONS.values():
        assert each.framework in FRAMEWORKS
        assert each.documentation.startswith("https://")
        assert each.dtypes


def test_planning_imports_no_framework() -> None:
    """Planning a run of all frameworks imports none of them."""
    code = (
        "import sys; from kl_conformance.runs.header import header; from kl_conformance.runs.plan import *\n"
        "header(Selection(), resolve(Selection()).cells)\n"
        "print(sorted({'torch', 'tensorflow', 'keras', 'jax', 'optax'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=processes.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_user_s_file_contains_implementations() -> None:
    """``file.py:attribute`` names an Implementation; two attributes of one file are loaded from one module."""
    one, other = (loading.implementation(name) for name in (CORRECT, DEFECTIVE))
    assert (one.name, other.name) == ("correct_kl", "defective_kl")
    assert sys.modules[one.call.__module__] is sys.modules[other.call.__module__]


def test_a_user_s_file_hides_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel may be in a file with the name of a framework, in a folder of files that it imports."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour_of_torch.py").write_text("NAME = 'mine'\n", encoding="utf-8")
    (tmp_path / "torch.py").write_text(
        "from neighbour_of_torch import NAME\n"
        "from kl_conformance.implementations.implementation import Implementation\n"
        "from kl_reference import Convention\n"
        "OWN = Implementation(name=NAME, framework='torch', package='torch', convention=Convention(), call=print)\n",
        encoding="utf-8",
    )
    assert loading.implementation(f"{tmp_path / 'torch.py'}:OWN").name == "mine"
    assert "torch" not in sys.modules
    assert sys.path[-1] == str(tmp_path)  # last: it hides nothing either


def test_a_user_s_profile_is_a_function_of_a_dtype(tmp_path: Path) -> None:
    """An implementation with its own arithmetic declares a function such as ``Profile.fast``, not a profile."""
    lines = (
        "from kl_conformance.implementations.implementation import Implementation",
        "from kl_reference import Convention, Dtype, Profile",
        "options = {'framework': 'numpy', 'package': 'numpy', 'convention': Convention(), 'call': print}",
        "RIGHT = Implementation(name='right', profile=Profile.fast, **options)",
        "WRONG = Implementation(name='wrong', profile=Profile.fast(Dtype.FLOAT32), **options)",
    )
    (tmp_path / "profiled.py").write_text("\n".join(lines), encoding="utf-8")
    declared = loading.implementation(f"{tmp_path / 'profiled.py'}:RIGHT").profile
    assert declared is not None
    assert declared(Dtype.FLOAT32) == Profile.fast(Dtype.FLOAT32)
    with pytest.raises(ValueError, match="not a function of a dtype"):
        loading.implementation(f"{tmp_path / 'profiled.py'}:WRONG")


def test_a_module_contains_implementations() -> None:
    """``module:attribute`` names an Implementation, too."""
    name = f"{registry.BUILTIN}.scipy:IMPLEMENTATIONS"
    with pytest.raises(ValueError, match="is of type tuple, not"):
        loading.implementation(name)


def test_an_installed_version_is_found_under_either_name() -> None:
    """A distribution that is not installed has the version "absent"."""
    assert registry.installed_version("numpy") != "absent"
    assert registry.installed_version("no-such-distribution") == "absent"


def test_all_requirements_meet_all_columns() -> None:
    """A plan has every requirement × eager column once, and a chapter's cells are those of its requirements."""
    plan = resolve(Selection())
    everything = plan.cells
    columns = [one for each in IMPLEMENTATIONS.values() for one in columns_of(each) if one.mode == "eager"]
    assert len(everything) == len(columns) * len(catalogue.REQUIREMENTS)
    assert len({each.key for each in everything}) == len(everything)
    by_chapter = [each.key for chapter in catalogue.CHAPTERS for each in plan.chapter(chapter)]
    assert sorted(by_chapter) == sorted(each.key for each in everything)


@pytest.mark.parametrize(
    ("selection", "columns"),
    [
        (Selection(frameworks=("scipy",)), 6),
        (Selection(frameworks=("scipy",), dtypes=("float32",)), 3),
        (Selection(implementations=("scipy.stats.entropy",), dtypes=("float16",)), 0),
        (Selection(implementations=("scipy.stats.entropy", "scipy.stats.entropy")), 2),
        (Selection(implementations=("scipy.stats.entropy", "torch.nn.KLDivLoss"), frameworks=("torch",)), 8),
        (Selection(frameworks=("torch",), devices=("cuda",), modes=("eager",)), 45),
        (Selection(implementations=(CORRECT, DEFECTIVE), dtypes=("float64",)), 2),
        (Selection(frameworks=("jax",), devices=("cpu",), modes=("jit",)), 30),
        (Selection(implementations=("keras.losses.kl_divergence",), modes=("eager", "graph", "xla")), 24),
        (Selection(implementations=("keras.metrics.KLDivergence",), modes=("graph",)), 0),
    ],
    ids=range(10),
)
def test_a_selection_is_the_intersection_of_its_filters(selection: Selection, columns: int) -> None:
    """A column is selected when every given filter allows it; an empty filter allows all."""
    assert len(resolve(selection).columns) == columns


def test_a_header_describes_the_plan() -> None:
    """A header has sentences, conventions, columns and versions as plain data."""
    selection = Selection(frameworks=("scipy",), dtypes=("float32",), seed=7)
    cells = resolve(selection).cells
    header = headers.header(selection, cells)
    assert header.suite == __version__
    assert (header.profile, header.seed) == ("standard", 7)
    assert header.planned == tuple(each.key for each in cells)
    assert header.requirements.keys() == catalogue.REQUIREMENTS.keys()
    for name, entry in header.requirements.items():
        assert entry["sentence"] == catalogue.REQUIREMENTS[name].sentence
        assert entry["revision"] == catalogue.REQUIREMENTS[name].revision
    entropy = header.implementations["scipy.stats.entropy"]
    assert entropy["argument order"] == "target, model"
    assert entropy["normalisation"] == "divides by the sum over classes"
    assert {"python", "platform", "processor", "numpy", "scipy"} <= header.shared.keys()
    assert all(key == column.key for key, column in header.columns.items())

"""PyTorch kl_div, cross_entropy and torch.distributions KL."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.torch import REDUCTION_WARNING, ignore_warning
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import (
    CROSS_ENTROPY,
    KL_DIV,
    Implementation,
    Mixing,
    Spelling,
    of_rows,
)
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype

DOCS = "https://docs.pytorch.org/docs/stable/"
SMOOTHING = 0.1


def _functional(modules: Any, call: Call) -> Any:
    with _without_warning(modules.torch, call):
        kl_div = modules.torch.nn.functional.kl_div
        return kl_div(*call.arguments, log_target=call.log_target, **call.keywords)


def _module(modules: Any, call: Call) -> Any:
    with _without_warning(modules.torch, call):
        loss = modules.torch.nn.KLDivLoss(log_target=call.log_target, **call.keywords)
        return loss(*call.arguments)


def _without_warning(torch: Any, call: Call) -> AbstractContextManager[None]:
    """Suppress torch's warning about "mean"; not while compiling, which cannot trace a warning filter."""
    if call.reduction not in {None, "mean"}:
        return nullcontext()
    compiling = getattr(getattr(torch, "compiler", None), "is_compiling", None)
    return nullcontext() if compiling is not None and compiling() else ignore_warning(REDUCTION_WARNING)


def _cross_entropy(modules: Any, call: Call) -> Any:
    keywords, arguments = _second_axis(modules.torch, call)
    return modules.torch.nn.functional.cross_entropy(*arguments, **keywords)


def _cross_entropy_module(modules: Any, call: Call) -> Any:
    keywords, arguments = _second_axis(modules.torch, call)
    return modules.torch.nn.CrossEntropyLoss(**keywords)(*arguments)


def _second_axis(torch: Any, call: Call) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return the keywords and the two tensors, with the class axis moved to axis 1 as cross_entropy expects."""
    keywords = call.keywords
    axis = keywords.pop("axis", None)
    if axis is None:
        return keywords, call.arguments
    return keywords, tuple(torch.movedim(each, axis, 1) for each in call.arguments)


def _data_as_arguments(modules: Any, call: Call) -> Any:
    return modules.torch.nn.KLDivLoss(call.model, call.target)


def _tensor_as_axis(modules: Any, call: Call) -> Any:
    nn = modules.torch.nn
    return nn.KLDivLoss()(nn.LogSoftmax(call.model), call.target)


def _attribute_as_input(modules: Any, call: Call) -> Any:
    nn = modules.torch.nn
    return nn.KLDivLoss()(nn.LogSoftmax(dim=1).dim, call.target)


def _categorical(modules: Any, call: Call, given: str) -> Any:
    distributions = modules.torch.distributions
    return distributions.kl_divergence(*(distributions.Categorical(**{given: x}) for x in call.arguments))


# Each of the two overrides `reduction`, and reduce=False overrides size_average.
LEGACY = (
    Spelling({"size_average": True}, Reduction.MEAN),
    Spelling({"size_average": False}, Reduction.SUM),
    Spelling({"reduce": True}, Reduction.MEAN),
    Spelling({"reduce": False}, Reduction.TERMS),
    Spelling({"size_average": True, "reduce": False}, Reduction.TERMS),
    Spelling({"size_average": False, "reduce": True}, Reduction.SUM),
    Spelling({"size_average": True, "reduction": "none"}, Reduction.MEAN),
    Spelling({"size_average": False, "reduction": "batchmean"}, Reduction.SUM),
)

_OF_ROWS = {Reduction.TERMS: Reduction.ROWS, Reduction.SUM: Reduction.SUM, Reduction.MEAN: Reduction.ROWMEAN}
LEGACY_ROWS = tuple(
    Spelling(each.options, _OF_ROWS[each.reduction]) for each in LEGACY if each.options.get("reduction") != "batchmean"
)

CATEGORICAL_UNSUPPORTED = {
    # https://docs.pytorch.org/docs/stable/func.ux_limitations.html
    **dict.fromkeys(
        (Transform.BATCHED, Transform.PER_ROW),
        "torch.distributions assigns through a boolean mask, which torch.func.vmap is documented not to batch",
    ),
    Transform.AUTOCAST: "torch.distributions is made of operations that torch.autocast does not list",
}

_KL_DIV = Implementation(
    name="torch.nn.functional.kl_div",
    framework="torch",
    package="torch",
    convention=KL_DIV,
    call=_functional,
    transforms=frozenset(Transform),
    documentation=DOCS + "generated/torch.nn.functional.kl_div.html",
    compares_distributions=False,
    legacy=LEGACY,
    mixing=Mixing.WIDER,
)
_CROSS_ENTROPY = Implementation(
    name="torch.nn.functional.cross_entropy",
    framework="torch",
    package="torch",
    convention=CROSS_ENTROPY,
    call=_cross_entropy,
    transforms=frozenset(Transform),
    documentation=DOCS + "generated/torch.nn.functional.cross_entropy.html",
    broadcasts=False,
    needs_distributions=True,
    legacy=LEGACY_ROWS,
)
_CROSS_ENTROPY_MODULE = replace(
    _CROSS_ENTROPY,
    name="torch.nn.CrossEntropyLoss",
    call=_cross_entropy_module,
    documentation=DOCS + "generated/torch.nn.CrossEntropyLoss.html",
)
_CATEGORICAL = Implementation(
    name="torch.distributions.kl_divergence",
    framework="torch",
    package="torch",
    convention=of_rows(Space.LOGITS),
    call=partial(_categorical, given="logits"),
    transforms=frozenset(Transform),
    documentation=DOCS + "distributions.html#torch.distributions.kl.kl_divergence",
    unsupported_transforms=CATEGORICAL_UNSUPPORTED,
)


def _with_smoothing(own: Implementation) -> Implementation:
    def call(modules: Any, call: Call) -> Any:
        return own.call(modules, replace(call, options={**call.options, "label_smoothing": SMOOTHING}))

    name = f"{own.name}(label_smoothing)"
    return replace(own, name=name, convention=replace(own.convention, smoothing=SMOOTHING), call=call)


IMPLEMENTATIONS = (
    _KL_DIV,
    replace(
        _KL_DIV,
        name="torch.nn.KLDivLoss",
        call=_module,
        documentation=DOCS + "generated/torch.nn.KLDivLoss.html",
        mistakes={
            "KLDivLoss(DATA1, DATA2)": _data_as_arguments,
            "LogSoftmax(x) for its answer": _tensor_as_axis,
            "LogSoftmax(dim=1).dim for its answer": _attribute_as_input,
        },
    ),
    _CROSS_ENTROPY,
    _CROSS_ENTROPY_MODULE,
    _with_smoothing(_CROSS_ENTROPY),
    _with_smoothing(_CROSS_ENTROPY_MODULE),
    _CATEGORICAL,
    replace(
        _CATEGORICAL,
        name="torch.distributions.kl_divergence(probs)",
        convention=of_rows(Space.PROBABILITY, normalise=True),
        call=partial(_categorical, given="probs"),
        documentation=DOCS + "distributions.html#torch.distributions.categorical.Categorical",
        # In 16 bits its check that a row sums to 1 within 1e-6 rejects most of the rows that it has normalised.
        dtypes=(Dtype.FLOAT64, Dtype.FLOAT32),
        needs_distributions=True,
    ),
)

"""PyTorch: kl_div and cross_entropy as function and module, and the divergence of two Categorical distributions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.torch import REDUCTION_WARNING, ignore_warning
from kl_conformance.implementation import Call, Implementation, Mixing, Spelling
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype

DOCS = "https://docs.pytorch.org/docs/stable/"
SMOOTHING = 0.1


def _functional(modules: Any, call: Call) -> Any:
    with _unadvised(modules.torch, call):
        return modules.torch.nn.functional.kl_div(
            *call.arguments, log_target=call.log_target, **call.keywords
        )


def _module(modules: Any, call: Call) -> Any:
    with _unadvised(modules.torch, call):
        loss = modules.torch.nn.KLDivLoss(log_target=call.log_target, **call.keywords)
        return loss(*call.arguments)


def _unadvised(torch: Any, call: Call) -> AbstractContextManager[None]:
    """Silence torch's advice, where it is due; while a call is compiled, filters of warnings cannot be traced."""
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
    """Lead the class axis to where cross_entropy has it, and return its keywords and the two tensors."""
    keywords = call.keywords
    axis = keywords.pop("axis", None)
    if axis is None:
        return keywords, call.arguments
    return keywords, tuple(torch.movedim(each, axis, 1) for each in call.arguments)


def _smoothed(call: Call) -> Call:
    return replace(call, options={**call.options, "label_smoothing": SMOOTHING})


def _data_as_arguments(modules: Any, call: Call) -> Any:
    return modules.torch.nn.KLDivLoss(call.model, call.target)


def _tensor_as_axis(modules: Any, call: Call) -> Any:
    nn = modules.torch.nn
    return nn.KLDivLoss()(nn.LogSoftmax(call.model), call.target)


def _attribute_as_input(modules: Any, call: Call) -> Any:
    nn = modules.torch.nn
    return nn.KLDivLoss()(nn.LogSoftmax(dim=1).dim, call.target)


def _categorical(modules: Any, call: Call) -> Any:
    distributions = modules.torch.distributions
    return distributions.kl_divergence(*(distributions.Categorical(logits=each) for each in call.arguments))


def _categorical_probs(modules: Any, call: Call) -> Any:
    distributions = modules.torch.distributions
    return distributions.kl_divergence(*(distributions.Categorical(probs=each) for each in call.arguments))


POINTWISE = Convention(
    target=(Space.PROBABILITY, Space.LOG),
    model=(Space.LOG,),
    reductions={
        "none": Reduction.TERMS,
        "sum": Reduction.SUM,
        "mean": Reduction.MEAN,
        "batchmean": Reduction.BATCHMEAN,
    },
    default="mean",
)

# Either of the two overrides `reduction`, and reduce=False makes size_average nothing.
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

CROSS_ENTROPY = Convention(
    formula=Formula.CROSS_ENTROPY,
    target=(Space.PROBABILITY,),
    model=(Space.LOGITS,),
    reductions={"none": Reduction.ROWS, "sum": Reduction.SUM, "mean": Reduction.ROWMEAN},
    default="mean",
    axis=1,
)

_OF_ROWS = {Reduction.TERMS: Reduction.ROWS, Reduction.SUM: Reduction.SUM, Reduction.MEAN: Reduction.ROWMEAN}
LEGACY_ROWS = tuple(
    Spelling(each.options, _OF_ROWS[each.reduction])
    for each in LEGACY
    if each.options.get("reduction") != "batchmean"
)

CATEGORICAL_LACKS = {
    # https://docs.pytorch.org/docs/stable/func.ux_limitations.html
    **dict.fromkeys(
        (Transform.BATCHED, Transform.PER_ROW),
        "writes through a mask of values, which torch.func.vmap is documented not to batch",
    ),
    Transform.AUTOCAST: "is made of operations that torch.autocast does not list",
}

IMPLEMENTATIONS = (
    Implementation(
        name="torch.nn.functional.kl_div",
        framework="torch",
        package="torch",
        convention=POINTWISE,
        call=_functional,
        transforms=frozenset(Transform),
        documentation=DOCS + "generated/torch.nn.functional.kl_div.html",
        compares_distributions=False,
        legacy=LEGACY,
        mixing=Mixing.WIDER,
    ),
    Implementation(
        name="torch.nn.KLDivLoss",
        framework="torch",
        package="torch",
        convention=POINTWISE,
        call=_module,
        transforms=frozenset(Transform),
        documentation=DOCS + "generated/torch.nn.KLDivLoss.html",
        compares_distributions=False,
        legacy=LEGACY,
        mixing=Mixing.WIDER,
        mistakes={
            "KLDivLoss(DATA1, DATA2)": _data_as_arguments,
            "LogSoftmax(x) for its answer": _tensor_as_axis,
            "LogSoftmax(dim=1).dim for its answer": _attribute_as_input,
        },
    ),
    Implementation(
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
    ),
    Implementation(
        name="torch.nn.CrossEntropyLoss",
        framework="torch",
        package="torch",
        convention=CROSS_ENTROPY,
        call=_cross_entropy_module,
        transforms=frozenset(Transform),
        documentation=DOCS + "generated/torch.nn.CrossEntropyLoss.html",
        broadcasts=False,
        needs_distributions=True,
        legacy=LEGACY_ROWS,
    ),
    Implementation(
        name="torch.nn.functional.cross_entropy(label_smoothing)",
        framework="torch",
        package="torch",
        convention=replace(CROSS_ENTROPY, smoothing=SMOOTHING),
        call=lambda modules, call: _cross_entropy(modules, _smoothed(call)),
        transforms=frozenset(Transform),
        documentation=DOCS + "generated/torch.nn.functional.cross_entropy.html",
        broadcasts=False,
        needs_distributions=True,
        legacy=LEGACY_ROWS,
    ),
    Implementation(
        name="torch.nn.CrossEntropyLoss(label_smoothing)",
        framework="torch",
        package="torch",
        convention=replace(CROSS_ENTROPY, smoothing=SMOOTHING),
        call=lambda modules, call: _cross_entropy_module(modules, _smoothed(call)),
        transforms=frozenset(Transform),
        documentation=DOCS + "generated/torch.nn.CrossEntropyLoss.html",
        broadcasts=False,
        needs_distributions=True,
        legacy=LEGACY_ROWS,
    ),
    Implementation(
        name="torch.distributions.kl_divergence",
        framework="torch",
        package="torch",
        convention=Convention(
            target=(Space.LOGITS,),
            model=(Space.LOGITS,),
            reductions={"none": Reduction.ROWS},
            axis=-1,
            order=(Side.TARGET, Side.MODEL),
        ),
        call=_categorical,
        transforms=frozenset(Transform),
        documentation=DOCS + "distributions.html#torch.distributions.kl.kl_divergence",
        unsupported_transforms=CATEGORICAL_LACKS,
    ),
    Implementation(
        name="torch.distributions.kl_divergence(probs)",
        framework="torch",
        package="torch",
        convention=Convention(
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
            reductions={"none": Reduction.ROWS},
            axis=-1,
            order=(Side.TARGET, Side.MODEL),
            normalise=True,
        ),
        call=_categorical_probs,
        transforms=frozenset(Transform),
        documentation=DOCS + "distributions.html#torch.distributions.categorical.Categorical",
        # In 16 bits its own check, that a row adds up to 1 within 1e-6, refuses most of the rows it has normalised.
        dtypes=(Dtype.FLOAT64, Dtype.FLOAT32),
        needs_distributions=True,
        unsupported_transforms=CATEGORICAL_LACKS,
    ),
)

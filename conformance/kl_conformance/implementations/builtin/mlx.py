"""mlx.nn KL loss."""

from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation
from kl_reference.convention import Convention, Reduction, Space

IMPLEMENTATIONS = (
    Implementation(
        name="mlx.nn.losses.kl_div_loss",
        framework="mlx",
        package="mlx",
        convention=Convention(
            target=(Space.LOG,),
            model=(Space.LOG,),
            reductions={"none": Reduction.ROWS, "mean": Reduction.ROWMEAN, "sum": Reduction.SUM},
            axis=-1,
        ),
        call=lambda modules, call: modules.nn.losses.kl_div_loss(*call.arguments, **call.keywords),
        transforms=frozenset(Transform),
        documentation="https://ml-explore.github.io/mlx/build/html/python/nn/_autosummary_functions/mlx.nn.losses.kl_div_loss.html",
        broadcasts=False,
    ),
)

"""Operators of networks: what the array multiplies, and what the vector unit is left with.

An operation of the vector unit is one multiplication and addition, or one comparison, on a lane.
What a function takes is counted for evaluations in integers, as quantised networks have them:
exponentials as a shift and a polynomial of second degree, the error function as one such polynomial
with its sign, divisions and square roots as Newton steps (Kim et al., I-BERT: Integer-only BERT
Quantization, ICML 2021, sections 3.4 to 3.6). How many operations that comes to depends on the
vector unit, so the counts are assumed.
"""

from __future__ import annotations

from typing import NamedTuple

CONVOLUTION, TRANSPOSED, MATMUL = "conv", "transposed_conv", "matmul"
ON_ARRAY = (CONVOLUTION, TRANSPOSED, MATMUL)
"""Operators whose work is multiplications of the array. A linear layer is a 1x1 convolution."""

EXPONENTIAL, RECIPROCAL, SQUARE_ROOT = 4, 4, 8
"""Operations: reduce the argument, two steps of Horner's rule, shift back; two Newton steps of two
operations; four of them."""

ACTIVATIONS: dict[str, int] = {
    "relu": 0,
    "relu6": 0,
    "leaky_relu": 1,
    "hard_sigmoid": 2,
    "hard_swish": 3,
    "gelu": 5,
    "elu": EXPONENTIAL + 1,
    "sigmoid": EXPONENTIAL + 1 + RECIPROCAL,
    "tanh": EXPONENTIAL + 2 + RECIPROCAL,
    "silu": EXPONENTIAL + 2 + RECIPROCAL,
}
"""Operations of an activation function for one element. Where rounding clips anyway, at 0 or at the
largest value, there are none."""


class VectorOperator(NamedTuple):
    """What the vector unit does for an operator.

    Its operations are `per_output` for each output, `per_element` for each element under the window
    of an output, `per_operand` for each output and further operand, and `per_row` once for each row
    of elements that are worked on together, which the unit reads `reads` times. An element that is
    only moved takes a lane for a cycle, as an operation does.
    """

    title: str
    per_output: int = 0
    per_element: int = 0
    per_operand: int = 0
    per_row: int = 0
    reads: int = 1


VECTOR_OPERATORS: dict[str, VectorOperator] = {
    "sum": VectorOperator("sum of tensors, element by element", per_operand=1),
    "product": VectorOperator("product of tensors, element by element", per_operand=1),
    "copy": VectorOperator(
        "tensors moved to where their reader finds them side by side", per_output=1
    ),
    "embedding": VectorOperator("rows looked up in a table", per_output=1),
    "max_pool": VectorOperator("largest element of each window", per_element=1),
    "avg_pool": VectorOperator("mean of each window", per_output=1, per_element=1),
    "nearest": VectorOperator("upsampling by the nearest element", per_output=1),
    "bilinear": VectorOperator("upsampling between four elements", per_output=4),
    "batch_norm": VectorOperator("scale and shift of each channel", per_output=1),
    "layer_norm": VectorOperator(
        "normalised by mean and variance of the row",
        per_output=4,
        per_row=2 * RECIPROCAL + SQUARE_ROOT,
        reads=2,
    ),
    "rms_norm": VectorOperator(
        "normalised by the root of the mean square of the row",
        per_output=3,
        per_row=2 * RECIPROCAL + SQUARE_ROOT,
        reads=2,
    ),
    "softmax": VectorOperator(
        "exponentials over their sum along the row",
        per_output=1 + 1 + EXPONENTIAL + 1 + 1,  # largest, difference, exponential, sum, product
        per_row=RECIPROCAL,
        reads=3,
    ),
    "exponential": VectorOperator("e to the power of each element", per_output=EXPONENTIAL),
    "reciprocal": VectorOperator("one over each element", per_output=RECIPROCAL),
    "square_root": VectorOperator("square root of each element", per_output=SQUARE_ROOT),
    **{
        name: VectorOperator(f"{name}, element by element", per_output=max(1, operations))
        for name, operations in ACTIVATIONS.items()
    },
}
"""Operators of the vector unit by name. A function that follows a layer of the array and is its
only reader costs less as `Layer.activation`: it is evaluated as the outputs leave."""

TAKES_OTHERS = ("sum", "product")
"""Operators that read further tensors, element by element."""
UPSAMPLING = ("nearest", "bilinear")
BY_ROW = ("layer_norm", "rms_norm", "softmax")
"""Operators that need a whole row before they can make its first output."""
OPERATORS = (*ON_ARRAY, *VECTOR_OPERATORS)

"""Numba's missing type: 16 numbers that are computed on at once.

Loops of the kernels here are written on `Lanes`, so that how they are vectorised is said and not
left to a compiler's guess. LLVM cuts a value of this type into what the processor has: one AVX-512
register, two of AVX, four of NEON.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils
from numba.extending import models, overload, register_model

from dfs_hw.networks.compiled_blocks.kernels.layout import WIDTH

jit = njit(error_model="numpy", nogil=True, cache=True)
intrinsic: Any = extending.intrinsic  # whose type would have callers give the first argument too

VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
ZERO = ir.Constant(VECTOR, [0.0] * WIDTH)
FIRST = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
INDEX = types.intp

Emit = Callable[..., Any]
"""Function that takes an IR builder and operands to the result."""


class LanesType(types.Type):
    """Type of 16 float32 in one register."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


def address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Address of element number `index` of a contiguous array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def read(builder: Any, where: Any) -> Any:
    """Value in lanes of 16 numbers in memory, which need not be aligned."""
    value = builder.load(builder.bitcast(where, VECTOR.as_pointer()))
    value.align = 4
    return value


def write(builder: Any, value: Any, where: Any) -> None:
    """Store lanes to memory, which need not be aligned."""
    builder.store(value, builder.bitcast(where, VECTOR.as_pointer())).align = 4


def spread(builder: Any, number: Any) -> Any:
    """Lanes that all hold one number."""
    one = builder.insert_element(ZERO, number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, FIRST)


def instruction(name: str, operands: int) -> Emit:
    """One of LLVM's own functions."""

    def emit(builder: Any, *values: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR] * operands)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH}f32")
        return builder.call(function, values)

    return emit


multiply_add = instruction("fma", 3)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The 16 numbers of a contiguous float32 array from `index` on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return read(builder, address(context, builder, signature.args[0], *args))

    return lanes(array, INDEX), emit


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write 16 numbers into a contiguous float32 array from `index` on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write(builder, args[2], address(context, builder, signature.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(array, INDEX, lanes), emit


@intrinsic
def splat(typing: Any, number: Any) -> Any:
    """A number in every lane."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return spread(builder, context.cast(builder, args[0], signature.args[0], types.float32))

    return lanes(number), emit


def _pure(operands: int, how: Emit) -> Any:
    """An operation on lanes."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return how(builder, *args)

    # Numba reads the number of arguments off the function.
    if operands == 1:
        return intrinsic(lambda typing, a: (lanes(lanes), emit))
    if operands == 2:
        return intrinsic(lambda typing, a, b: (lanes(lanes, lanes), emit))
    return intrinsic(lambda typing, a, b, c: (lanes(lanes, lanes, lanes), emit))


def _first_where(relation: str) -> Emit:
    """The first operand where it is so related to the second; one instruction on most machines."""
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(relation, a, b), a, b)


def _kept(builder: Any, sign: Any, value: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<=", sign, ZERO), ZERO, value)


nearest = _pure(1, instruction("rint", 1))
larger, smaller = _pure(2, _first_where(">")), _pure(2, _first_where("<"))
"""Larger and smaller of two; the second if one is NaN, so that a NaN there is passed on."""
fma = _pure(3, multiply_add)
"""``a * b + c``, rounded once."""
where_positive = _pure(2, _kept)
"""The second operand unless the first is 0 or less; then 0."""


def _operator(symbol: Any, how: Emit) -> None:
    apply = _pure(2, how)
    # Unnamed functions, for numba compares annotations too.
    overload(symbol)(lambda a, b: (lambda a, b: apply(a, b)) if a is lanes and b is lanes else None)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))


@jit
def load_four(array: np.ndarray, first: int, step: int) -> Any:
    """Four vectors at equal distances, in lanes."""
    return (
        load(array, first),
        load(array, first + step),
        load(array, first + 2 * step),
        load(array, first + 3 * step),
    )


@jit
def load_six(array: np.ndarray, first: int, step: int) -> Any:
    """Six vectors at equal distances, in lanes."""
    return (
        load(array, first),
        load(array, first + step),
        load(array, first + 2 * step),
        load(array, first + 3 * step),
        load(array, first + 4 * step),
        load(array, first + 5 * step),
    )


@jit
def store_four(array: np.ndarray, first: int, step: int, values: Any) -> None:
    """Store four vectors at equal distances."""
    store(array, first, values[0])
    store(array, first + step, values[1])
    store(array, first + 2 * step, values[2])
    store(array, first + 3 * step, values[3])


@jit
def store_six(array: np.ndarray, first: int, step: int, values: Any) -> None:
    """Store six vectors at equal distances."""
    store(array, first, values[0])
    store(array, first + step, values[1])
    store(array, first + 2 * step, values[2])
    store(array, first + 3 * step, values[3])
    store(array, first + 4 * step, values[4])
    store(array, first + 5 * step, values[5])


def small_product(rows: int, vectors: int, *, adds: bool) -> Any:
    """A matrix product whose result is held in registers: ``c = a b``, or ``c += a b``.

    The function takes ``(a, a0, a_row, a_step, b, b0, b_step, c, c0, c_row, depth)``: contiguous
    arrays, where each matrix starts in them, and how far it is from one row of the result, or from
    one term of its sums, to the next.

    Args:
        rows: of the result.
        vectors: of `WIDTH` columns each.
        adds: to what is there.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a0, a_row, a_step, b, b0, b_step, c, c0, c_row, depth = args
        i64 = ir.IntType(64)
        first_a = address(context, builder, signature.args[0], a, a0)
        first_b = address(context, builder, signature.args[4], b, b0)
        first_c = address(context, builder, signature.args[7], c, c0)
        # Where each vector of the result lies is worked out once, before the sums.
        at = {
            (row, vector): builder.gep(
                first_c, [builder.add(builder.mul(c_row, i64(row)), i64(WIDTH * vector))]
            )
            for row in range(rows)
            for vector in range(vectors)
        }
        # Stack slots, which LLVM turns into registers: there are at most as many as it has.
        sums = {place: cgutils.alloca_once(builder, VECTOR) for place in at}
        for place, where in at.items():
            builder.store(read(builder, where) if adds else ZERO, sums[place])
        # Term by term: a column of a against a row of b, each number loaded once for the whole
        # result.
        with cgutils.for_range(builder, depth) as loop:
            row_of_b = builder.gep(first_b, [builder.mul(loop.index, b_step)])
            column_of_a = builder.gep(first_a, [builder.mul(loop.index, a_step)])
            right = [read(builder, builder.gep(row_of_b, [i64(WIDTH * v)])) for v in range(vectors)]
            for row in range(rows):
                left = builder.load(builder.gep(column_of_a, [builder.mul(a_row, i64(row))]))
                for vector in range(vectors):
                    total = sums[row, vector]
                    term = multiply_add(
                        builder, spread(builder, left), right[vector], builder.load(total)
                    )
                    builder.store(term, total)
        for place, where in at.items():
            write(builder, builder.load(sums[place]), where)
        return context.get_dummy_value()

    @intrinsic
    def product(
        typing: Any,
        a: Any,
        a0: Any,
        a_row: Any,
        a_step: Any,
        b: Any,
        b0: Any,
        b_step: Any,
        c: Any,
        c0: Any,
        c_row: Any,
        depth: Any,
    ) -> Any:
        i = INDEX
        return types.void(a, i, i, i, b, i, i, c, i, i, i), emit

    return product

"""The type `Lanes`: vectors of a few numbers, one per hidden unit, for the compiled loop.

The arithmetic of each gate is written once (in `gates`) and works on numbers and on `Lanes`. Here
`Lanes` become LLVM's vectors, so that the order of the arithmetic does not depend on how a compiler
vectorises a loop. All arrays are one-dimensional and contiguous. The caller must make sure that
every index lies inside its array.

For float32, tanh is a rational function (degree 13 over degree 6, as in Eigen and XLA), correct to
about 4 units in the last place. For float64, which exists for comparisons, it is the tanh of the C
library, lane by lane.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

COUNT = {"float32": 8, "float64": 4}  # lanes per vector of 32 bytes
_TOP = 7.90531110763549805  # beyond this, tanh is 1 in float32
_OVER = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_UNDER = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
_LONG = ir.IntType(64)


class Lanes(types.Type):
    """The Numba type of a vector of COUNT[dtype] numbers."""

    def __init__(self, dtype: types.Float):
        self.dtype, self.count = dtype, COUNT[dtype.name]
        super().__init__(name=f"Lanes({dtype}, {self.count})")


def vector(kind: Lanes) -> ir.VectorType:
    """Return the LLVM type of `Lanes`."""
    number = ir.FloatType() if kind.dtype.name == "float32" else ir.DoubleType()
    return ir.VectorType(number, kind.count)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes):
        super().__init__(manager, kind, vector(kind))


# --- arithmetic between two Lanes, or between Lanes and a number repeated in every lane ---------


class _Binary(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature of an operator on two operands, at least one of which is Lanes.

        The other may be a number. Returns None for any other operands.
        """
        found = [one for one in args if isinstance(one, Lanes)]
        if len(args) == 2 and found and all(isinstance(one, Lanes | types.Float) for one in args):
            sides = [one if isinstance(one, Lanes) else found[0].dtype for one in args]
            return signature(found[0], *sides)
        return None


def _arithmetic(symbol: Any, instruction: str) -> None:
    register: Any = infer_global(symbol)
    register(type(f"_{instruction}", (_Binary,), {}))

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sides = [_filled(builder, sig.return_type, value) for value in args]
        return getattr(builder, instruction)(*sides, flags=("contract",))

    for left, right in ((Lanes, Lanes), (types.Float, Lanes), (Lanes, types.Float)):
        lower_builtin(symbol, left, right)(lower)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


def _filled(builder: Any, kind: Lanes, value: Any) -> Any:
    """Return `value` as Lanes: a number is repeated in every lane, and Lanes are left unchanged."""
    shape = vector(kind)
    if value.type == shape:
        return value
    one = builder.insert_element(ir.Constant(shape, ir.Undefined), value, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, ir.Constant(shape, ir.Undefined), mask)


def _number(kind: Lanes, value: float) -> ir.Constant:
    return ir.Constant(vector(kind), [value] * kind.count)


# --- functions of one or two Lanes --------------------------------------------------------------


def _function(arguments: int) -> Callable:
    """Return a decorator that turns a function into an intrinsic of Numba that works on Lanes.

    The intrinsic takes one or two Lanes, as `arguments` (1 or 2) says. The decorated function
    writes its LLVM code. It is called with LLVM's builder, the type of the Lanes, and the LLVM
    value of each argument.
    """

    def decorate(build: Callable) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return build(builder, sig.return_type, *args)

        def of_one(typingctx: Any, z: Any) -> Any:
            return (z(z), lower) if isinstance(z, Lanes) else None

        def of_two(typingctx: Any, z: Any, w: Any) -> Any:
            return (z(z, w), lower) if isinstance(z, Lanes) and z == w else None

        typed = of_one if arguments == 1 else of_two
        typed.__name__, typed.__doc__ = build.__name__, build.__doc__
        return intrinsic(typed)

    return decorate


@_function(1)
def zero_of(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return Lanes of zeros."""
    return _number(kind, 0.0)


@_function(1)
def rectified(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return max(0, z) in every lane. A NaN stays a NaN."""
    zero = _number(kind, 0.0)
    return builder.select(builder.fcmp_ordered("<", z, zero), zero, z)


@_function(2)
def where_positive(builder: Any, kind: Lanes, test: Any, z: Any) -> Any:
    """Return z in the lanes in which test > 0, and 0 in the others."""
    zero = _number(kind, 0.0)
    return builder.select(builder.fcmp_ordered(">", test, zero), z, zero)


@_function(1)
def tanh(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return tanh of every lane."""
    return _tanh(builder, kind, z)


@_function(1)
def sigmoid(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return the logistic function of every lane, computed as (tanh(z/2) + 1)/2."""
    half = _number(kind, 0.5)
    turned = _tanh(builder, kind, builder.fmul(half, z))
    return builder.fadd(builder.fmul(half, turned, flags=("contract",)), half, flags=("contract",))


def _tanh(builder: Any, kind: Lanes, z: Any) -> Any:
    if kind.dtype.name == "float64":
        exact = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()])
        function = cgutils.get_or_insert_function(builder.module, exact, "tanh")
        return _lane_by_lane(builder, kind, z, lambda one: builder.call(function, [one]))
    for sign, relation in ((1, ">"), (-1, "<")):  # in a form that keeps a NaN
        limit = _number(kind, sign * _TOP)
        z = builder.select(builder.fcmp_ordered(relation, z, limit), limit, z)
    square = builder.fmul(z, z)
    over, under = (_polynomial(builder, kind, square, terms) for terms in (_OVER, _UNDER))
    return builder.fdiv(builder.fmul(z, over), under)


def _lane_by_lane(builder: Any, kind: Lanes, z: Any, function: Callable) -> Any:
    result = ir.Constant(vector(kind), ir.Undefined)
    for i in range(kind.count):
        at = ir.IntType(32)(i)
        result = builder.insert_element(result, function(builder.extract_element(z, at)), at)
    return result


def _polynomial(builder: Any, kind: Lanes, x: Any, terms: Sequence[float]) -> Any:
    value = _number(kind, terms[0])
    for term in terms[1:]:
        value = _multiplied_in(builder, value, x, _number(kind, term))
    return value


def _multiplied_in(builder: Any, factor: Any, value: Any, into: Any) -> Any:
    """Return `into + factor * value`, computed in one instruction if the machine has it."""
    product = builder.fmul(factor, value, flags=("contract",))
    return builder.fadd(into, product, flags=("contract",))


@intrinsic
def across(typingctx, z):
    """Return the sum of all lanes as a number: halves of the vector are added again and again."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, count = args[0], z.count
        while count > 1:
            count //= 2
            turned = [(i + count) % z.count for i in range(z.count)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), z.count), turned)
            value = builder.fadd(value, builder.shuffle_vector(value, value, mask))
        return builder.extract_element(value, ir.IntType(32)(0))

    return (z.dtype(z), lower) if isinstance(z, Lanes) else None


# --- arrays -------------------------------------------------------------------------------------


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Return the address of the number at `index` in `array`, whose Numba type is `kind`."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _load(builder: Any, kind: Lanes, place: Any) -> Any:
    pointer = builder.bitcast(place, vector(kind).as_pointer())
    return builder.load(pointer, align=kind.dtype.bitwidth // 8)


def _store(builder: Any, kind: Lanes, value: Any, place: Any) -> None:
    pointer = builder.bitcast(place, vector(kind).as_pointer())
    builder.store(value, pointer, align=kind.dtype.bitwidth // 8)


@intrinsic
def lanes(typingctx, array, index):
    """Return as many numbers of `array` as there are lanes, from `index` on, as Lanes."""
    kind = Lanes(array.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _load(builder, kind, _place(context, builder, array, *args))

    return kind(array, types.intp), lower


@intrinsic
def put(typingctx, array, index, value):
    """Write `value` (Lanes) into `array` from `index` on. If it is a number, repeat it."""
    kind = Lanes(array.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, array, *args[:2])
        _store(builder, kind, _filled(builder, kind, args[2]), place)
        return context.get_dummy_value()

    return types.void(array, types.intp, kind if isinstance(value, Lanes) else array.dtype), lower


@intrinsic(prefer_literal=True)
def lanes_of(typingctx, array, index, stride, n):
    """Read a tuple of n Lanes from `array`; n must be a constant.

    The first Lanes begin at `index`, the second `stride` numbers later, and so on.
    """
    kind = Lanes(array.dtype)
    found = types.UniTuple(kind, n.literal_value)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = _place(context, builder, array, *args[:2])
        places = [builder.gep(first, [builder.mul(args[2], _LONG(i))]) for i in range(found.count)]
        return context.make_tuple(builder, found, [_load(builder, kind, place) for place in places])

    return found(array, types.intp, types.intp, n), lower


@intrinsic
def put_all(typingctx, array, index, stride, values):
    """Write `values`, a tuple of Lanes, into `array`.

    The first Lanes begin at `index`, the second `stride` numbers later, and so on.
    """
    kind = Lanes(array.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = _place(context, builder, array, *args[:2])
        for i, value in enumerate(cgutils.unpack_tuple(builder, args[3])):
            _store(builder, kind, value, builder.gep(first, [builder.mul(args[2], _LONG(i))]))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), lower


@intrinsic(prefer_literal=True)
def zeros(typingctx, array, n):
    """Return a tuple of n Lanes of zeros with the data type of `array`; n must be a constant."""
    kind = Lanes(array.dtype)
    found = types.UniTuple(kind, n.literal_value)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_tuple(builder, found, [_number(kind, 0.0)] * found.count)

    return found(array, n), lower


@intrinsic
def add_all(typingctx, array, index, stride, values):
    """Add `values`, a tuple of Lanes, to the numbers in `array`.

    The first Lanes begin at `index`, the second `stride` numbers later, and so on.
    """

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = _place(context, builder, array, *args[:2])
        for i, value in enumerate(cgutils.unpack_tuple(builder, args[3])):
            kind, place = values.dtype, builder.gep(first, [builder.mul(args[2], _LONG(i))])
            _store(builder, kind, builder.fadd(_load(builder, kind, place), value), place)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), lower


@intrinsic
def sum_of(typingctx, values):
    """Return the sum of the tuple `values` of Lanes, lane by lane, as Lanes."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, *others = cgutils.unpack_tuple(builder, args[0])
        for other in others:
            total = builder.fadd(total, other)
        return total

    return values.dtype(values), lower


# --- products -----------------------------------------------------------------------------------


@intrinsic
def products(typingctx, start, v, v_first, v_stride, n, w, w_first, w_row, w_stride):
    """Return a tuple of Lanes, one per gate g: start[g] plus the sum over j < n of

    v[v_first + g v_stride + j] * w[w_first + j w_row + g w_stride + lane]

    `start` is a tuple of Lanes, and v and w are arrays. With few gates, several partial sums run
    side by side and are added at the end, so that no addition has to wait for the one before.
    """
    gates, kind = start.count, Lanes(v.dtype)
    ways = max(1, 4 // gates)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first, _, v_first, v_stride, n, _, w_first, w_row, w_stride = args
        numbers = _place(context, builder, v, args[1], v_first)
        weights = _place(context, builder, w, args[5], w_first)
        zeros = [_number(kind, 0.0)] * gates * (ways - 1)
        sums = _Sums(builder, [*cgutils.unpack_tuple(builder, first), *zeros])

        def add(j: Any, way: int) -> None:
            for g in range(gates):
                at = builder.add(builder.mul(v_stride, _LONG(g)), j)
                number = builder.load(builder.gep(numbers, [at]))
                at = builder.add(builder.mul(j, w_row), builder.mul(w_stride, _LONG(g)))
                weight = _load(builder, kind, builder.gep(weights, [at]))
                sums.add(way * gates + g, _filled(builder, kind, number), weight)

        whole = builder.sub(n, builder.srem(n, _LONG(ways)))
        with cgutils.for_range_slice(builder, _LONG(0), whole, _LONG(ways), _LONG) as (j, _):
            for way in range(ways):
                add(builder.add(j, _LONG(way)), way)
        if ways > 1:
            with cgutils.for_range_slice(builder, whole, n, _LONG(1), _LONG) as (j, _):
                add(j, 0)
        found = sums.values()
        for i in range(gates, gates * ways):
            found[i % gates] = builder.fadd(found[i % gates], found[i])
        return context.make_tuple(builder, start, found[:gates])

    three = [types.intp] * 3
    return start(start, v, *three, w, *three), lower


@intrinsic(prefer_literal=True)
def add_outer(
    typingctx, g, g_first, g_row, g_stride, gates, v, v_first, v_row, rows, r, r_first, r_row,
    r_stride, n,
):  # fmt: skip
    """Add one block of lanes of an outer product to `g`, for every j < rows and gate < gates:

    g[j, gate, lane] += sum over i < n of v[i, j] r[i, gate, lane]

    g, v and r are arrays. For each, `_first` is the index of the first number, `_row` the distance
    between rows, and `_stride` the distance between gates. Up to eight sums at a time stay in
    registers while i runs from 0 to n. The rows are taken in groups; rows that are left over are
    taken in groups of half that size, and so on down to single rows.
    """
    count, kind = gates.literal_value, Lanes(g.dtype)
    widest = max(1, 8 // count)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        gradient = _place(context, builder, g, args[0], args[1])
        numbers = _place(context, builder, v, args[5], args[6])
        others = _place(context, builder, r, args[9], args[10])
        _, _, g_row, g_stride, _, _, _, v_row, rows_, _, _, r_row, r_stride, n_ = args

        def tile(first_row: Any, height: int) -> None:
            sums = _Sums(builder, [_number(kind, 0.0)] * (height * count))
            with cgutils.for_range(builder, n_, intp=_LONG) as loop:
                at_v = builder.add(builder.mul(loop.index, v_row), first_row)
                at_r = builder.mul(loop.index, r_row)
                offsets = [builder.mul(r_stride, _LONG(k)) for k in range(count)]
                places = [builder.gep(others, [builder.add(at_r, at)]) for at in offsets]
                parts = [_load(builder, kind, place) for place in places]
                for j in range(height):
                    number = builder.load(builder.gep(numbers, [builder.add(at_v, _LONG(j))]))
                    for k, part in enumerate(parts):
                        sums.add(j * count + k, _filled(builder, kind, number), part)
            for j in range(height):
                row = builder.mul(builder.add(first_row, _LONG(j)), g_row)
                for k in range(count):
                    at = builder.add(row, builder.mul(g_stride, _LONG(k)))
                    place = builder.gep(gradient, [at])
                    total = builder.fadd(_load(builder, kind, place), sums.value(j * count + k))
                    _store(builder, kind, total, place)

        done, height = _LONG(0), widest
        while height >= 1:
            until = builder.sub(rows_, builder.srem(rows_, _LONG(height)))
            with cgutils.for_range_slice(builder, done, until, _LONG(height), _LONG) as (row, _):
                tile(row, height)
            done, height = until, height // 2
        return context.get_dummy_value()

    three = [types.intp] * 3
    return types.void(g, *three, gates, v, *three, r, *three, types.intp), lower


class _Sums:
    """Running sums that begin at `starts`, kept in variables that LLVM turns into registers."""

    def __init__(self, builder: Any, starts: Sequence[Any]):
        self.builder = builder
        self.places = [cgutils.alloca_once(builder, start.type) for start in starts]
        for place, start in zip(self.places, starts, strict=True):
            builder.store(start, place)

    def add(self, i: int, number: Any, other: Any) -> None:
        """Add number * other to sum i."""
        old = self.builder.load(self.places[i])
        self.builder.store(_multiplied_in(self.builder, number, other, old), self.places[i])

    def value(self, i: int) -> Any:
        """Return the current value of sum i."""
        return self.builder.load(self.places[i])

    def values(self) -> list[Any]:
        """Return the current values of all sums."""
        return [self.value(i) for i in range(len(self.places))]

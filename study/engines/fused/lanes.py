"""The type `Lanes`: vectors of 16 numbers for the compiled loop, two units by eight sequences.

The arithmetic of each gate is written once (in `gates`) and works on numbers and on `Lanes`. Here
`Lanes` become LLVM's vectors, so that the order of the arithmetic does not depend on how a compiler
vectorises a loop. All arrays are one-dimensional and contiguous. The caller must make sure that
every index lies inside its array.

Arrays of states hold SLOTS numbers per unit, one per sequence. So 16 numbers in a row are two units
by eight sequences: Lanes. `spread` repeats the 8 numbers of one unit in both halves of Lanes.

For float32, tanh is a rational function (degree 13 over degree 6, as in Eigen and XLA), correct to
about 4 units in the last place. For float64, which exists for comparisons, it is the tanh of the C
library, lane by lane; the same holds for exp.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from inspect import signature as signature_of
from typing import Any, ClassVar

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

SLOTS, UNITS = 8, 2  # sequences and hidden units per vector
COUNT = SLOTS * UNITS
_TOP = 7.90531110763549805  # beyond this, tanh is 1 in float32
_OVER = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_UNDER = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
_EXP = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
    5.0000001201e-1,
)  # fmt: skip
_QUARTER = (-1.5703125, -4.837512969970703e-4, -7.549789948768648e-8)  # minus pi/2, in three parts
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_LONG = ir.IntType(64)


class Lanes(types.Type):
    """The Numba type of a vector of COUNT numbers."""

    def __init__(self, dtype: types.Float):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


def vector(kind: Lanes) -> ir.VectorType:
    """Return the LLVM type of `Lanes`."""
    number = ir.FloatType() if kind.dtype.name == "float32" else ir.DoubleType()
    return ir.VectorType(number, COUNT)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes):
        super().__init__(manager, kind, vector(kind))


# --- arithmetic between two Lanes, or between Lanes and a number repeated in every lane ---------


class _Binary(AbstractTemplate):
    metadata: ClassVar = {"target": "cpu"}  # else Numba tries all its own operators before this one

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
    return _shuffled(builder, one, [0] * COUNT)


def _number(kind: Lanes, value: float) -> ir.Constant:
    return ir.Constant(vector(kind), [value] * COUNT)


# --- functions of one or two Lanes --------------------------------------------------------------


def _function(build: Callable) -> Any:
    """Turn a function that writes LLVM code into an intrinsic of Numba that works on Lanes.

    The function takes LLVM's builder, the type of the Lanes, and one value for each of the
    intrinsic's arguments, which are all Lanes of the same type.
    """

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return build(builder, sig.return_type, *args)

    def result(kinds: tuple[Any, ...]) -> Any:
        same = isinstance(kinds[0], Lanes) and len(set(kinds)) == 1
        return (kinds[0](*kinds), lower) if same else None

    def of_one(typingctx: Any, z: Any) -> Any:
        return result((z,))

    def of_two(typingctx: Any, z: Any, w: Any) -> Any:
        return result((z, w))

    def of_three(typingctx: Any, z: Any, w: Any, x: Any) -> Any:
        return result((z, w, x))

    def of_four(typingctx: Any, z: Any, w: Any, x: Any, y: Any) -> Any:
        return result((z, w, x, y))

    typed = (of_one, of_two, of_three, of_four)[len(signature_of(build).parameters) - 3]
    typed.__name__, typed.__doc__ = build.__name__, build.__doc__
    return intrinsic(typed)


@_function
def zero_of(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return Lanes of zeros."""
    return _number(kind, 0.0)


@_function
def rectified(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return max(0, z) in every lane. A NaN stays a NaN."""
    zero = _number(kind, 0.0)
    return builder.select(builder.fcmp_ordered("<", z, zero), zero, z)


@_function
def where_positive(builder: Any, kind: Lanes, test: Any, z: Any) -> Any:
    """Return z in the lanes in which test > 0, and 0 in the others."""
    zero = _number(kind, 0.0)
    return builder.select(builder.fcmp_ordered(">", test, zero), z, zero)


@_function
def where_equal(builder: Any, kind: Lanes, z: Any, w: Any, x: Any) -> Any:
    """Return x in the lanes in which z equals w, and 0 in the others."""
    return builder.select(builder.fcmp_ordered("==", z, w), x, _number(kind, 0.0))


@_function
def larger(builder: Any, kind: Lanes, z: Any, w: Any) -> Any:
    """Return the larger of z and w in every lane."""
    return builder.select(builder.fcmp_ordered(">", z, w), z, w)


@_function
def beats(builder: Any, kind: Lanes, z: Any, this: Any, w: Any, other: Any) -> Any:
    """Return 1 in the lanes in which class `this`, of logit z, is answered before class `other`.

    The logit of `other` is w. Of equal logits, and where one is NaN, the lower class is answered.
    """
    is_lower = builder.fcmp_ordered("<", this, other)
    not_less = builder.fcmp_unordered(">=", z, w)
    wins = builder.select(is_lower, not_less, builder.fcmp_ordered(">", z, w))
    return builder.select(wins, _number(kind, 1.0), _number(kind, 0.0))


@_function
def exp(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return e to the power of every lane, for z of at most 0; for float32, 0 below z = -87."""
    if kind.dtype.name == "float64":
        return _of_library(builder, kind, z, "exp")
    # As in Cephes: z = n ln 2 + r, and e^r is a polynomial.
    lowest = _number(kind, -87.0)
    is_above = builder.fcmp_ordered(">", z, lowest)
    is_below = builder.fcmp_ordered("<", z, lowest)
    kept = builder.select(is_below, lowest, z)  # keeps a NaN
    z = builder.select(is_above, z, lowest)
    n = _rounded(builder, kind, builder.fmul(z, _number(kind, 1.44269504088896341)))
    r = _multiplied_in(builder, n, _number(kind, -0.693359375), kept)
    r = _multiplied_in(builder, n, _number(kind, 2.12194440e-4), r)
    y = _multiplied_in(builder, _polynomial(builder, kind, r, _EXP), builder.fmul(r, r), r)
    whole = ir.VectorType(ir.IntType(32), COUNT)
    bits = builder.add(builder.fptosi(n, whole), ir.Constant(whole, [127] * COUNT))
    power = builder.bitcast(builder.shl(bits, ir.Constant(whole, [23] * COUNT)), vector(kind))
    value = builder.fmul(builder.fadd(y, _number(kind, 1.0)), power)
    # Smaller numbers would become denormal, and these take a hundred times longer to compute with.
    return builder.select(is_below, _number(kind, 0.0), value)


def _rounded(builder: Any, kind: Lanes, z: Any) -> Any:
    rounding = ir.FunctionType(vector(kind), [vector(kind)])
    name = f"llvm.rint.v{COUNT}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, rounding, name), [z])


@_function
def sine(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return the sine of every lane. In float32 it is precise up to some thousand turns."""
    return _of_angle(builder, kind, z, "sin", 0)


@_function
def cosine(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return the cosine of every lane; see `sine`."""
    return _of_angle(builder, kind, z, "cos", 1)


def _of_angle(builder: Any, kind: Lanes, z: Any, name: str, quarters: int) -> Any:
    """Return the sine of z plus so many quarter turns, as in Cephes, or for float64 `name` of z."""
    if kind.dtype.name == "float64":
        return _of_library(builder, kind, z, name)
    whole = ir.VectorType(ir.IntType(32), COUNT)
    n = _rounded(builder, kind, builder.fmul(z, _number(kind, 0.63661977236758134)))
    for part in _QUARTER:
        z = _multiplied_in(builder, n, _number(kind, part), z)
    square = builder.fmul(z, z)
    odd = _multiplied_in(
        builder, _polynomial(builder, kind, square, _SINE), builder.fmul(square, z), z
    )
    even = _multiplied_in(builder, square, _number(kind, -0.5), _number(kind, 1.0))
    last = _polynomial(builder, kind, square, _COSINE)
    even = _multiplied_in(builder, last, builder.fmul(square, square), even)
    turns = builder.add(builder.fptosi(n, whole), ir.Constant(whole, [quarters] * COUNT))

    def bit(number: int) -> Any:
        found = builder.and_(turns, ir.Constant(whole, [number] * COUNT))
        return builder.icmp_signed("!=", found, ir.Constant(whole, [0] * COUNT))

    value = builder.select(bit(1), even, odd)
    return builder.select(bit(2), builder.fsub(_number(kind, -0.0), value), value)


@_function
def tanh(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return tanh of every lane."""
    return _tanh(builder, kind, z)


@_function
def sigmoid(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return the logistic function of every lane, computed as (tanh(z/2) + 1)/2."""
    half = _number(kind, 0.5)
    turned = _tanh(builder, kind, builder.fmul(half, z))
    return builder.fadd(builder.fmul(half, turned, flags=("contract",)), half, flags=("contract",))


def _tanh(builder: Any, kind: Lanes, z: Any) -> Any:
    if kind.dtype.name == "float64":
        return _of_library(builder, kind, z, "tanh")
    for sign, relation in ((1, ">"), (-1, "<")):  # in a form that keeps a NaN
        limit = _number(kind, sign * _TOP)
        z = builder.select(builder.fcmp_ordered(relation, z, limit), limit, z)
    square = builder.fmul(z, z)
    under = _polynomial(builder, kind, square, _UNDER)
    inverse = builder.fdiv(_number(kind, 1.0), under)  # runs beside the longer polynomial
    return builder.fmul(builder.fmul(z, _polynomial(builder, kind, square, _OVER)), inverse)


def _of_library(builder: Any, kind: Lanes, z: Any, name: str) -> Any:
    """Call a function of the C library on each lane of z, which are float64."""
    exact = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()])
    function = cgutils.get_or_insert_function(builder.module, exact, name)
    result = ir.Constant(vector(kind), ir.Undefined)
    for i in range(COUNT):
        at = ir.IntType(32)(i)
        value = builder.call(function, [builder.extract_element(z, at)])
        result = builder.insert_element(result, value, at)
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


def _shuffled(builder: Any, value: Any, order: Sequence[int]) -> Any:
    """Return the lanes of `value` in another order."""
    return _merged(builder, value, ir.Constant(value.type, ir.Undefined), order)


def _merged(builder: Any, first: Any, second: Any, order: Sequence[int]) -> Any:
    """Return some of the lanes of two vectors, which are numbered through, in another order."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), list(order))
    return builder.shuffle_vector(first, second, mask)


@_function
def swapped(builder: Any, kind: Lanes, z: Any) -> Any:
    """Return Lanes with the two halves exchanged."""
    return _shuffled(builder, z, [(i + SLOTS) % COUNT for i in range(COUNT)])


@intrinsic
def folded(typingctx, z):
    """Return the sums of the first and of the second half of the lanes, as two numbers."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, step = args[0], SLOTS
        while step > 1:
            step //= 2
            order = [i - i % SLOTS + (i + step) % SLOTS for i in range(COUNT)]
            value = builder.fadd(value, _shuffled(builder, value, order))
        ends = [builder.extract_element(value, ir.IntType(32)(i)) for i in (0, SLOTS)]
        return context.make_tuple(builder, sig.return_type, ends)

    return (types.UniTuple(z.dtype, 2)(z), lower) if isinstance(z, Lanes) else None


@intrinsic
def halves(typingctx, first, second):
    """Return Lanes with one number in every lane of the first half, and another in the second."""
    kind = Lanes(first)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        low, high = (_filled(builder, kind, value) for value in args)
        return _merged(builder, low, high, [i + (i >= SLOTS) * COUNT for i in range(COUNT)])

    return kind(first, first), lower


@intrinsic
def widened(typingctx, z):
    """Return Lanes as Lanes of float64."""
    wide = Lanes(types.float64)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if z == wide else builder.fpext(args[0], vector(wide))

    return (wide(z), lower) if isinstance(z, Lanes) else None


@intrinsic
def flush_denormals(typingctx, word):
    """Let the processor take numbers too small for a normal float as zero; return its settings.

    Otherwise it computes a hundred times more slowly with such numbers, which fading gradients
    become. Given the settings that an earlier call returned, restores them; -1 stands for none. On
    processors other than x86, nothing is changed.
    """

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if not builder.module.triple.startswith("x86"):
            return args[0]
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        read, write = (
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr")
            for name in ("st", "ld")
        )
        place = cgutils.alloca_once(builder, number)
        pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
        builder.call(read, [pointer])
        before = builder.load(place)
        is_set = builder.icmp_signed(">=", args[0], number(0))
        flushing = builder.or_(before, number(0x8040))  # results, and arguments
        builder.store(builder.select(is_set, args[0], flushing), place)
        builder.call(write, [pointer])
        return before

    return types.int32(types.int32), lower


# --- arrays -------------------------------------------------------------------------------------


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Return the address of the number at `index` in `array`, whose Numba type is `kind`."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _load(builder: Any, kind: Lanes, place: Any) -> Any:
    pointer = builder.bitcast(place, vector(kind).as_pointer())
    return builder.load(pointer, align=kind.dtype.bitwidth // 8)


def _spread(builder: Any, kind: Lanes, place: Any) -> Any:
    half = ir.VectorType(vector(kind).element, SLOTS)
    pointer = builder.bitcast(place, half.as_pointer())
    value = builder.load(pointer, align=kind.dtype.bitwidth // 8)
    return _shuffled(builder, value, [i % SLOTS for i in range(COUNT)])


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
def spread(typingctx, array, index):
    """Return the SLOTS numbers of `array` from `index` on, in both halves of Lanes."""
    kind = Lanes(array.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _spread(builder, kind, _place(context, builder, array, *args))

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


# --- products -----------------------------------------------------------------------------------


@intrinsic
def products(typingctx, start, v, v_places, n, w, w_places):
    """Return a tuple of Lanes, one per gate g: start[g] plus the sum over j < n of

    spread(v, v_first + g v_stride + j SLOTS) * lanes(w, w_first + j w_row + g w_stride)

    `start` is a tuple of Lanes, and v and w are arrays. `v_places` are v_first and v_stride, and
    `w_places` are w_first, w_row and w_stride. With few gates, several partial sums run side by
    side and are added at the end, so that no addition has to wait for the one before.
    """
    gates, kind = start.count, Lanes(v.dtype)
    ways = max(1, 4 // gates)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first, n = args[0], args[3]
        v_first, v_stride = cgutils.unpack_tuple(builder, args[2])
        w_first, w_row, w_stride = cgutils.unpack_tuple(builder, args[5])
        numbers = _place(context, builder, v, args[1], v_first)
        weights = _place(context, builder, w, args[4], w_first)
        zeros = [_number(kind, 0.0)] * gates * (ways - 1)
        sums = _Sums(builder, [*cgutils.unpack_tuple(builder, first), *zeros])

        def add(j: Any, way: int) -> None:
            for g in range(gates):
                at = builder.add(builder.mul(v_stride, _LONG(g)), builder.mul(j, _LONG(SLOTS)))
                number = _spread(builder, kind, builder.gep(numbers, [at]))
                at = builder.add(builder.mul(j, w_row), builder.mul(w_stride, _LONG(g)))
                weight = _load(builder, kind, builder.gep(weights, [at]))
                sums.add(way * gates + g, number, weight)

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

    two, three = (types.UniTuple(types.intp, k) for k in (2, 3))
    return start(start, v, two, types.intp, w, three), lower


@intrinsic(prefer_literal=True)
def products_back(typingctx, gates, d, d_places, pairs, w, w_places):
    """Return Lanes with the gradients of two neighbouring inputs j and j + 1 of a product:

    the sum over gates g, pairs q < `pairs` of units, and both units of a pair, of
    d[d_first + q d_pair + g d_gate] w[w_first + q w_pair + g COUNT], and for j + 1 with w_row more

    d are the gradients of the product, and w its weights. `d_places` are d_first, d_pair and
    d_gate, and `w_places` are w_first, w_pair and w_row. `gates` must be a constant.
    """
    count, kind = gates.literal_value, Lanes(d.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        d_first, d_pair, d_gate = cgutils.unpack_tuple(builder, args[2])
        w_first, w_pair, w_row = cgutils.unpack_tuple(builder, args[5])
        deltas = _place(context, builder, d, args[1], d_first)
        weights = _place(context, builder, w, args[4], w_first)
        sums = _Sums(builder, [_number(kind, 0.0)] * (2 * count))
        with cgutils.for_range(builder, args[3], intp=_LONG) as loop:
            at_d, at_w = builder.mul(loop.index, d_pair), builder.mul(loop.index, w_pair)
            for g in range(count):
                at = builder.add(at_d, builder.mul(d_gate, _LONG(g)))
                delta = _load(builder, kind, builder.gep(deltas, [at]))
                for row in range(2):
                    at = builder.add(at_w, builder.mul(w_row, _LONG(row)))
                    at = builder.add(at, _LONG(g * COUNT))
                    sums.add(2 * g + row, delta, _load(builder, kind, builder.gep(weights, [at])))
        found = sums.values()
        for g in range(2, 2 * count):
            found[g % 2] = builder.fadd(found[g % 2], found[g])
        first, second = found[:2]
        low, high = (
            [*range(k, k + SLOTS), *range(COUNT + k, COUNT + k + SLOTS)] for k in (0, SLOTS)
        )
        return builder.fadd(
            _merged(builder, first, second, low), _merged(builder, first, second, high)
        )

    three = types.UniTuple(types.intp, 3)
    return kind(gates, d, three, types.intp, w, three), lower


@intrinsic(prefer_literal=True)
def add_outer(typingctx, gates, g, g_places, v, v_places, rows, r, r_places, n):
    """Add one pair of units of an outer product to `g`, for every j < rows and gate < gates:

    g[j, gate, lane] += sum over i < n of spread(v[i, j]) r[i, gate, lane]

    g, v and r are arrays, and the places of each are a tuple: the index of the first number, the
    distance between rows and, except for v, the distance between gates. Up to eight sums at a time
    stay in registers while i runs from 0 to n. The rows are taken in groups; rows that are left
    over are taken in groups of half that size, and so on down to single rows.
    """
    count, kind = gates.literal_value, Lanes(g.dtype)
    widest = max(1, 8 // count)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        g_first, g_row, g_stride = cgutils.unpack_tuple(builder, args[2])
        v_first, v_row = cgutils.unpack_tuple(builder, args[4])
        r_first, r_row, r_stride = cgutils.unpack_tuple(builder, args[7])
        gradient = _place(context, builder, g, args[1], g_first)
        numbers = _place(context, builder, v, args[3], v_first)
        others = _place(context, builder, r, args[6], r_first)
        rows_, n_ = args[5], args[8]

        def tile(first_row: Any, height: int) -> None:
            sums = _Sums(builder, [_number(kind, 0.0)] * (height * count))
            with cgutils.for_range(builder, n_, intp=_LONG) as loop:
                at_v = builder.mul(first_row, _LONG(SLOTS))
                at_v = builder.add(builder.mul(loop.index, v_row), at_v)
                at_r = builder.mul(loop.index, r_row)
                offsets = [builder.mul(r_stride, _LONG(k)) for k in range(count)]
                places = [builder.gep(others, [builder.add(at_r, at)]) for at in offsets]
                parts = [_load(builder, kind, place) for place in places]
                for j in range(height):
                    at = builder.add(at_v, _LONG(j * SLOTS))
                    number = _spread(builder, kind, builder.gep(numbers, [at]))
                    for k, part in enumerate(parts):
                        sums.add(j * count + k, number, part)
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

    two, three = (types.UniTuple(types.intp, k) for k in (2, 3))
    return types.void(gates, g, three, v, two, types.intp, r, three, types.intp), lower


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

"""What a quantized network's codes may be, given the codes in front of each layer.

Between two quantizers a network is a formula in real numbers, and floats compute it with an error that has a bound. Reals
walks a network's nodes: every value is the exact result (in float64) of the codes that a run of the network had, beside how
far float32 may be from that. At a quantizer that gives the codes which the run may have had there: those of the interval's
ends and what lies between. From there on the codes of the run itself count, so errors of one layer do not reach the next.

The bound of an operator, with u = 2^-24: a rounding adds u times the magnitude; a sum of n products adds n u times the sum of
the products' magnitudes, whatever the order of summation and whether products are rounded; errors of operands are carried
through. With `exact_sums` products and means of dequantized codes are summed in integers, as qcc does, and only the conversion,
the scale and the product with it round: 4 u times the result.
"""
import math
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

U = 2.0**-24
# Operators on codes and constants whose float32 result follows from the standard alone: one rounding an element, or none.
DEFINED = {"QuantizeLinear", "DequantizeLinear", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Abs", "Where", "Cast", "MaxPool",
           "Identity", "Reshape", "Flatten", "Transpose", "Resize", "Pad", "Split", "Concat", "ConvInteger", "MatMulInteger",
           "Round", "Floor", "Ceil", "Sign", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mod"}
DISCRETE = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "QLinearAdd", "Round", "Floor", "Ceil", "Sign", "Greater",
            "GreaterOrEqual", "Less", "LessOrEqual"}
FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}


class Real(NamedTuple):
    """Exact values and how far floats may be from them. scaled: whole numbers times a scale, which `exact_sums` can use."""

    value: np.ndarray
    error: np.ndarray
    scaled: bool = False


class Choice(NamedTuple):
    """Of the output of a quantizer: least and most that it may be, and what the exact value has. `defined`: from the codes in
    front to this one there are only operators of DEFINED, so that there is but one right result."""

    least: np.ndarray
    most: np.ndarray
    exact: np.ndarray
    defined: bool


def session(model):
    """ONNX Runtime without its optimisations, with one thread. `model`: a path or a ModelProto."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def open_inside(model, names):
    """A session that gives tensors inside the model too."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    known = {o.name for o in whole.graph.output}
    whole.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in known)
    return session(whole)


def is_discrete(node, functions):
    return (node.op_type in DISCRETE or (node.domain, node.op_type) in functions
            or node.op_type == "Cast" and attributes(node)["to"] not in FLOATS)


def discrete_outputs(model, constant_too):
    """Outputs of all quantizers and other steps; those of constants where `constant_too`."""
    functions = {(f.domain, f.name) for f in model.functions}
    fixed = {t.name for t in model.graph.initializer} | {""}
    found = []
    for node in model.graph.node:
        if all(name in fixed for name in node.input):
            fixed.update(node.output)
        if is_discrete(node, functions) and (constant_too or node.output[0] not in fixed):
            found.append(node.output[0])
    return found


def attributes(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def real(value, relative=0.0, scaled=False):
    value = np.asarray(value, np.float64)
    return Real(value, relative * np.abs(value), scaled)


def rounded(value, error, scaled=False):
    """The sum of an operator's error so far and one rounding."""
    return Real(value, error + U * (np.abs(value) + error), scaled)


# ---- sums of products ---------------------------------------------------------------------------------------------------


def relative_error(x):
    if not np.any(x.error):
        return 0.0
    if np.any((x.value == 0) & (x.error > 0)):
        return math.inf
    return float(np.max(x.error / np.where(x.value == 0, 1, np.abs(x.value))))


def sum_products(product, x, w, terms, exact_sums):
    """product(a, b): bilinear, of no more than `terms` products in each element."""
    value = product(x.value, w.value)
    if exact_sums and x.scaled and w.scaled:
        return Real(value, 4 * U * np.abs(value))
    rx, rw = relative_error(x), relative_error(w)
    sizes = product(np.abs(x.value), np.abs(w.value))
    if rx < 1e-6 and rw < 1e-6:
        return Real(value, ((1 + rx) * (1 + rw) * (1 + (terms + 1) * U) - 1) * sizes)
    most = product(np.abs(x.value) + x.error, np.abs(w.value) + w.error)
    return Real(value, most * (1 + (terms + 1) * U) - sizes)


def paddings(attrs, sizes, kernel, strides, dilations):
    auto = attrs.get("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", "VALID"):
        pads = attrs.get("pads", [0] * 2 * len(kernel)) if auto == "NOTSET" else [0] * 2 * len(kernel)
        return list(zip(pads[: len(kernel)], pads[len(kernel) :]))
    found = []
    for size, k, s, d in zip(sizes, kernel, strides, dilations):
        need = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
        found.append((need // 2, need - need // 2) if auto == "SAME_UPPER" else (need - need // 2, need // 2))
    return found


class Window:
    """Places of a sliding window's kernel: slices of the padded input, one for each."""

    def __init__(self, attrs, shape, kernel):
        rank = len(kernel)
        self.kernel = kernel
        self.strides = attrs.get("strides", [1] * rank)
        self.dilations = attrs.get("dilations", [1] * rank)
        self.pads = paddings(attrs, shape[2:], kernel, self.strides, self.dilations)
        sizes = [n + sum(p) - (k - 1) * d - 1 for n, p, k, d in zip(shape[2:], self.pads, kernel, self.dilations)]
        self.places = [n // s + 1 for n, s in zip(sizes, self.strides)]
        if attrs.get("ceil_mode", 0) and any(n % s for n, s in zip(sizes, self.strides)):
            raise NotImplementedError("a window that ceil_mode adds")

    def slices(self, x, fill):
        padded = np.pad(x, [(0, 0), (0, 0), *self.pads], constant_values=fill)
        for at in np.ndindex(*self.kernel):
            cut = [slice(i * d, i * d + (n - 1) * s + 1, s)
                   for i, d, n, s in zip(at, self.dilations, self.places, self.strides)]
            yield at, padded[(slice(None), slice(None), *cut)]


def convolve(x, w, attrs):
    group = attrs.get("group", 1)
    window = Window(attrs, x.shape, w.shape[2:])
    outs = w.shape[0] // group
    total = np.zeros((x.shape[0], group, outs, math.prod(window.places)))
    for at, part in window.slices(x, 0):
        columns = part.reshape(x.shape[0], group, w.shape[1], -1)
        weights = w[(slice(None), slice(None), *at)].reshape(group, outs, w.shape[1])
        total += weights * columns if w.shape[1] == 1 else np.matmul(weights, columns)
    return total.reshape(x.shape[0], w.shape[0], *window.places)


def convolve_transposed(x, w, attrs):
    rank = w.ndim - 2
    if any(attrs.get("pads", [])) or attrs.get("group", 1) != 1 or any(d != 1 for d in attrs.get("dilations", [])):
        raise NotImplementedError("this ConvTranspose")
    strides = attrs.get("strides", [1] * rank)
    sizes = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], strides, w.shape[2:])]
    total = np.zeros((x.shape[0], w.shape[1], *sizes))
    for at in np.ndindex(*w.shape[2:]):
        cut = [slice(i, i + (n - 1) * s + 1, s) for i, n, s in zip(at, x.shape[2:], strides)]
        total[(slice(None), slice(None), *cut)] += np.einsum("ncx,cm->nmx", x.reshape(*x.shape[:2], -1),
                                                             w[(slice(None), slice(None), *at)]).reshape(
            x.shape[0], w.shape[1], *x.shape[2:])
    return total


def along(vector, rank, axis=1):
    return vector.reshape([-1 if i == axis else 1 for i in range(rank)])


# ---- the walk -----------------------------------------------------------------------------------------------------------


class Reals:
    """known: what a run of the network gave for its inputs and for discrete_outputs. With inputs only, codes are those of the
    exact values: the network in real numbers. reals: values of the model's outputs; choices: of discrete_outputs."""

    def __init__(self, model, known, exact_sums):
        self.known, self.exact_sums = known, exact_sums
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.opsets = model.opset_import
        self.elem = {t.name: t.data_type for t in model.graph.initializer if t.data_type not in FLOATS}
        self.reals = {t.name: real(numpy_helper.to_array(t).astype(np.float64)) for t in model.graph.initializer}
        self.reals.update({i.name: real(known[i.name]) for i in model.graph.input if i.name in known})
        self.undefined = set()
        self.choices = {}
        last = {name: i for i, node in enumerate(model.graph.node) for name in node.input}
        last.update((port.name, -1) for port in model.graph.output)
        for i, node in enumerate(model.graph.node):
            self.take(node)
            for name in {*node.input, *node.output}:
                if last.get(name, i) == i:
                    self.reals.pop(name, None)

    def take(self, node):
        operands = [self.reals[name] if name else None for name in node.input]
        defined = self.undefined.isdisjoint(node.input) and (
            node.op_type in DEFINED or (node.domain, node.op_type) in self.functions)
        if is_discrete(node, self.functions):
            name = node.output[0]
            ends = self.choose(node, operands)
            self.choices[name] = Choice(*(v.astype(np.float32) for v in ends), defined)
            self.reals[name] = real(self.known.get(name, ends[2]))
            if node.op_type == "QuantizeLinear":
                self.elem[name] = self.elem_of_codes(node)
            if node.op_type.startswith("QLinear"):
                self.elem[name] = self.elem[node.input[7]]
            if node.op_type == "Cast":
                self.elem[name] = attributes(node)["to"]
            return
        if not defined:
            self.undefined.update(node.output)
        results = getattr(self, node.op_type)(attributes(node), *operands)
        integers = node.op_type != "Cast" and all(name in self.elem for name in node.input if name)
        for name, result in zip(node.output, results if isinstance(results, list) else [results]):
            self.reals[name] = real(result.value) if integers else result
            if integers:
                self.elem[name] = self.elem[node.input[0]]

    def elem_of_codes(self, node):
        return self.elem[node.input[2]] if len(node.input) > 2 else onnx.TensorProto.UINT8

    # Quantizers: the code at the ends of the interval in which the float lies.

    def choose(self, node, operands):
        if node.op_type.startswith("QLinear"):
            return self.requantize(node, *getattr(self, node.op_type)(attributes(node), *operands))
        if node.op_type in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
            x = self.Sub({}, *operands)
            x = Real(x.value, operands[0].error + operands[1].error)
            operands = [x, real(0.0)]
        x = operands[0]
        low, high = float_below(x.value, x.error), -float_below(-x.value, x.error)
        ends = [self.step(node, v, operands) for v in (low, high, x.value)]
        return np.minimum(ends[0], ends[1]), np.maximum(ends[0], ends[1]), ends[2]

    def step(self, node, x, operands):
        """The quantizer itself, in the precision of x; functions of the model in float32."""
        plain = {"Round": np.rint, "Floor": np.floor, "Ceil": np.ceil, "Sign": np.sign,
                 "Greater": lambda v: v > 0, "GreaterOrEqual": lambda v: v >= 0, "Less": lambda v: v < 0,
                 "LessOrEqual": lambda v: v <= 0}
        if node.op_type in plain:
            return plain[node.op_type](x).astype(np.float64)
        if node.op_type == "Cast":
            return (x != 0).astype(np.float64) if attributes(node)["to"] == onnx.TensorProto.BOOL else np.trunc(x)
        if node.op_type == "QuantizeLinear":
            scale, zero = operands[1].value.astype(np.float32), operands[2].value if len(operands) > 2 else 0.0
            if scale.size > 1:
                raise NotImplementedError("quantization along an axis")
            with np.errstate(over="ignore"):
                codes = np.rint(x / scale.reshape(())).astype(np.float64) + zero
            return np.clip(codes, *code_range(self.elem_of_codes(node)))
        return self.call(node, x, operands)

    def call(self, node, x, operands):
        """A quantizer that is a function of the model."""
        names = ["x", *(f"c{i}" for i in range(1, len(operands)))]
        call = helper.make_node(node.op_type, names, ["y"], domain=node.domain)
        call.attribute.extend(node.attribute)
        value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)
        fixed = [numpy_helper.from_array(o.value.astype(np.float32), n) for o, n in zip(operands[1:], names[1:])]
        graph = helper.make_graph([call], "call", [value], [helper.make_empty_tensor_value_info("y")], fixed)
        model = helper.make_model(graph, opset_imports=self.opsets, functions=self.functions.values(), ir_version=10)
        return session(model).run(None, {"x": x.astype(np.float32)})[0].astype(np.float64)

    def requantize(self, node, value, error, zero):
        limits = code_range(self.elem[node.input[7]])
        return [np.clip(np.rint(v) + zero, *limits) for v in (value - error, value + error, value)]

    def QLinearConv(self, attrs, x, xs, xz, w, ws, wz, ys, yz, bias=None):
        zero = along(wz.value, w.value.ndim, 0) if wz.value.size > 1 else wz.value
        sums = convolve(x.value - xz.value, w.value - zero, attrs)
        if bias is not None:
            sums += along(bias.value, sums.ndim)
        value = sums * along(xs.value * ws.value / ys.value, sums.ndim)
        return value, 5 * U * np.abs(value), yz.value

    def QLinearMatMul(self, _, a, sa, za, b, sb, zb, sy, zy):
        value = (a.value - za.value) @ (b.value - zb.value) * (sa.value * sb.value / sy.value)
        return value, 5 * U * np.abs(value), zy.value

    def QLinearAdd(self, _, a, sa, za, b, sb, zb, sy, zy):
        """Its terms may be summed as fl(ra * a) + fl(rb * b) + (zy - ra * za - rb * zb), r the ratios of scales."""
        ra, rb = sa.value / sy.value, sb.value / sy.value
        value = (a.value - za.value) * ra + (b.value - zb.value) * rb
        sizes = (np.abs(a.value) + np.abs(za.value)) * ra + (np.abs(b.value) + np.abs(zb.value)) * rb
        return value, 8 * U * (sizes + np.abs(zy.value)), zy.value

    # From codes to reals, and sums.

    def DequantizeLinear(self, attrs, codes, scale, zero=None):
        axis = attrs.get("axis", 1)
        spread = (lambda v: along(v, codes.value.ndim, axis % codes.value.ndim) if v.size > 1 else v.reshape(()))
        shifted = codes.value - (spread(zero.value) if zero is not None else 0)
        return real(shifted * spread(scale.value), U, True)

    def Conv(self, attrs, x, w, bias=None):
        terms = math.prod(w.value.shape[1:])
        y = sum_products(lambda a, b: convolve(a, b, attrs), x, w, terms, self.exact_sums)
        return self.add_bias(y, bias, lambda v: along(v, y.value.ndim))

    def ConvTranspose(self, attrs, x, w, bias=None):
        terms = w.value.shape[0] * math.prod(w.value.shape[2:])
        y = sum_products(lambda a, b: convolve_transposed(a, b, attrs), x, w, terms, self.exact_sums)
        return self.add_bias(y, bias, lambda v: along(v, y.value.ndim))

    def add_bias(self, y, bias, spread):
        return y if bias is None else self.Add({}, y, Real(spread(bias.value), spread(bias.error)))

    def MatMul(self, _, a, b):
        return sum_products(np.matmul, a, b, a.value.shape[-1], self.exact_sums)

    def Gemm(self, attrs, a, b, bias=None):
        if attrs.get("transA", 0) or attrs.get("alpha", 1) != 1 or attrs.get("beta", 1) != 1:
            raise NotImplementedError("this Gemm")
        b = self.Transpose({}, b) if attrs.get("transB", 0) else b
        return self.add_bias(self.MatMul({}, a, b), bias, lambda v: v)

    def ConvInteger(self, attrs, x, w, xz=None, wz=None):
        zeros = [z.value if z is not None else 0 for z in (xz, wz)]
        return real(convolve(x.value - zeros[0], w.value - zeros[1], attrs))

    def MatMulInteger(self, _, a, b, az=None, bz=None):
        zeros = [z.value if z is not None else 0 for z in (az, bz)]
        return real((a.value - zeros[0]) @ (b.value - zeros[1]))

    def mean(self, x, count, total):
        """total(a): sums of `count` elements of a, divided."""
        value = total(x.value)
        if self.exact_sums and x.scaled:
            return Real(value, 4 * U * np.abs(value))
        return Real(value, total(x.error) + (count + 1) * U * total(np.abs(x.value) + x.error))

    def AveragePool(self, attrs, x):
        window = Window(attrs, x.value.shape, attrs["kernel_shape"])
        count = math.prod(window.kernel)
        inside = np.ones(x.value.shape) if not attrs.get("count_include_pad", 0) else None
        total = lambda a: sum(part for _, part in window.slices(a, 0))
        by = total(inside) if inside is not None else count
        return self.mean(x, count, lambda a: total(a) / by)

    def GlobalAveragePool(self, _, x):
        axes = tuple(range(2, x.value.ndim))
        return self.mean(x, math.prod(x.value.shape[2:]), lambda a: a.mean(axes, keepdims=True))

    def ReduceMean(self, attrs, x):
        axes = tuple(attrs["axes"])
        keep = bool(attrs.get("keepdims", 1))
        count = math.prod(x.value.shape[i] for i in axes)
        return self.mean(x, count, lambda a: a.mean(axes, keepdims=keep))

    def BatchNormalization(self, attrs, x, gamma, beta, mean, var):
        rank = x.value.ndim
        gamma, beta, mean, var = (along(p.value, rank) for p in (gamma, beta, mean, var))
        slope = gamma / np.sqrt(var + attrs.get("epsilon", 1e-5))
        value = (x.value - mean) * slope + beta
        sizes = (np.abs(x.value) + x.error + np.abs(mean)) * np.abs(slope) + np.abs(beta)
        return Real(value, x.error * np.abs(slope) + 8 * U * sizes)

    def Softmax(self, attrs, x):
        """exp to 4 roundings; its argument's error is that of the difference, which is a relative one of the result."""
        axis = attrs.get("axis", -1)
        shifted = x.value - x.value.max(axis, keepdims=True)
        powers = np.exp(shifted)
        value = powers / powers.sum(axis, keepdims=True)
        error = x.error + x.error.max(axis, keepdims=True) + U * np.abs(shifted)
        relative = error + error.max(axis, keepdims=True) + (x.value.shape[axis] + 16) * U
        return Real(value, np.expm1(relative) * value + 2.0**-126)

    # Element by element.

    def Add(self, _, x, y):
        return rounded(x.value + y.value, x.error + y.error)

    def Sub(self, _, x, y):
        return rounded(x.value - y.value, x.error + y.error)

    def Mul(self, _, x, y):
        return rounded(x.value * y.value, x.error * np.abs(y.value) + y.error * (np.abs(x.value) + x.error))

    def Div(self, _, x, y):
        if np.any(y.error):
            raise NotImplementedError("division by what is not a constant")
        return rounded(x.value / y.value, x.error / np.abs(y.value))

    def Mod(self, attrs, x, y):
        if attrs.get("fmod", 0) or np.any(x.error) or np.any(y.error):
            raise NotImplementedError("Mod of floats")
        return Real(np.mod(x.value, y.value), x.error)

    def Relu(self, _, x):
        return Real(np.maximum(x.value, 0), x.error, x.scaled)

    def Clip(self, _, x, low=None, high=None):
        value = x.value
        value = value if low is None else np.maximum(value, low.value)
        return Real(value if high is None else np.minimum(value, high.value), x.error)

    def LeakyRelu(self, attrs, x):
        alpha = attrs.get("alpha", 0.01)
        return rounded(np.where(x.value < 0, alpha * x.value, x.value), max(1, abs(alpha)) * x.error)

    def Abs(self, _, x):
        return Real(np.abs(x.value), x.error)

    def Where(self, _, condition, x, y):
        return Real(np.where(condition.value, x.value, y.value), np.where(condition.value, x.error, y.error))

    def Cast(self, attrs, x):
        """To floats; whole numbers below 2^24 keep their value."""
        return x if not np.any(x.error) and np.all(np.abs(x.value) <= 2**24) else rounded(x.value, x.error, x.scaled)

    # Movement: values and errors alike.

    def move(self, x, how):
        return Real(how(x.value), how(np.broadcast_to(x.error, x.value.shape)), x.scaled)

    def MaxPool(self, attrs, x):
        window = Window(attrs, x.value.shape, attrs["kernel_shape"])
        greatest = lambda a, fill: np.max([part for _, part in window.slices(a, fill)], 0)
        return Real(greatest(x.value, -np.inf), greatest(x.error, 0), x.scaled)

    def Identity(self, _, x):
        return x

    def Reshape(self, _, x, shape):
        sizes = [x.value.shape[i] if n == 0 else int(n) for i, n in enumerate(shape.value)]
        return self.move(x, lambda a: a.reshape(sizes))

    def Flatten(self, attrs, x):
        return self.move(x, lambda a: a.reshape(math.prod(a.shape[: attrs.get("axis", 1)]), -1))

    def Transpose(self, attrs, x):
        return self.move(x, lambda a: a.transpose(attrs.get("perm")))

    def Resize(self, attrs, x, _, scales):
        """To the nearest by whole factors: each element several times, whichever way coordinates go."""
        if attrs["mode"] != b"nearest" or np.any(scales.value != np.rint(scales.value)):
            raise NotImplementedError("this Resize")

        def grow(a):
            for axis, times in enumerate(scales.value):
                a = np.repeat(a, int(times), axis)
            return a

        return self.move(x, grow)

    def Pad(self, _, x, pads, value=None):
        pairs = list(zip(*pads.value.astype(int).reshape(2, -1)))
        fill = 0.0 if value is None else float(value.value)
        return Real(np.pad(x.value, pairs, constant_values=fill), np.pad(x.error, pairs), x.scaled and fill == 0)

    def Split(self, attrs, x, parts=None):
        at = np.cumsum(attrs["split"] if parts is None else parts.value.astype(int))[:-1]
        return [Real(v, e, x.scaled) for v, e in zip(*(np.split(a, at, attrs.get("axis", 0)) for a in x[:2]))]

    def Concat(self, attrs, *parts):
        join = lambda arrays: np.concatenate(arrays, attrs["axis"])
        return Real(join([p.value for p in parts]), join([np.broadcast_to(p.error, p.value.shape) for p in parts]))


def code_range(elem):
    name = onnx.TensorProto.DataType.Name(elem)
    bits = int(name.lstrip("UINT"))
    return (0, 2**bits - 1) if name.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def float_below(value, error):
    """The greatest float32 that is not above value - error, less a step for what float64 has rounded."""
    low = (value - error).astype(np.float32)
    return np.where(error == 0, low, np.nextafter(low, np.float32(-np.inf)))

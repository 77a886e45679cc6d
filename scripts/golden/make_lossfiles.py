"""Writes losses as a user would, with Python's onnx, to testdata/loss: the sigmoid loss in float64 and, its label smoothing left out, in float32 with
names and an opset of its own; and files that are wrong, each in one way, which its name says."""
import pathlib

import onnx
from onnx import TensorProto, helper

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "loss"
DOUBLE, FLOAT = TensorProto.DOUBLE, TensorProto.FLOAT


def value(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, list(shape))


def constant(name, kind, values, *shape):
    return helper.make_tensor(name, kind, list(shape), values)


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], name=output + "_node", **attributes)


def write(name, nodes, inputs, outputs, constants, opset=21):
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    if not name.startswith("wrong"):
        onnx.checker.check_model(model, full_check=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.onnx").write_bytes(model.SerializeToString())


def rewards(kind):
    """r, the rewards, and what they are made of."""
    inputs = [value("policy_logps", kind, "G", 2), value("reference_logps", kind, "G", 2), value("beta", kind)]
    return [node("Sub", ["policy_logps", "reference_logps"], "ratios"), node("Mul", ["beta", "ratios"], "r")], inputs


def sigmoid():
    """−(1 − ε)·log σ(r₁ − r₂) − ε·log σ(r₂ − r₁)."""
    nodes, inputs = rewards(DOUBLE)
    nodes += [node("LogSoftmax", ["r"], "logs", axis=1), node("Sub", ["one", "label_smoothing"], "right"), node("Unsqueeze", ["right", "zero"], "first"),
              node("Unsqueeze", ["label_smoothing", "zero"], "second"), node("Concat", ["first", "second"], "labels", axis=0),
              node("Mul", ["logs", "labels"], "weighed"), node("ReduceSum", ["weighed", "axis"], "loss", keepdims=0), node("Neg", ["loss"], "losses")]
    write("sigmoid", nodes, inputs + [value("label_smoothing", DOUBLE)], [value("losses", DOUBLE, "G")],
          [constant("one", DOUBLE, [1.0]), constant("zero", TensorProto.INT64, [0], 1), constant("axis", TensorProto.INT64, [1], 1)])


def margin(names, kind):
    """x = r₁ − r₂ by a product with (1, −1)."""
    nodes, inputs = rewards(kind)
    for i, dims in enumerate(names):
        inputs[i] = value(inputs[i].name, kind, *dims)
    return nodes + [node("MatMul", ["r", "signs"], "x")], inputs, [constant("signs", kind, [1.0, -1.0], 2)]


def log_sigmoid(nodes, kind):
    return nodes + [node("Neg", ["x"], "minus"), node("Softplus", ["minus"], "losses")]


def main():
    sigmoid()
    nodes, inputs, constants = margin([("batch", "answers"), ("batch", "answers")], FLOAT)
    constants = [constant("signs", FLOAT, [1.0, -1.0], 2)]
    write("sigmoid32", log_sigmoid(nodes, FLOAT), inputs, [value("losses", FLOAT, "batch")], constants, opset=18)

    def wrong(name, nodes, inputs, constants=(), outputs=(value("losses", DOUBLE, None),), opset=21):
        write("wrong-" + name, nodes, inputs, list(outputs), list(constants), opset)

    base, inputs = rewards(DOUBLE)
    axis = [constant("axis", TensorProto.INT64, [1], 1)]
    each = [node("ReduceSum", ["r", "axis"], "losses", keepdims=0)]
    wrong("no-losses", base + [node("ReduceSum", ["r", "axis"], "sum", keepdims=0)], inputs, axis, [value("sum", DOUBLE, "G")])
    wrong("shape", base + [node("Neg", ["r"], "losses")], inputs, outputs=[value("losses", DOUBLE, "G", 2)])
    wrong("sum-over-groups", base + [node("ReduceSum", ["r", "axis"], "losses", keepdims=0)], inputs, [constant("axis", TensorProto.INT64, [0], 1)])
    wrong("input", base + [node("Add", ["r", "scores"], "s"), node("ReduceSum", ["s", "axis"], "losses", keepdims=0)],
          inputs + [value("scores", DOUBLE, "G", 2)], axis)
    wrong("input-shape", base + each, [value("policy_logps", DOUBLE, 8, 2)] + inputs[1:], axis)
    whole, numbers = rewards(TensorProto.INT64)
    wrong("input-type", whole + each, numbers, axis, [value("losses", TensorProto.INT64, "G")])
    wrong("no-gradient", base + [node("Asinh", ["r"], "a"), node("ReduceSum", ["a", "axis"], "losses", keepdims=0)], inputs, axis)
    wrong("no-rule", base + [node("Det", ["r"], "losses")], inputs)
    wrong("sizes", base + [node("Mul", ["r", "three"], "s"), node("ReduceSum", ["s", "axis"], "losses", keepdims=0)], inputs,
          axis + [constant("three", DOUBLE, [1.0, 2.0, 3.0], 3)])
    wrong("constant", [node("ReduceSum", ["reference_logps", "axis"], "losses", keepdims=0)], inputs[:2], axis)
    wrong("opset", base + each, inputs, axis, opset=17)
    (OUT / "wrong-no-onnx.onnx").write_bytes(b"no graph")


if __name__ == "__main__":
    main()

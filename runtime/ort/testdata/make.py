"""Writes the small models that the tests of runtime/ort run: pip install onnx==1.23.2, then python3 make.py."""
import pathlib
from onnx import TensorProto as T, checker, helper as h

HERE = pathlib.Path(__file__).parent


def save(name, inputs, outputs, nodes, check=True):
    value = lambda v: h.make_tensor_value_info(*v)
    graph = h.make_graph([h.make_node(op, i.split(), o.split(), **a) for op, i, o, a in nodes], name,
                         [value(v) for v in inputs], [value(v) for v in outputs])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10, producer_name="dpo-ort")
    if check:
        checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


# Sums of every type that a kernel of the CPU adds.
for kind in ["FLOAT", "DOUBLE", "INT64", "INT32"]:
    t = getattr(T, kind)
    save(f"add_{kind.lower()}", [("x", t, ["T", 2]), ("y", t, ["T", 2])], [("z", t, ["T", 2])], [("Add", "x y", "z", {})])
save("not", [("x", T.BOOL, ["T"])], [("y", T.BOOL, ["T"])], [("Not", "x", "y", {})])
save("narrow", [("x", T.FLOAT, ["T"])], [("bf16", T.BFLOAT16, ["T"]), ("f16", T.FLOAT16, ["T"])],
     [("Cast", "x", "bf16", {"to": T.BFLOAT16}), ("Cast", "x", "f16", {"to": T.FLOAT16})])
save("widen", [("x", T.BFLOAT16, ["T"])], [("y", T.FLOAT, ["T"])], [("Cast", "x", "y", {"to": T.FLOAT})])

# The accumulation of a gradient: one buffer is bound as acc and as d.
save("accumulate", [("x", T.FLOAT, ["T", "D"]), ("dy", T.FLOAT, ["T", "D"]), ("acc", T.FLOAT, ["D"])],
     [("d", T.FLOAT, ["D"])],
     [("Mul", "x dy", "p", {}), ("Constant", "", "axes", {"value_ints": [0]}),
      ("ReduceSum", "p axes", "s", {"keepdims": 0}), ("Add", "acc s", "d", {})])

# A chain whose values are all of one large size: what a Run's temporaries cost.
save("chain", [("x", T.FLOAT, ["R", "V"])], [("y", T.FLOAT, ["R"])],
     [("Softmax", "x", "a", {}), ("Mul", "a a", "b", {}), ("Softmax", "b", "c", {}), ("Sub", "c a", "e", {}),
      ("Constant", "", "axes", {"value_ints": [1]}), ("ReduceSum", "e axes", "y", {"keepdims": 0})])
save("product", [("a", T.FLOAT, ["M", "K"]), ("b", T.FLOAT, ["K", "N"])], [("y", T.FLOAT, ["M", "N"])],
     [("MatMul", "a b", "y", {})])

save("scalar", [("x", T.FLOAT, []), ("y", T.FLOAT, [1])], [("z", T.FLOAT, [1])], [("Add", "x y", "z", {})])
save("unranked", [("x", T.FLOAT, None)], [("y", T.FLOAT, None)], [("Neg", "x", "y", {})], check=False)
save("fails", [("x", T.FLOAT, ["N"]), ("n", T.INT64, [1])], [("y", T.FLOAT, ["M"])], [("Reshape", "x n", "y", {})])
save("passthrough", [("x", T.FLOAT, ["N"])], [("x", T.FLOAT, ["N"])], [], check=False)
save("text", [("x", T.STRING, ["N"])], [("y", T.STRING, ["N"])], [("Identity", "x", "y", {})])

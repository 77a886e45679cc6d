package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// badExported are models that were exported to ONNX, and what cannot be done with them.
func badExported() []badCase {
	const train = "train --model model/model.onnx --data pairs.jsonl --out out --quiet --batch 8 --steps 1"
	// changed is a model that torch.onnx.export wrote, after a change of its graph.
	changed := func(name string, change func(g *onnx.Graph)) badCase {
		return badCase{"exported " + name, func(w *work) { w.exported("llama-dynamo", change) }, train, 1, 0, ""}
	}
	whole := func(name, args string, code int) badCase {
		return badCase{"exported " + name, func(w *work) { w.exported("llama-dynamo", func(*onnx.Graph) {}) }, args, code, 0, ""}
	}
	return []badCase{
		changed("with control flow", func(g *onnx.Graph) {
			n := nodeOf(g, "Softmax")
			inner := &onnx.Graph{Name: "inner"}
			n.Op, n.Attrs = "If", onnx.Attrs{"then_branch": inner, "else_branch": inner}
		}),
		changed("with operators that nobody knows", func(g *onnx.Graph) {
			first, last := nodeOf(g, "Softmax"), nodeOf(g, "Sigmoid")
			first.Op, last.Op = "FlashAttention", "Swoosh"
		}),
		changed("with operators of no gradient", func(g *onnx.Graph) {
			nodeOf(g, "Sigmoid").Op = "Mish"
			nodeOf(g, "Softmax").Op = "Hardmax"
		}),
		changed("with another input", func(g *onnx.Graph) {
			g.Inputs = append(g.Inputs, &onnx.Value{Name: "token_type_ids", Type: onnx.Int64, Shape: onnx.Shape{onnx.Sym("batch"), onnx.Sym("tokens")}})
		}),
		changed("of fixed lengths", func(g *onnx.Graph) { g.Input("input_ids").Shape[1] = onnx.Const(64) }),
		changed("with logits of another size", func(g *onnx.Graph) { g.Outputs[0].Shape[2] = onnx.Const(100) }),
		changed("without logits", func(g *onnx.Graph) {
			g.Outputs[0].Name = "scores"
			g.Outputs = append(g.Outputs, g.Nodes[0].Outputs[0])
		}),
		{"exported with logits of another vocabulary", func(w *work) {
			w.exportedFile("beside.onnx")
			w.write("model/weights.bin", strings.Repeat("\x00", 4*4*9))
		}, train, 1, 0, ""},
		{"exported with data outside", func(w *work) { w.exportedFile("outside.onnx"); w.write("weights.bin", strings.Repeat("\x00", 4*4*9)) }, train, 1, 0, ""},
		{"exported with data behind a link", func(w *work) {
			w.exportedFile("beside.onnx")
			w.write("weights.bin", strings.Repeat("\x00", 4*4*9))
			w.check(os.Symlink("../weights.bin", w.path("model/weights.bin")))
		}, train, 1, 0, ""},
		{"exported with data lacking", func(w *work) { w.exportedFile("beside.onnx") }, train, 1, 0, ""},
		{"exported cut in half", func(w *work) {
			w.exported("llama-dynamo", func(*onnx.Graph) {})
			text := w.read("model/model.onnx")
			w.write("model/model.onnx", text[:len(text)/2])
		}, train, 1, 0, ""},
		{"exported missing", nil, train, 1, 0, ""},
		whole("in bfloat16", train+" --dtype bfloat16", 2),
		whole("with an adapter", train+" --adapter lora", 2),
		whole("for a reward model", "reward --model model/model.onnx --data pairs.jsonl --out out --quiet", 2),
		whole("for sampling", "generate --model model/model.onnx --data pairs.jsonl --out out.parquet --quiet", 2),
	}
}

// exported puts one of testdata/exported, changed, in the place of the model.
func (w *work) exported(name string, change func(g *onnx.Graph)) {
	g, err := onnx.Load(filepath.Join("..", "..", "testdata", "exported", name+".onnx"))
	w.check(err)
	change(g)
	data, err := g.Marshal()
	w.check(err)
	w.write("model/model.onnx", string(data))
}

// exportedFile puts one there as it is.
func (w *work) exportedFile(name string) {
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "exported", name))
	w.check(err)
	w.write("model/model.onnx", string(data))
}

// nodeOf is the first node of an operator.
func nodeOf(g *onnx.Graph, op string) *onnx.Node {
	for _, n := range g.Nodes {
		if n.Op == op {
			return n
		}
	}
	panic("the model has no " + op)
}

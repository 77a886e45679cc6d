package autodiff_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/autodiff"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

var update = flag.Bool("update", false, "rewrite testdata/backend_cases.txt")

// TestBackendSuite differentiates every node test of ONNX's own suite that has rules for all its operators: in float64,
// at the suite's own inputs, along one random direction, against central differences. testdata/backend_cases.txt lists
// each case; the number that runs may not fall.
func TestBackendSuite(t *testing.T) {
	dir := golden.BackendSuite(t)
	cases, err := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases in %s (%v)", dir, err)
	}
	var list bytes.Buffer
	for _, model := range cases {
		name := filepath.Base(filepath.Dir(model))
		if reason := backendCase(t, name, filepath.Dir(model)); reason != "" {
			fmt.Fprintf(&list, "%s skipped: %s\n", name, reason)
		} else {
			fmt.Fprintf(&list, "%s run\n", name)
		}
	}
	golden.Cases(t, "testdata/backend_cases.txt", list.String(), *update)
}

// kinks are cases whose inputs lie where the function has no derivative.
var kinks = map[string]bool{
	"test_leakyrelu_example_expanded": true, "test_selu_example_expanded_ver18": true, "test_elu_example_expanded_ver18": true, // at 0
	"test_thresholdedrelu_example_expanded_ver18":   true, // at the threshold, where it jumps
	"test_reduce_min_default_axes_keepdims_example": true, // three elements are least
}

// backendCase checks one case, or says why it cannot be.
func backendCase(t *testing.T, name, dir string) (skipped string) {
	data, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	read, err := onnx.Unmarshal(data)
	if err != nil {
		return "not read"
	}
	c, skipped := differentiable(read, dir)
	if skipped != "" {
		return skipped
	}
	if kinks[name] {
		return "no derivative at its inputs"
	}
	model, err := c.graph.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	session, err := ort.NewSession(model, ort.Options{Name: name, Threads: 1})
	if err != nil {
		if strings.Contains(err.Error(), "Could not find an implementation") || strings.Contains(err.Error(), "Type Error") {
			return "no float64 kernel"
		}
		if strings.Contains(err.Error(), "Unrecognized attribute") || strings.Contains(err.Error(), "Neither 'split' input") {
			return "an operator's form of before opset 18"
		}
		t.Errorf("%s: %v\n%s", name, err, c.graph)
		return ""
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	byRule, byDifferences := c.alongDirection(t)
	if math.Abs(byRule-byDifferences) > 1e-6*(1+math.Abs(byDifferences)) {
		t.Errorf("%s: gradient along a direction %.9g, by differences %.9g", name, byRule, byDifferences)
	}
	return ""
}

// placed is a case with its gradient, and the inputs that it comes with.
type placed struct {
	compiled
	at map[string][]float64
}

// differentiable builds a case anew in float64, with what is no floating-point number as constants.
func differentiable(model *onnx.Graph, dir string) (c *placed, skipped string) {
	c = &placed{compiled: compiled{sources: map[string]source{}}, at: map[string][]float64{}}
	to := map[*onnx.Value]*onnx.Value{}
	skip := func(b *onnx.Builder, format string, args ...any) {
		skipped = fmt.Sprintf(format, args...)
		b.Fail("skip")
	}
	g, err := onnx.Extend(&onnx.Graph{Name: "case", Opsets: maps.Clone(model.Opsets)}, func(b *onnx.Builder) {
		b.Graph().Opsets[onnx.Microsoft] = 1
		b.Graph().Opsets[""] = max(b.Graph().Opsets[""], onnx.Opset) // whose operators the rules write
		for i, in := range model.Inputs {
			tensor := readTensor(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("input_%d.pb", i)))
			if tensor == nil {
				skip(b, "input is no tensor")
			}
			if in.Type == onnx.Float32 || in.Type == onnx.Float64 {
				v := b.Input(fmt.Sprintf("in%d", i), onnx.Float64, onnx.Dims(tensor.Dims...)...)
				values, err := tensor.Floats()
				if err != nil || len(values) == 0 {
					skip(b, "empty input")
				}
				to[in], c.at[v.Name], c.variables = v, values, append(c.variables, v)
			} else {
				to[in] = b.Constant(tensor)
			}
		}
		if c.variables == nil {
			skip(b, "no floating-point input")
		}
		for _, n := range model.Nodes {
			c.rebuild(b, n, to, skip)
		}
		c.addGradient(b, model, to, skip)
	})
	if skipped == "" && err != nil {
		skipped = "not built: " + strings.TrimPrefix(err.Error(), "build graph case: ")
	}
	c.graph = g
	return c, skipped
}

func (c *placed) rebuild(b *onnx.Builder, n *onnx.Node, to map[*onnx.Value]*onnx.Value, skip func(*onnx.Builder, string, ...any)) {
	if n.Op == "Constant" && n.Domain == "" {
		t := onnx.ConstantOf(n)
		if t == nil {
			skip(b, "a constant is not read")
		}
		to[n.Outputs[0]] = b.Constant(wide(t))
		return
	}
	if !onnx.HasRule(n.Domain, n.Op) {
		skip(b, "no shape rule for %s", n.Op)
	}
	m := &onnx.Node{Op: n.Op, Domain: n.Domain, Attrs: copyAttrs(n.Attrs)}
	for name, v := range m.Attrs {
		if v == int64(onnx.Float32) && (name == "to" || name == "stash_type" || name == "dtype") {
			m.Attrs[name] = int64(onnx.Float64)
		}
		if tensor, ok := v.(*onnx.Tensor); ok {
			m.Attrs[name] = wide(tensor)
		}
	}
	if n.Op != "Cast" {
		delete(m.Attrs, "stash_type")
	}
	for _, v := range n.Inputs {
		switch {
		case v == nil:
			m.Inputs = append(m.Inputs, nil)
		case v.Const != nil:
			m.Inputs = append(m.Inputs, b.Constant(wide(v.Const)))
		default:
			m.Inputs = append(m.Inputs, to[v])
		}
	}
	for i, v := range b.Node(m, len(n.Outputs)) {
		to[n.Outputs[i]] = v
	}
}

// addGradient differentiates the first output that is a floating-point number.
func (c *placed) addGradient(b *onnx.Builder, model *onnx.Graph, to map[*onnx.Value]*onnx.Value, skip func(*onnx.Builder, string, ...any)) {
	y := to[model.Outputs[0]]
	if y == nil || y.Type != onnx.Float64 || y.Shape == nil {
		skip(b, "its output is no float64 of known rank")
	}
	if _, err := y.Shape.Eval(nil); err != nil {
		skip(b, "its output's shape depends on the data")
	}
	seed := b.Input("seed", y.Type, y.Shape...)
	grads, err := autodiff.Gradient(b, []*onnx.Value{y}, []*onnx.Value{seed}, c.variables)
	if err != nil {
		skip(b, "no gradient rule: %v", strings.TrimPrefix(err.Error(), "differentiate graph: no gradient rule for "))
	}
	some := false
	for i, v := range c.variables {
		if grads[i] != nil {
			some = true
			b.Output("d."+v.Name, grads[i])
		}
	}
	if !some {
		skip(b, "its output does not depend on a floating-point input")
	}
	b.Output("y", y)
	c.seeds, c.outputs = []*onnx.Value{seed}, []string{"y"}
}

// alongDirection gives the derivative of ⟨seed, y⟩ along a random direction: by the rules, and by differences.
func (c *placed) alongDirection(t *testing.T) (byRule, byDifferences float64) {
	rng := rand.New(rand.NewPCG(7, 8))
	direction := map[string][]float64{}
	size, _ := c.seeds[0].Shape.Size().Const()
	seed := make([]float64, size)
	for i := range seed {
		seed[i] = rng.NormFloat64()
	}
	for _, v := range c.variables {
		for range c.at[v.Name] {
			direction[v.Name] = append(direction[v.Name], rng.NormFloat64())
		}
	}
	at := func(h float64) map[string][]float64 {
		moved := map[string][]float64{"seed": seed}
		for name, xs := range c.at {
			for i, x := range xs {
				moved[name] = append(moved[name], x+h*direction[name][i])
			}
		}
		return c.run(t, moved)
	}
	out := at(0)
	for _, v := range c.variables {
		if d, ok := out["d."+v.Name]; ok {
			byRule += dot(d, direction[v.Name])
		}
	}
	h := 1e-6 // where numbers are large, a larger step loses fewer digits to their rounding
	for _, xs := range c.at {
		for _, x := range xs {
			h = math.Max(h, 1e-6*math.Sqrt(math.Abs(x)))
		}
	}
	return byRule, (dot(at(h)["y"], seed) - dot(at(-h)["y"], seed)) / (2 * h)
}

func readTensor(path string) *onnx.Tensor {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	t, err := onnx.UnmarshalTensor(data)
	if err != nil {
		return nil
	}
	return t
}

// wide makes a float32 tensor float64.
func wide(t *onnx.Tensor) *onnx.Tensor {
	if t.Type != onnx.Float32 {
		return t
	}
	values, err := t.Floats()
	if err != nil {
		return t
	}
	out, err := onnx.FloatTensor(onnx.Float64, values, t.Dims...)
	if err != nil {
		return t
	}
	out.Dims = t.Dims
	return out
}

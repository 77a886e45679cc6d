package autodiff_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/graphtest"
	"github.com/dpo-ort/dpo-ort/runtime/autodiff"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

func cosine(a, shift float64) float64 {
	if shift != 0 {
		return math.Sin(a)
	}
	return math.Cos(a)
}

func TestEveryRuleHasARecord(t *testing.T) {
	has := map[string]bool{}
	for _, r := range records {
		has[r.op] = true
	}
	for _, op := range autodiff.Operators() {
		if !has[op] {
			t.Errorf("the gradient rule of %s has no record in records_test.go", op)
		}
	}
}

// Each rule's gradient, on ONNX Runtime in float64, against central differences along one random direction. The error
// of differences of float32 values is larger, and the bar with it.
func TestRules(t *testing.T) {
	for _, r := range records {
		t.Run(strings.TrimSuffix(r.op+"/"+r.name, "/"), func(t *testing.T) {
			step, bar := 1e-6, 1e-6
			if r.single {
				step, bar = 1e-2, 2e-3
			}
			got, want := r.derivatives(t, step)
			if math.Abs(got-want) > bar*(1+math.Abs(want)) {
				t.Errorf("gradient along a direction %.9g, by differences %.9g", got, want)
			}
		})
	}
}

// derivatives gives the derivative of ⟨seed, node(inputs)⟩ along a random direction: by the rule, and by differences.
func (r record) derivatives(t *testing.T, step float64) (byRule, byDifferences float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, uint64(len(r.op)+len(r.name))))
	c := r.build(t)
	values, direction := map[string][]float64{}, map[string][]float64{}
	for _, v := range c.variables {
		src := c.sources[v.Name]
		n := onnx.Dims(src.shape...).Size()
		count, _ := n.Const()
		for i := range int(count) {
			values[v.Name] = append(values[v.Name], src.draw(rng, i))
			direction[v.Name] = append(direction[v.Name], rng.NormFloat64())
		}
	}
	for _, s := range c.seeds {
		count, _ := s.Shape.Size().Const()
		for range count {
			values[s.Name] = append(values[s.Name], rng.NormFloat64())
		}
	}
	out := c.run(t, values)
	for _, v := range c.variables {
		byRule += dot(out["d."+v.Name], direction[v.Name])
	}
	at := func(h float64) (sum float64) {
		moved := map[string][]float64{}
		for name, xs := range values {
			moved[name] = slices.Clone(xs)
			for i, d := range direction[name] {
				moved[name][i] += h * d
			}
		}
		out := c.run(t, moved)
		for i, y := range c.outputs {
			sum += dot(out[y], values[c.seeds[i].Name])
		}
		return sum
	}
	return byRule, (at(step) - at(-step)) / (2 * step)
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// compiled is a record's node with its gradient, ready to run.
type compiled struct {
	graph            *onnx.Graph
	variables, seeds []*onnx.Value
	outputs          []string
	sources          map[string]source
}

func (r record) build(t *testing.T) *compiled {
	t.Helper()
	c := &compiled{sources: map[string]source{}}
	dtype := onnx.Float64
	if r.single {
		dtype = onnx.Float32
	}
	start := &onnx.Graph{Name: "rule", Opsets: map[string]int64{"": onnx.Opset, onnx.Microsoft: 1}}
	if r.opset != 0 {
		start.Opsets[""] = r.opset
	}
	domain, op, found := strings.Cut(r.op, ":")
	if !found {
		domain, op = "", r.op
	}
	g, err := onnx.Extend(start, func(b *onnx.Builder) {
		n := &onnx.Node{Op: op, Domain: domain, Attrs: copyAttrs(r.attrs), Meta: r.meta}
		for i, src := range r.inputs {
			name := string(rune('a' + i))
			switch {
			case src.absent:
				n.Inputs = append(n.Inputs, nil)
			case src.label != "":
				b.Input(src.label, onnx.Int64, onnx.Dims(src.shape...)...)
				c.sources[src.label] = src
			case src.fixed != nil:
				n.Inputs = append(n.Inputs, b.Constant(src.fixed))
			default:
				v := b.Input(name, dtype, onnx.Dims(src.shape...)...)
				c.variables, c.sources[name] = append(c.variables, v), src
				n.Inputs = append(n.Inputs, v)
			}
		}
		ys := b.Node(n, max(r.outs, 1))
		if r.op == "SimplifiedLayerNormalization" || r.op == "TopK" { // the others are no numbers to differentiate
			ys = ys[:1]
		}
		for i, y := range ys {
			c.seeds = append(c.seeds, b.Input("seed"+string(rune('0'+i)), y.Type, y.Shape...))
		}
		grads, err := autodiff.Gradient(b, ys, c.seeds, c.variables)
		if err != nil {
			b.Fail("%w", err)
		}
		for i, v := range c.variables {
			if !grads[i].Shape.Equal(v.Shape) {
				b.Fail("the gradient of %s%s has shape %s", v.Name, v.Shape, grads[i].Shape)
			}
			b.Output("d."+v.Name, grads[i])
		}
		for i, y := range ys {
			name := "y" + string(rune('0'+i))
			b.Output(name, y)
			c.outputs = append(c.outputs, name)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.graph = g
	return c
}

func copyAttrs(a onnx.Attrs) onnx.Attrs {
	out := onnx.Attrs{}
	maps.Copy(out, a)
	return out
}

// run runs the graph on ONNX Runtime.
func (c *compiled) run(t *testing.T, values map[string][]float64) map[string][]float64 {
	t.Helper()
	return runGraph(t, c.graph, func(in *onnx.Value) []byte {
		if in.Type == onnx.Int64 {
			return onnx.IntTensor(c.sources[in.Name].input).Data
		}
		data, err := onnx.FloatTensor(in.Type, values[in.Name])
		if err != nil {
			t.Fatal(err)
		}
		return data.Data
	})
}

// runGraph runs a graph whose shapes are all fixed, and gives its outputs.
func runGraph(t testing.TB, g *onnx.Graph, input func(in *onnx.Value) []byte) map[string][]float64 {
	t.Helper()
	given, out := map[string]*onnx.Tensor{}, map[string][]float64{}
	for _, in := range g.Inputs {
		shape, err := in.Shape.Eval(nil)
		if err != nil {
			t.Fatal(err)
		}
		given[in.Name] = &onnx.Tensor{Type: in.Type, Dims: shape, Data: input(in)}
	}
	for name, x := range graphtest.Run(t, g, nil, given) {
		out[name] = graphtest.Floats(t, x)
	}
	return out
}

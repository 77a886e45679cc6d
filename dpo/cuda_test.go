package dpo

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// folders are those of the models and adapters that have golden gradients, by name.
func folders(t *testing.T) map[string]string {
	t.Helper()
	of := map[string]string{}
	for _, name := range gradientModels {
		of[name] = golden.Testdata(t, "models", name)
	}
	for _, name := range goldenAdapters {
		of["adapter "+name] = golden.Testdata(t, "adapters", name)
	}
	return of
}

// equalsCPU holds a device's log-probabilities and gradients of each golden model and adapter, by each rung, against the CPU's.
func equalsCPU(t *testing.T, d ort.Device, bar float64) {
	for model, dir := range folders(t) {
		for _, rung := range artifact.Rungs {
			t.Run(model+"/"+string(rung), func(t *testing.T) {
				o := engine.Options{Plan: engine.Uniform(rung, 99)}
				n := openTest(t, dir, onnx.Float32, o)
				groups, weights := mixedGroups(n.model.Vocab)
				wantLogps, want := gradients(t, n, groups, weights)
				o.Device = d
				logps, got := gradients(t, openTest(t, dir, onnx.Float32, o), groups, weights)
				for i := range logps {
					if relative := math.Abs(logps[i]/wantLogps[i] - 1); !(relative <= bar) {
						t.Errorf("log-probability %d: %v, on the CPU %v", i, logps[i], wantLogps[i])
					}
				}
				worst := 0.0
				for name := range want {
					worst = max(worst, furthest(got[name], want[name])/largest(want[name]))
				}
				if t.Logf("largest error of a gradient, in its tensor's largest element, %.1e", worst); !(worst <= bar) {
					t.Errorf("error %.1e, bar %.0e", worst, bar)
				}
			})
		}
	}
}

// pointAlike compares a gradient in half precision with float32's.
func pointAlike(t *testing.T, want, got map[string][]float64) {
	t.Helper()
	var a, b []float64
	least, at := 1.0, ""
	for name := range want {
		if c := cosine(got[name], want[name]); !(c >= least) {
			least, at = c, name
		}
		a, b = append(a, got[name]...), append(b, want[name]...)
	}
	whole := cosine(a, b)
	if t.Logf("cosine %.6f, least of a tensor %.6f (%s)", whole, least, at); !(whole >= 0.999 && least >= 0.99) {
		t.Errorf("cosine %.5f, of %s %.5f", whole, at, least)
	}
}

func cosine(a, b []float64) float64 {
	dot := 0.0
	for i := range a {
		dot += a[i] * b[i]
	}
	return dot / math.Sqrt(square(a)*square(b))
}

// sameLosses compares the losses of a run's steps in half precision with float32's: to 2 % of the first.
func sameLosses(t *testing.T, want, got []float64) {
	t.Helper()
	worst := 0.0
	for i := range want {
		worst = max(worst, math.Abs(got[i]-want[i])/want[0])
	}
	if t.Logf("largest difference of a step's loss %.2f %% of the first; last losses %.4f and %.4f", 100*worst, got[len(got)-1], want[len(want)-1]); !(worst <= 0.02) {
		t.Errorf("steps lose %v, in float32 %v", got, want)
	}
}

// The graphs of half precision are those of float32, but for casts: with their types widened they compute the same.
func TestHalfGraphsWidened(t *testing.T) {
	for _, compute := range []onnx.DType{onnx.BFloat16, onnx.Float16} {
		t.Run(compute.String(), func(t *testing.T) { widenedGraphs(t, compute) })
	}
}

func widenedGraphs(t *testing.T, compute onnx.DType) {
	for _, dir := range folders(t) {
		n := openTest(t, dir, onnx.Float32, engine.Options{})
		groups, weights := mixedGroups(n.model.Vocab)
		logps, grads := gradients(t, n, groups, weights)
		a, err := NewArtifact(n.model.Architecture, n.model.Decoder,
			Export{Types: models.Types{Compute: compute, Weights: onnx.Float32, Fused: true}, Rungs: artifact.Rungs})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range a.Graphs {
			widen(t, g, compute)
		}
		a.Compute = onnx.Float32.String()
		m, err := models.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		wide, err := preparePolicy(m, a, engine.Options{})
		if err == nil {
			err = wide.load()
		}
		if err != nil {
			t.Fatal(err)
		}
		otherLogps, others := gradients(t, wide, groups, weights)
		sameResults(t, logps, otherLogps, grads, others)
		if otherLogps, err = wide.logps(groups); err != nil {
			t.Fatal(err)
		}
		sameResults(t, logps, otherLogps, nil, nil)
		if err := wide.close(); err != nil {
			t.Error(err)
		}
	}
}

// widen makes a graph compute in float32 what it computes in a type of half precision.
func widen(t *testing.T, g *onnx.Graph, from onnx.DType) {
	t.Helper()
	widened := func(values []*onnx.Value) {
		for _, v := range values {
			if v != nil && v.Type == from {
				v.Type = onnx.Float32
			}
		}
	}
	widened(g.Inputs)
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			if v != nil && v.Const != nil && v.Const.Type == from {
				v.Const = wideTensor(t, v.Const)
			}
		}
		for name, attribute := range n.Attrs {
			if constant, ok := attribute.(*onnx.Tensor); ok && constant.Type == from {
				n.Attrs[name] = wideTensor(t, constant)
			}
		}
		if n.Op == "Cast" && n.Int("to", 0) == int64(from) {
			n.Attrs["to"] = int64(onnx.Float32)
		}
		widened(n.Inputs)
		widened(n.Outputs)
	}
}

func wideTensor(t *testing.T, narrow *onnx.Tensor) *onnx.Tensor {
	t.Helper()
	values, err := narrow.Floats()
	if err != nil {
		t.Fatal(err)
	}
	wide, err := onnx.FloatTensor(onnx.Float32, values, narrow.Dims...)
	if err != nil {
		t.Fatal(err)
	}
	return wide
}

// Every operator of every graph, in each type that models compute in, has a kernel on a GPU by the library's own list, so that none
// falls back to the CPU.
func TestGraphsHaveCUDAKernels(t *testing.T) {
	kernels := readKernels(t)
	for _, compute := range []onnx.DType{onnx.Float32, onnx.BFloat16, onnx.Float16} {
		for _, dir := range folders(t) {
			_, d, err := models.Describe(dir)
			if err != nil {
				t.Fatal(err)
			}
			weights := onnx.Float32
			if d.Adapter != nil { // whose base may be of any type
				weights = compute
			}
			for _, optimizer := range optim.Names() {
				a, err := NewArtifact("", d, Export{Types: models.Types{Compute: compute, Weights: weights, Fused: fuses(ort.Device{Kind: ort.CUDA}, compute)}, Loss: named(t, "sigmoid"), Optimizer: optimizer,
					Rungs: artifact.Rungs})
				if err != nil {
					t.Fatal(err)
				}
				for graph, g := range a.Graphs {
					kernels.check(t, fmt.Sprintf("%s: graph %s", compute, graph), g)
				}
			}
		}
	}
	for _, dir := range folders(t) {
		_, d, err := models.Describe(dir)
		if err != nil {
			t.Fatal(err)
		}
		for graph, g := range continuing(t, d).Graphs {
			kernels.check(t, "continuing: graph "+graph, g)
		}
	}
	for _, name := range loss.Names() {
		for _, divergence := range loss.Divergences() {
			l, err := named(t, name).Under(divergence)
			if err != nil {
				continue // it has no place there
			}
			g, err := lossWithGradient(l, onnx.Float64)
			if err != nil {
				t.Fatal(err)
			}
			kernels.check(t, "loss "+name+" under "+divergence, g)
		}
	}
}

// continuing are the graphs by which a device continues sequences.
func continuing(t *testing.T, d models.Decoder) *artifact.Artifact {
	t.Helper()
	a, err := NewArtifact("", d, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32}, Decode: true, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// check reports the nodes of a graph that have no kernel.
func (table kernelTable) check(t *testing.T, what string, g *onnx.Graph) {
	t.Helper()
	for _, n := range g.Nodes {
		if !table.have(n, g.Opsets[n.Domain]) {
			t.Errorf("%s: %s has no CUDA kernel for %s", what, n.Op, strings.Join(namedTypes(n), " and "))
		}
	}
}

// kernel is what a kernel takes: opsets, and types.
type kernel struct {
	first, last int64
	types       map[string]bool
}

type kernelTable map[string][]kernel // by domain:operator

func readKernels(t *testing.T) kernelTable {
	t.Helper()
	file, err := os.Open(golden.Testdata(t, "golden", "cuda-kernels.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	table := kernelTable{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		first, err1 := strconv.ParseInt(f[2], 10, 64)
		last, err2 := strconv.ParseInt(f[3], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("line %q: %v %v", lines.Text(), err1, err2)
		}
		name := strings.TrimPrefix(f[0], "-") + ":" + f[1]
		for _, list := range f[4:] {
			k := kernel{first, last, map[string]bool{}}
			for of := range strings.SplitSeq(list, "+") {
				k.types[of] = true
			}
			table[name] = append(table[name], k)
		}
	}
	return table
}

// halves are operators whose kernels take float32 for scales alone: the list does not say which of an operator's inputs is of which type.
var halves = map[string]bool{"GroupQueryAttention": true}

// have reports whether one kernel takes all types of a node that are named.
func (table kernelTable) have(n *onnx.Node, opset int64) bool {
	if halves[n.Op] && n.Inputs[0].Type == onnx.Float32 {
		return false
	}
	return slices.ContainsFunc(table[fmt.Sprintf("%s:%s", n.Domain, n.Op)], func(k kernel) bool {
		return k.first <= opset && opset <= k.last &&
			!slices.ContainsFunc(namedTypes(n), func(of string) bool { return !k.types[of] })
	})
}

// namedTypes are the types of a node's inputs and outputs, as ONNX Runtime names them, but for those of indices, which the list has only where
// there is a choice.
func namedTypes(n *onnx.Node) (types []string) {
	named := map[onnx.DType]string{onnx.Float32: "float", onnx.Float64: "double", onnx.Float16: "float16", onnx.BFloat16: "bfloat16", onnx.Int32: "int32"}
	for _, v := range slices.Concat(n.Inputs, n.Outputs) {
		if v != nil && named[v.Type] != "" && !slices.Contains(types, named[v.Type]) {
			types = append(types, named[v.Type])
		}
	}
	return types
}

package exported

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// settle gives each weight of the file one constant of its own, under its own name. Exporters keep equal tensors once: the norms of a model
// whose weights are all 1, say, which are not one parameter. What is one parameter is told by [findWeights].
func settle(g *onnx.Graph) {
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool {
		t := holds(n)
		if t == nil {
			return false
		}
		v := n.Outputs[0]
		v.Const, v.Node, v.Type, v.Shape = t, nil, t.Type, onnx.Dims(t.Dims...)
		return true
	})
	seen, taken := map[*onnx.Value]bool{}, names(g)
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			if v == nil || v.Const == nil || v.Type != onnx.Float32 || len(v.Shape) != 1 || v.Const.Count() < 2 || !even(v.Const) {
				continue
			}
			if !seen[v] {
				seen[v] = true
				continue
			}
			own := *v
			if own.Name = scoped(n, i); own.Name == "" || taken[own.Name] {
				own.Name = fmt.Sprintf("%s of %s", v.Name, n.Name)
			}
			for name, at := own.Name, 2; taken[own.Name]; at++ {
				own.Name = fmt.Sprintf("%s (%d)", name, at)
			}
			taken[own.Name], n.Inputs[i] = true, &own
		}
	}
}

// holds is the tensor that a node gives as it is: a Constant of floating-point numbers, or the Identity of a constant; nil for others.
func holds(n *onnx.Node) *onnx.Tensor {
	switch {
	case n.Domain != "":
	case n.Op == "Identity":
		return n.Inputs[0].Const
	case n.Op == "Constant":
		if t := onnx.ConstantOf(n); t != nil && t.Type.IsFloat() && t.Count() > 1 {
			return t
		}
	}
	return nil
}

// names are those of all values of a graph.
func names(g *onnx.Graph) map[string]bool {
	all := map[string]bool{}
	for _, v := range slices.Concat(g.Inputs, g.Constants()) {
		all[v.Name] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			all[v.Name] = true
		}
	}
	return all
}

// even reports a tensor whose elements are all the same.
func even(t *onnx.Tensor) bool {
	size := t.Type.Size()
	return len(t.Data) > size && bytes.Equal(t.Data[size:], t.Data[:len(t.Data)-size])
}

// anonymous reports a name that an exporter made up, as it does for a weight that it has transposed.
func anonymous(name string) bool {
	return !strings.Contains(name, ".") || strings.HasPrefix(name, "onnx::") || strings.HasPrefix(name, "/")
}

// scoped is what PyTorch calls the parameter that a node reads as input i: the node's module, as the exporters note it, and whether it is a
// weight or a bias. "" where the module is not known.
func scoped(n *onnx.Node, i int) string {
	module := moduleOf(n)
	if module == "" {
		return ""
	}
	bias := i == 2 || n.Op == "Add" || n.Op == "Sub"
	if bias {
		return module + ".bias"
	}
	return module + ".weight"
}

// moduleOf is the path of the module that a node was exported from: in its metadata, or in its name, "/model/layers.0/mlp/up_proj/MatMul".
func moduleOf(n *onnx.Node) string {
	if scopes := strings.Split(n.Meta["pkg.torch.onnx.name_scopes"], "'"); len(scopes) >= 4 {
		return scopes[len(scopes)-4] // the last is the node's own
	}
	path, isPath := strings.CutPrefix(n.Name, "/")
	if at := strings.LastIndexByte(path, '/'); isPath && at >= 0 {
		return strings.ReplaceAll(path[:at], "/", ".")
	}
	return ""
}

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
		if n.Op != "Identity" || n.Domain != "" || n.Inputs[0].Const == nil {
			return false
		}
		v := n.Outputs[0]
		v.Const, v.Node, v.Type, v.Shape = n.Inputs[0].Const, nil, n.Inputs[0].Type, n.Inputs[0].Shape
		return true
	})
	seen, taken := map[*onnx.Value]bool{}, map[string]bool{}
	for _, v := range g.Constants() {
		taken[v.Name] = true
	}
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
			taken[own.Name], n.Inputs[i] = true, &own
		}
	}
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

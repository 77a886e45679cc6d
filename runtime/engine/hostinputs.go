package engine

import "slices"

// HostReads lists, by operator, the inputs that ONNX Runtime's CUDA kernels read in the host's memory: shapes, sizes and axes.
var HostReads = map[string][]int{
	"ConstantOfShape": {0}, "Expand": {1}, "GroupQueryAttention": {6}, "OneHot": {1}, "Pad": {1, 3}, "Range": {0, 1, 2}, "ReduceMax": {1},
	"ReduceMean": {1}, "ReduceMin": {1}, "ReduceSum": {1}, "ReduceSumSquare": {1}, "Reshape": {1}, "Slice": {1, 2, 3, 4}, "Split": {1}, "Squeeze": {1}, "Tile": {1}, "TopK": {1}, "Unsqueeze": {1},
}

// hostInputs are those inputs of the stages' graphs that are read in the host's memory alone: from a device each Run would fetch them, and wait.
func (e *Engine) hostInputs() map[string]bool {
	host, device := map[string]bool{}, map[string]bool{}
	for _, g := range e.art.Graphs {
		for _, n := range g.Nodes {
			for i, v := range n.Inputs {
				switch {
				case v == nil || v.Node != nil || v.Const != nil:
				case slices.Contains(HostReads[n.Op], i):
					host[v.Name] = true
				case n.Op != "Shape":
					device[v.Name] = true
				}
			}
		}
	}
	for name := range device {
		delete(host, name)
	}
	return host
}

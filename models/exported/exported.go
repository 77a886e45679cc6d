// Package exported reads causal language models that other programs wrote as ONNX, so that they can be trained: by torch.onnx.export, by
// either of its exporters, by Optimum, and by ONNX Runtime's own tools, with inputs for a cache or without.
//
// What is found is one graph from token ids to logits. Its weights become inputs, under the names that they have in PyTorch where the file
// still tells; its last product is cut off, for the engine's head does that over pieces of the vocabulary; inputs for a cache are taken to be
// empty; and the operators that ONNX Runtime fuses are written out ([formula]). The rest stays as it was exported, so no prompt is shared
// between completions, and nothing is known of layers.
package exported

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/formula"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Model is a model that was read. Letters in shapes: N sequences, S tokens of each, R scored tokens, D hidden, V vocabulary.
type Model struct {
	Path          string
	Vocab, Hidden int
	Roles         []Role // of the graph's inputs and outputs, in their order

	// Body computes, from the inputs of [Inputs] and from weights, each an input of its tensor's name, what the head reads: y [R,D].
	Body *onnx.Graph
	Head Head

	Weights   map[string]Weight // by tensor
	Kept      []string          // names of the floating-point constants that are no weights: tables of cosines, masks
	Positions int               // that a table knows, learned or not; 0 where there is none

	file      *onnx.Graph // as it was read, with one constant for each weight
	operators []Operator
}

// Inputs of Body beside weights.
const (
	IDs       = "ids"            // [N,S]
	Mask      = "attention_mask" // [N,S]: 1 for a token, 0 for padding, which is on the right
	Positions = "positions"      // [N,S]
	Rows      = "rows"           // [R]: of the N·S rows those whose logits are asked for
)

// Head is the last product of the model, logits = tail(y·unembedᵀ + bias).
type Head struct {
	Unembed, Bias string       // tensors [V,D] and [V]; Bias is "" for none
	tail          []*onnx.Node // what follows, number by number
}

// Weight is a tensor of the model, float32: what the constants of the file that hold it are called, and whether each holds it transposed.
type Weight struct {
	Shape     []int64
	constants map[string]bool

	from   *onnx.Tensor // one of the constants
	turned bool         // which holds it transposed
}

// Data are the elements. Those of a transposed constant are made anew each time, so that memory holds a model once.
func (w Weight) Data() []byte {
	if w.turned {
		return turned(w.from.Data, w.from.Dims[0], w.from.Dims[1])
	}
	return w.from.Data
}

// size is how many bytes the elements have.
func (w Weight) size() int { return len(w.from.Data) }

// IsFile reports whether a model's path is that of an ONNX file.
func IsFile(path string) bool { return filepath.Ext(path) == ".onnx" }

// Open reads a model. What it cannot be trained for is refused: all operators at once, each with its node, and inputs by name.
func Open(path string) (*Model, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	g, err := onnx.Load(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	m, err := fromGraph(g)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", path, err)
	}
	m.Path = path
	return m, nil
}

func fromGraph(g *onnx.Graph) (*Model, error) {
	m := &Model{file: g, Weights: map[string]Weight{}}
	return m, m.read()
}

func (m *Model) read() error {
	logits, shapes, err := m.roles()
	if err != nil {
		return err
	}
	if m.operators, err = check(m.file, logits); err != nil {
		return err
	}
	settle(m.file)
	g, err := onnx.Rewrite(m.file, onnx.Rewriting{Inputs: shapes, Outputs: []string{logits.Name}, Replace: formula.WriteOut})
	if err != nil {
		return err
	}
	cut, err := cutHead(g, m.idsInput())
	if err != nil {
		return err
	}
	weights, kept, positions := findWeights(g, cut)
	m.Kept, m.Positions = kept, positions
	return m.build(g, cut, weights)
}

// Report lists what was found, a line each: inputs, outputs, weights, and which constants are none.
func (m *Model) Report() []string {
	var lines []string
	for i, r := range m.Roles {
		if i > 0 && m.Roles[i-1].Is == r.Is && (r.Is == isPast || r.Is == isLeft) {
			continue // the same of the next layer
		}
		like := 0
		for i+like+1 < len(m.Roles) && m.Roles[i+like+1].Is == r.Is {
			like++
		}
		if like > 0 {
			r.Name = fmt.Sprintf("%s and %d more", r.Name, like)
		}
		lines = append(lines, r.String())
	}
	parameters := int64(0)
	for _, w := range m.Weights {
		parameters += int64(w.size() / 4)
	}
	lines = append(lines, fmt.Sprintf("%d weights of %d numbers; the head is %s [%d,%d]", len(m.Weights), parameters, m.Head.Unembed, m.Vocab, m.Hidden))
	if m.Kept != nil {
		lines = append(lines, "not trained, tables and masks: "+strings.Join(m.Kept, ", "))
	}
	return lines
}

// Operator is one of the file's, on the way to the logits.
type Operator struct {
	Name  string
	Count int
	How   string // it is differentiated
}

// Operators lists them by name.
func (m *Model) Operators() []Operator { return m.operators }

// Tensors lists the weights, sorted.
func (m *Model) Tensors() []string { return slices.Sorted(maps.Keys(m.Weights)) }

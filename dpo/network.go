package dpo

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// network is a model with the engine that runs it and the weights it runs with.
type network struct {
	model   *models.Model
	compute onnx.DType
	long    int      // see longRows
	fused   bool     // the engine has graphs with fused attention
	tail    *float64 // see tailWeights; nil for 1
	engine  *engine.Engine
	weights *engine.Weights
	plain   bool // graphs that continue sequences are of plain operators
	lent    bool // model and weights are another network's
}

// storedTypes are the graph types of weights as they lie in files.
var storedTypes = map[string]onnx.DType{"F32": onnx.Float32, "F16": onnx.Float16, "BF16": onnx.BFloat16}

// openFrozen opens a model to be scored with: its weights stay mapped from the files, in the type they have there.
func openFrozen(dir string, compute onnx.DType, o engine.Options) (*network, error) {
	return openAs(dir, Export{Types: models.Types{Compute: compute}}, o)
}

// openAs opens a model with further graphs. Weights are mapped from the files where x has no other type for them. Of what can be
// offloaded it has the parameters alone.
func openAs(dir string, x Export, o engine.Options) (*network, error) {
	m, err := models.Open(dir)
	if err != nil {
		return nil, err
	}
	return networkOf(m, x, o)
}

// networkOf is openAs of a model that is open, and is closed with the network, or where there can be none.
func networkOf(m *models.Model, x Export, o engine.Options) (n *network, err error) {
	n = &network{model: m, compute: x.Types.Compute, long: longFrom(o.Device)}
	if o.Offload == engine.OffloadStates {
		o.Offload = ""
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := holds(n.compute, n.model); err != nil {
		return n, err
	}
	n.plain = !o.Device.OnHost()
	x.Types.Weights, x.Plain = cmp.Or(x.Types.Weights, storedType(n.model)), n.plain
	x.Types.Fused = x.Types.Fused || fuses(o.Device, x.Types.Compute)
	a, err := NewArtifact(n.model.Architecture, n.model.Decoder, x)
	if err != nil {
		return n, err
	}
	if n.engine, err = engine.New(a, o); err != nil {
		return n, err
	}
	n.fused = hasFused(a)
	if (o.Device.OnHost() || o.Offload == engine.OffloadParameters) && n.engine.Takes(n.model) {
		n.weights, err = n.engine.Map(n.model)
	} else {
		n.weights, err = n.engine.Load(n.model)
	}
	return n, err
}

// beside makes another engine over a network's model and weights, which must not be closed before it is.
func (n *network) beside(o engine.Options) (*network, error) {
	other := *n
	other.lent = true
	var err error
	other.engine, err = engine.New(n.engine.Artifact(), o)
	return &other, err
}

// storedType is the graph type of a model's weights as they lie in its files; float32 where they are of several.
func storedType(m *models.Model) onnx.DType {
	if t, ok := storedTypes[m.WeightType()]; ok {
		return t
	}
	return onnx.Float32
}

// preparePolicy makes ready to run an artifact's graphs; its weights are loaded by load.
func preparePolicy(m *models.Model, a *artifact.Artifact, o engine.Options) (n *network, err error) {
	n = &network{model: m, long: longFrom(o.Device), fused: hasFused(a)}
	if n.compute, err = onnx.ParseDType(a.Compute); err != nil {
		return n, err
	}
	if err := holds(n.compute, m); err != nil {
		return n, err
	}
	n.engine, err = engine.New(a, o)
	return n, err
}

func (n *network) load() (err error) {
	n.weights, err = n.engine.Load(n.model)
	return err
}

// hasFused reports whether an artifact has graphs with fused attention; it has them of all kinds of layers, or of none.
func hasFused(a *artifact.Artifact) bool {
	return slices.ContainsFunc(a.Stages, func(s artifact.Stage) bool { return a.Graphs[models.Fused(s.Graph)] != nil })
}

// batch lays out groups of one K for passes of all kinds.
func (n *network) batch(groups []datasets.Example) *engine.Batch { return n.layOut(groups, true) }

// scoring lays out groups of one K for passes that keep nothing of any stage.
func (n *network) scoring(groups []datasets.Example) *engine.Batch { return n.layOut(groups, false) }

// layOut leaves out what no graph reads where nothing is kept. Masks, of which there are most bytes, are read by graphs with a gradient alone.
func (n *network) layOut(groups []datasets.Example, keeps bool) *engine.Batch {
	if n.model.Exported != nil {
		return n.weigh(newSequences(groups, n.model.Positions), groups)
	}
	shape := shapeOf(groups, n.long)
	l := newLayout(n.model.Decoder, n.compute, groups, shape.blocks)
	b, fused := l.batch(), n.fused && shape.fused()
	if fused {
		l.whole(b)
	}
	if keeps || !fused {
		l.part(b)
	}
	return n.weigh(b, groups)
}

// weigh gives the scored tokens of a batch their weights.
func (n *network) weigh(b *engine.Batch, groups []datasets.Example) *engine.Batch {
	if n.tail != nil {
		b.Weight = tailWeights(groups, *n.tail)
	}
	return b
}

// logps scores groups of one K: [G·K].
func (n *network) logps(groups []datasets.Example) ([]float64, error) {
	pass, err := n.engine.Score(n.weights, n.scoring(groups))
	if err != nil {
		return nil, err
	}
	return pass.LogProbs, nil
}

func (n *network) close() error {
	var errs []error
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.weights != nil && !n.lent {
		errs = append(errs, n.weights.Close())
	}
	if n.model != nil && !n.lent {
		errs = append(errs, n.model.Close())
	}
	*n = network{}
	return errors.Join(errs...)
}

// weightsDigest is the SHA-256 of a model's description and of its tensors as they are stored.
func weightsDigest(m *models.Model) (string, error) {
	h := sha256.New()
	d := m.Decoder
	d.Adapter, d.Exported = nil, nil
	described := fmt.Sprintf("%+v", d)
	for _, other := range []string{" Exported:<nil>", " Adapter:<nil>", fmt.Sprintf(" Form:%+v", models.Form{})} { // files that were scored before these were known stay valid
		described = strings.Replace(described, other, "", 1)
	}
	described = strings.ReplaceAll(described, " Long:[]", "")
	fmt.Fprintf(h, "%s %s\n", m.Architecture, described)
	if m.Adapter != nil {
		fmt.Fprintf(h, "%+v\n", *m.Adapter)
	}
	if m.Exported != nil {
		fmt.Fprintln(h, m.Exported.Body)
	}
	for _, name := range m.Tensors() {
		t, err := m.Tensor(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %s %v\n", name, t.DType, t.Shape)
		h.Write(t.Data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// digest is the SHA-256 of the token ids of all examples, in order.
func (r *Rows) digest() string {
	h := sha256.New()
	var line []byte
	for _, x := range r.Examples {
		line = fmt.Appendln(appendIDs(line[:0], x.Prompt), x.Margin)
		for _, c := range x.Completions {
			line = fmt.Appendln(appendIDs(line, c.IDs), c.Start)
			if c.Gaps != nil {
				line = fmt.Appendln(line, "gaps", c.Gaps)
			}
		}
		if x.Dissent != 0 || x.Places != nil {
			line = fmt.Appendln(line, x.Dissent, x.Places)
		}
		if x.Label == datasets.Desirable || x.Label == datasets.Undesirable {
			line = fmt.Appendln(line, "label", x.Label)
		}
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// appendIDs writes ids as package fmt does, many times faster, and a space.
func appendIDs(b []byte, ids []int32) []byte {
	b = append(b, '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return append(b, "] "...)
}

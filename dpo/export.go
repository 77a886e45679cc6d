package dpo

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/autodiff"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Export says which graphs of a model to make.
type Export struct {
	Types     models.Types
	Loss      *loss.Loss // with its gradient; nil for none
	Optimizer string     // "" for none

	OptimizerSettings settings.Values // those that are not the default

	Rungs  []artifact.Rung // whose backward graphs to make; none for scoring only
	Decode bool            // graphs that continue sequences, in float32
	Plain  bool            // these by plain operators, as devices need them
}

// lossGraph is the artifact's name for the loss.
const lossGraph = "loss"

// NewArtifact makes the graphs of a model of this architecture and shape.
func NewArtifact(architecture string, d models.Decoder, x Export) (*artifact.Artifact, error) {
	graphs, err := d.Graphs(x.Types)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	a := &artifact.Artifact{
		Graphs: graphs,
		Manifest: artifact.Manifest{
			Architecture: architecture,
			Compute:      x.Types.Compute.String(), Weights: x.Types.Weights.String(),
			Dims:      map[string]int64{"vocab": int64(d.Vocab), "hidden": int64(d.Hidden)},
			Aliases:   map[string]map[string]string{},
			Optimizer: x.Optimizer,
		},
	}
	if x.Loss != nil {
		a.Loss = x.Loss.Identity()
	}
	if d.Exported == nil {
		if err := describeDecoder(a, d); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	for _, s := range d.Stages() {
		a.Stages = append(a.Stages, stage(s, graphs[s.Graph]))
	}
	if err := differentiate(a, x.Rungs); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if err := addDecoding(a, d, x); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	trained := d.Trained(x.Types)
	rounded := trained
	if len(x.Rungs) > 0 && precast(a, x.Types.Compute) {
		rounded = x.Types.Compute
	}
	if err := addMethod(a, x, trained, rounded); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return a, a.Verify()
}

// describeDecoder notes the sizes of a model whose graphs are built here.
func describeDecoder(a *artifact.Artifact, d models.Decoder) (err error) {
	for name, n := range map[string]int{"intermediate": d.Intermediate, "layers": d.Layers, "heads": d.Heads, "kv_heads": d.KVHeads, "head_dim": d.HeadDim} {
		a.Dims[name] = int64(n)
	}
	if d.Local != nil {
		a.Dims["window"] = int64(d.Window)
	}
	a.Rotary, err = json.Marshal(rotaries(d))
	return err
}

// rotaries are what the manifest says of rotary embeddings: the one there is, or, where there are several, each by the input of its
// cosines.
func rotaries(d models.Decoder) any {
	all := map[string]models.Rope{}
	for _, r := range d.Rotations() {
		all[r.Cos] = r.Rope
	}
	if len(all) > 1 {
		return all
	}
	return d.Rope
}

// stage splits a graph's inputs into parameters and the rest.
func stage(s models.Stage, g *onnx.Graph) artifact.Stage {
	out := artifact.Stage{Name: s.Name, Graph: s.Graph, Params: map[string]artifact.Param{}}
	for _, p := range s.Params {
		out.Params[p.Input] = artifact.Param{Tensor: p.Tensor, Frozen: p.Frozen}
	}
	for _, in := range g.Inputs {
		if _, isParam := out.Params[in.Name]; !isParam {
			out.Inputs = append(out.Inputs, in.Name)
		}
	}
	return out
}

// differentiate adds each stage graph's forward and backward graphs for the rungs. The embedding and the last norm have
// nothing to keep, and their gradients are small or by index; the head keeps its exponentials or computes them again, as
// memory allows. Gradients are of what is trained, and of activations behind the first stage.
func differentiate(a *artifact.Artifact, rungs []artifact.Rung) error {
	done := map[string]bool{}
	for graph, s := range stageGraphs(a) {
		if done[graph] || len(rungs) == 0 {
			continue
		}
		done[graph] = true
		params := s.Trained()
		spec := autodiff.Spec{Outputs: []string{"y"}, Wrt: append(slices.Clone(params), "x"), Accumulate: params}
		apply, first := rungs, []string{}
		if len(params) == 0 {
			first = nil
		}
		switch graph {
		case models.BodyGraph:
			spec.Wrt = params
		case models.EmbedGraph:
			if len(params) == 0 {
				continue
			}
			apply, first, spec.Wrt = []artifact.Rung{artifact.Recompute}, nil, params
		case models.FinalGraph:
			apply, first = []artifact.Rung{artifact.Recompute}, nil
		case models.HeadGraph:
			apply, spec.Outputs, spec.Accumulate = []artifact.Rung{artifact.Stash, artifact.Recompute}, differentiated(a.Graphs[graph]), append(params, "x")
			if first != nil { // pieces of the vocabulary add up
				first = append(unpieced(a.Graphs[graph], params), "x")
			}
			if len(spec.Outputs) == 1 { // of a reward model, in one piece, with nothing to keep
				apply, first = apply[1:], []string{"x"}
			}
		}
		for _, r := range apply {
			if err := addPasses(a, graph, r, spec); err != nil {
				return err
			}
			if first != nil {
				spec := spec
				spec.Accumulate = first
				if err := addFirst(a, graph, r, spec); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// unpieced are those of the head's parameters that are no rows of the vocabulary.
func unpieced(head *onnx.Graph, params []string) []string {
	return slices.DeleteFunc(slices.Clone(params), func(input string) bool { return !engine.Whole(head, input) })
}

// differentiated are the names of a graph's outputs that a gradient comes in for.
func differentiated(g *onnx.Graph) (names []string) {
	for _, out := range g.Outputs {
		if out.Name != squares {
			names = append(names, out.Name)
		}
	}
	return names
}

// squares is what the head gives beside its own for WPO, see models.Types.
const squares = "squares"

// stageGraphs are the graphs that run stages, with one of their stages.
func stageGraphs(a *artifact.Artifact) iter.Seq2[string, artifact.Stage] {
	return func(yield func(string, artifact.Stage) bool) {
		for _, s := range a.Stages {
			for _, graph := range []string{s.Graph, models.Long(s.Graph)} {
				if a.Graphs[graph] != nil && !yield(graph, s) {
					return
				}
			}
		}
	}
}

// addPasses adds the graphs of a rung, whose backward pass adds to the gradients of parameters.
func addPasses(a *artifact.Artifact, graph string, r artifact.Rung, spec autodiff.Spec) error {
	pair, err := split(a, graph, r, spec)
	if err != nil {
		return err
	}
	if r != artifact.Recompute {
		a.Graphs[r.Forward(graph)] = pair.Forward
	}
	a.Graphs[r.Backward(graph)] = pair.Backward
	a.Aliases[r.Backward(graph)] = accumulated(spec.Accumulate)
	return nil
}

// addFirst adds the backward graph of a rung that writes them.
func addFirst(a *artifact.Artifact, graph string, r artifact.Rung, spec autodiff.Spec) error {
	pair, err := split(a, graph, r, spec)
	if err != nil {
		return err
	}
	name := artifact.First(r.Backward(graph))
	a.Graphs[name] = pair.Backward
	if len(spec.Accumulate) > 0 {
		a.Aliases[name] = accumulated(spec.Accumulate)
	}
	return nil
}

func split(a *artifact.Artifact, graph string, r artifact.Rung, spec autodiff.Spec) (*autodiff.Pair, error) {
	spec.Rung = autodiff.Rung(r)
	pair, err := autodiff.Split(a.Graphs[graph], spec)
	if err != nil {
		return nil, fmt.Errorf("gradient of graph %s: %w", graph, err)
	}
	return pair, nil
}

// accumulated pairs each gradient that is added to with the input it is added to.
func accumulated(names []string) map[string]string {
	aliases := map[string]string{}
	for _, name := range names {
		aliases[autodiff.GradientName(name)] = "acc." + name
	}
	return aliases
}

// lossWithGradient adds the output dlogps [G,K], the gradient of the loss by the policy's log-probabilities.
func lossWithGradient(l *loss.Loss, t onnx.DType) (*onnx.Graph, error) {
	g, err := loss.Graph(l, t)
	if err != nil {
		return nil, err
	}
	return onnx.Extend(g, func(b *onnx.Builder) {
		policy := g.Input("policy_logps")
		one, err := onnx.FloatTensor(t, []float64{1})
		if err != nil {
			b.Fail("%w", err)
		}
		grads, err := autodiff.Gradient(b, []*onnx.Value{g.Output("loss")}, []*onnx.Value{b.Constant(one)}, []*onnx.Value{policy})
		if err != nil {
			b.Fail("%w", err)
		}
		if grads[0] == nil {
			b.Fail("the losses do not depend on policy_logps")
		}
		b.Output("dlogps", grads[0])
	})
}

// addDecoding adds the graphs that continue sequences, whose caches are extended in place.
func addDecoding(a *artifact.Artifact, d models.Decoder, x Export) error {
	if !x.Decode {
		return nil
	}
	graphs, err := d.DecodeGraphs(x.Types, x.Plain)
	if err != nil {
		return err
	}
	if x.Plain {
		if a.Graphs[engine.CacheGraph], err = models.CopyPositions(int64(d.HeadDim)); err != nil {
			return err
		}
		a.Aliases[engine.CacheGraph] = map[string]string{"copied": "to"}
	}
	for name, g := range graphs {
		a.Graphs[name] = g
		if g.Output("present_key") != nil {
			a.Aliases[name] = map[string]string{"present_key": "past_key", "present_value": "past_value"}
		}
	}
	return nil
}

// addMethod adds the loss, and the optimizer of what is trained, which is of this type, and comes to the stages in the type rounded.
func addMethod(a *artifact.Artifact, x Export, trained, rounded onnx.DType) (err error) {
	if x.Loss != nil {
		if a.Graphs[lossGraph], err = lossWithGradient(x.Loss, onnx.Float64); err != nil {
			return err
		}
	}
	if x.Optimizer == "" {
		return nil
	}
	o, err := optim.New(x.Optimizer, x.OptimizerSettings)
	if err != nil {
		return err
	}
	for _, r := range o.Rules {
		if a.Graphs[r.Graph], err = r.Build(trained, rounded); err != nil {
			return fmt.Errorf("optimizer %s: graph %s: %w", x.Optimizer, r.Graph, err)
		}
		a.Aliases[r.Graph] = r.Aliases
	}
	exact := onnx.Float64
	if x.Types.Compute.Size() < trained.Size() { // the gradient is no more exact
		exact = onnx.Float32
	}
	a.Graphs[engine.NormGraph], err = optim.Norm(trained, exact)
	return err
}

package dpo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// prompt is one to be continued.
type prompt struct {
	row     int64 // in the whole data
	ids     []int32
	text    string // of ids, as it is decoded
	most    int    // tokens of a sample
	samples []Sample
}

// drawing is a sample that is being drawn.
type drawing struct {
	Sample
	prompt *prompt
	number int // among the prompt's samples
	random *rand.Rand
}

// cached is how many tokens a cache has of it: all but the last, whose position this is.
func (d *drawing) cached() int { return len(d.prompt.ids) + len(d.IDs) - 1 }

// take draws the token that follows, from a row of next.
func (g *generator) take(d *drawing, next *engine.Next, row int) error {
	logits, probs := next.Row(row)
	whole := float64(next.LogSumExp[row])
	if whole-whole != 0 {
		return fmt.Errorf("continue row %d: the model's logits are not finite after %d tokens", d.prompt.row, d.Tokens)
	}
	u := 0.0
	if g.Temperature > 0 {
		u = d.random.Float64()
	}
	id := g.draw(logits, probs, u)
	d.IDs, d.Tokens, d.LogProb = append(d.IDs, id), d.Tokens+1, d.LogProb+float64(logits[id])-whole
	return g.finish(d)
}

// finish sees whether a drawing is over, and hands its sample in.
func (g *generator) finish(d *drawing) (err error) {
	ids, full := d.IDs, d.Tokens == d.prompt.most
	ended := slices.Contains(g.eos, ids[len(ids)-1])
	if ended {
		ids = ids[:len(ids)-1]
	}
	if !ended && !full && g.Stop == nil {
		return nil
	}
	if d.Text, err = g.text(d.prompt, ids); err != nil {
		return fmt.Errorf("continue row %d: %w", d.prompt.row, err)
	}
	switch at := firstOf(d.Text, g.Stop); {
	case at >= 0:
		d.Text, d.Finish = d.Text[:at], FinishStop
	case ended:
		d.Finish = FinishStop
	case full:
		d.Finish = FinishLength
	default:
		return nil
	}
	d.prompt.samples[d.number] = d.Sample
	return nil
}

// text is what ids add to a prompt's text. Both are decoded together, since a decoder may write the first word of a text otherwise, and the
// bytes of a letter may stand in several tokens.
func (g *generator) text(p *prompt, ids []int32) (string, error) {
	whole, err := g.tok.Decode(slices.Concat(p.ids, ids))
	if err != nil {
		return "", err
	}
	if text, ok := strings.CutPrefix(whole, p.text); ok {
		return text, nil
	}
	return g.tok.Decode(ids)
}

// firstOf is where the first of some strings begins; −1 where none does.
func firstOf(text string, stops []string) int {
	first := -1
	for _, stop := range stops {
		if at := strings.Index(text, stop); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

// decodeInputs are the inputs of graphs that continue sequences, of which S tokens each are run.
type decodeInputs struct {
	S         int64
	ids       []int64 // [B·S]
	positions []int64 // [B·S]
	last      []int32 // [B]: the position of each sequence's last token
	rows      []int64 // [B]: where it stands in ids
	total     int32
}

// promptBatch is whole prompts, padded on the right.
func (g *generator) promptBatch(prompts []*prompt) *engine.Batch {
	longest := 0
	for _, p := range prompts {
		longest = max(longest, len(p.ids))
	}
	P := roundUp(longest, 1)
	in := decodeInputs{S: int64(P), ids: make([]int64, len(prompts)*P), total: int32(P)}
	for i, p := range prompts {
		for k, id := range p.ids {
			in.ids[i*P+k] = int64(id)
		}
		in.last = append(in.last, int32(len(p.ids)-1))
		in.rows = append(in.rows, int64(i*P+len(p.ids)-1))
	}
	for at := range P {
		if known := g.network.model.Positions; known > 0 {
			at = min(at, known-1) // only padding lies behind the model's context
		}
		in.positions = append(in.positions, int64(at))
	}
	in.positions = slices.Repeat(in.positions, len(prompts))
	b := g.batch(in, g.prompts, models.Prompt)
	b.Inputs["sequences"] = engine.Int64s([]int64{b.Sizes["B"], in.S, -1}, 3)
	if g.network.plain {
		in.plainPrompts(b, g.network.model.Decoder)
	}
	return b
}

// stepBatch is the last token of each drawing, which its cache lacks.
func (g *generator) stepBatch(active []*drawing) *engine.Batch {
	in := decodeInputs{S: 1}
	for i, d := range active {
		at := d.cached()
		in.ids, in.last, in.rows = append(in.ids, int64(d.IDs[len(d.IDs)-1])), append(in.last, int32(at)), append(in.rows, int64(i))
		in.total = max(in.total, int32(at+1))
		in.positions = append(in.positions, int64(at))
	}
	b := g.batch(in, g.cache, models.Step)
	if g.network.plain {
		in.plainSteps(b, g.network.model.Decoder)
	}
	return b
}

func (g *generator) batch(in decodeInputs, c *engine.Cache, variant func(string) string) *engine.Batch {
	B, T, d := int64(len(in.last)), int64(len(in.ids)), g.network.model.Decoder
	sharpness := 1.0
	if g.Temperature > 0 {
		sharpness = 1 / g.Temperature
	}
	b := &engine.Batch{
		Sizes: map[string]int64{"B": B, "S": in.S, "T": T, "R": B, "M": c.Length},
		Inputs: map[string]engine.Array{
			"ids":       engine.Int64s(in.ids, T),
			"last":      engine.Int32s(in.last, B),
			"total":     engine.Int32s([]int32{in.total}, 1),
			"rows":      engine.Int64s(in.rows, B),
			"sharpness": engine.Floats(onnx.Float32, []float64{sharpness}, 1),
		},
		Variant: variant,
	}
	for _, r := range d.Rotations() {
		b.Inputs[r.Cos], b.Inputs[r.Sin] = turned(r.Rope, in.positions)
	}
	if d.Positions > 0 {
		b.Inputs["positions"] = engine.Int64s(in.positions, T)
	}
	return b
}

// turned are the rotations of positions. Within the model's context, beyond which nothing is continued, they do not depend on the length.
func turned(r models.Rope, positions []int64) (cosines, sines engine.Array) {
	var cos, sin []float64
	frequencies := r.Frequencies(0)
	for _, at := range positions {
		cos, sin = r.Rotation(frequencies, int(at), cos, sin)
	}
	T, half := int64(len(positions)), int64(r.Dim/2)
	return engine.Floats(onnx.Float32, cos, T, half), engine.Floats(onnx.Float32, sin, T, half)
}

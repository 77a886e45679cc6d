package dpo

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// hidden is what an additive mask holds where a query must not see a key: finite, for a softmax over −∞ alone is NaN.
const hidden = -1e9

// hiddenHalf is that in float16, which ends at −65,504: with scores between ±21,800 no sum comes near the end, and a hidden key stays so far
// below every one that is seen that its probability is 0.
const hiddenHalf = -43648

// hiddenIn is what hides a key in a type.
func hiddenIn(t onnx.DType) float64 {
	if t == onnx.Float16 {
		return hiddenHalf
	}
	return hidden
}

// bucket is what padded lengths are rounded up to, so that batches of nearly one shape share their memory.
const bucket = 16

// layout lays groups of one K out as a micro-batch: prompts first, then completions, packed without padding. A
// completion's last token is scored, but nothing follows that would need its own row.
type layout struct {
	decoder models.Decoder
	compute onnx.DType

	groups               []datasets.Example
	K, P, C, blocks      int
	ids, positions       []int64
	turns                []*turning
	promptRows           []int64 // [G,P]
	completionRows       []int64 // [G,K,C]
	promptSlots          []int64 // [T]: a row's place in promptRows, or G·P
	completionSlots      []int64 // [T]: a row's place in completionRows, or G·K·C
	attentionRows        []int64 // [T]: a row's place among the slots of prompts, then completions
	rows, targets, owner []int64 // [R]: the row that predicts, the token, the sequence
}

// newBatch lays out groups, which have the same number of completions, for attention in two parts, with queries in so many blocks.
func newBatch(d models.Decoder, compute onnx.DType, groups []datasets.Example, blocks int) *engine.Batch {
	l := newLayout(d, compute, groups, blocks)
	b := l.batch()
	l.part(b)
	return b
}

// newLayout packs groups, which have the same number of completions.
func newLayout(d models.Decoder, compute onnx.DType, groups []datasets.Example, blocks int) *layout {
	l := &layout{decoder: d, compute: compute, groups: groups, K: len(groups[0].Completions), blocks: blocks}
	for _, r := range d.Rotations() {
		l.turns = append(l.turns, &turning{Rotation: r, row: map[angle]int64{}})
	}
	for _, x := range groups {
		_, p, c := extent(x)
		l.P, l.C = max(l.P, p), max(l.C, c)
	}
	l.P, l.C = roundUp(l.P, blocks), roundUp(l.C, blocks)
	l.promptRows = make([]int64, len(groups)*l.P)
	l.completionRows = make([]int64, len(groups)*l.K*l.C)
	starts := make([]int64, len(groups))
	for g, x := range groups {
		starts[g] = l.addPrompt(g, x)
	}
	for g, x := range groups {
		for k, c := range x.Completions {
			l.addCompletion(g, k, starts[g], len(x.Prompt), c, l.reach(x))
		}
	}
	return l
}

// roundUp pads a length so that it makes blocks of whole buckets.
func roundUp(n, blocks int) int {
	unit := bucket * blocks
	return (max(n, 1) + unit - 1) / unit * unit
}

// longRows is the length of prompts or completions from which their queries are cut into blocks: on the CPU, where that spares work. On
// a GPU small products take as long as large ones, so there it is longRowsGPU, where memory asks for it.
const (
	longRows    = 256
	longRowsGPU = 2048
)

func blocksOf(prompt, completion, long int) int {
	if max(prompt, completion) >= long {
		return models.Blocks
	}
	return 1
}

// reach is the length that a group's rotary frequencies are those of: its longest sequence's. What a reward model is asked for after a
// sequence's last token (see asked) is none of it.
func (l *layout) reach(x datasets.Example) int {
	if l.decoder.Scalar {
		return longest(x) - 1
	}
	return longest(x)
}

// longest is the length of a group's longest sequence.
func longest(x datasets.Example) (n int) {
	for _, c := range x.Completions {
		n = max(n, len(x.Prompt)+len(c.IDs))
	}
	return n
}

// checkPositions refuses a row, as it is asked of a model, that is longer than the model's table of positions. A sequence's last token is never
// embedded.
func checkPositions(d models.Decoder, x datasets.Example) error {
	if tokens := longest(x) - 1; d.Positions > 0 && tokens > d.Positions {
		return fmt.Errorf("it needs %d positions, and the model's table has %d: set --max-length to that, or less", tokens, d.Positions)
	}
	return nil
}

// add appends one packed row, of a sequence of so many tokens.
func (l *layout) add(id int32, position, length int) int64 {
	row := int64(len(l.ids))
	l.ids, l.positions = append(l.ids, int64(id)), append(l.positions, int64(position))
	for _, t := range l.turns {
		t.add(row, position, length)
	}
	return row
}

// turning is what a rotary embedding turns each row by.
type turning struct {
	models.Rotation
	cos, sin []float64
	row      map[angle]int64 // one that has the cosines and sines of a position
}

// angle is a position in sequences of a length, 0 where that does not matter.
type angle struct{ length, position int }

func (t *turning) add(row int64, position, length int) {
	half := int64(t.Rope.Dim / 2)
	at := angle{t.Rope.Stretched(length), position}
	if like, ok := t.row[at]; ok {
		t.cos, t.sin = append(t.cos, t.cos[like*half:(like+1)*half]...), append(t.sin, t.sin[like*half:(like+1)*half]...)
		return
	}
	t.cos, t.sin = t.Rope.Rotation(t.Rope.Frequencies(length), position, t.cos, t.sin)
	t.row[at] = row
}

func (l *layout) addPrompt(g int, x datasets.Example) (start int64) {
	start = int64(len(l.ids))
	length := l.reach(x)
	for p, id := range x.Prompt {
		slot := g*l.P + p
		l.promptRows[slot] = l.add(id, p, length)
		l.promptSlots = append(l.promptSlots, int64(slot))
		l.completionSlots = append(l.completionSlots, int64(len(l.completionRows)))
		l.attentionRows = append(l.attentionRows, int64(slot))
	}
	return start
}

func (l *layout) addCompletion(g, k int, promptStart int64, promptLength int, c datasets.Completion, length int) {
	before := promptStart + int64(promptLength) - 1 // the row that predicts the first token
	for i, id := range c.IDs {
		if c.Scores(i) && (i > 0 || promptLength > 0) {
			l.rows = append(l.rows, before)
			l.targets = append(l.targets, int64(id))
			l.owner = append(l.owner, int64(g*l.K+k))
		}
		if i == len(c.IDs)-1 {
			break
		}
		slot := (g*l.K+k)*l.C + i
		before = l.add(id, promptLength+i, length)
		l.completionRows[slot] = before
		l.promptSlots = append(l.promptSlots, int64(len(l.promptRows)))
		l.completionSlots = append(l.completionSlots, int64(slot))
		l.attentionRows = append(l.attentionRows, int64(len(l.promptRows)+slot))
	}
}

// attentionSlots inverts attentionRows: the row of each slot, or T where it is padding.
func (l *layout) attentionSlots() []int64 {
	slots := make([]int64, len(l.promptRows)+len(l.completionRows))
	for i := range slots {
		slots[i] = int64(len(l.ids))
	}
	for row, slot := range l.attentionRows {
		slots[slot] = int64(row)
	}
	return slots
}

// queriesPerKey is how many query heads share a key head; their rows are folded together in attention.
func (l *layout) queriesPerKey() int { return l.decoder.Heads / l.decoder.KVHeads }

// promptMask is causal, within a window where there is one, for a block of p queries: [Q·p,(block+1)·p]. Prompts are
// padded on the right, where no real query looks.
func (l *layout) promptMask(window, block int) engine.Array {
	p, q := l.P/l.blocks, l.queriesPerKey()
	m := newMask(l.compute, (block+1)*p, q*p)
	for i := range p {
		query := block*p + i
		m.row(keySpan{firstSeen(query, window), query + 1})
	}
	m.repeat(p, q)
	return m.array(q*p, m.width)
}

// completionMask hides the padding of prompts, what follows a query, and what lies before its window, the same for all
// completions of a group, for a block of c queries: [G,Q·c,P+(block+1)·c].
func (l *layout) completionMask(window, block int) engine.Array {
	c, q := l.C/l.blocks, l.queriesPerKey()
	m := newMask(l.compute, l.P+(block+1)*c, len(l.groups)*q*c)
	for _, x := range l.groups {
		for i := range c {
			query := block*c + i
			m.row(keySpan{firstSeen(len(x.Prompt)+query, window), len(x.Prompt)}, keySpan{l.P + firstSeen(query, window), l.P + query + 1})
		}
		m.repeat(c, q)
	}
	return m.array(len(l.groups), q*c, m.width)
}

// mask is what is added to scores: rows of keys, 0 where a key is seen.
type mask struct {
	compute onnx.DType
	width   int    // keys
	none    []byte // a row that sees none
	data    []byte
}

// keySpan are keys from first to last−1.
type keySpan struct{ first, last int }

func newMask(compute onnx.DType, width, rows int) *mask {
	none := engine.Floats(compute, slices.Repeat([]float64{hiddenIn(compute)}, width)).Data
	return &mask{compute, width, none, make([]byte, 0, rows*len(none))}
}

// row adds a query that sees some keys: zeros are zero bytes in each type.
func (m *mask) row(seen ...keySpan) {
	at, size := len(m.data), m.compute.Size()
	m.data = append(m.data, m.none...)
	for _, s := range seen {
		if s.first < s.last {
			clear(m.data[at+s.first*size : at+s.last*size])
		}
	}
}

// repeat makes the last rows be there several times.
func (m *mask) repeat(rows, times int) {
	last := m.data[len(m.data)-rows*len(m.none):]
	for range times - 1 {
		m.data = append(m.data, last...)
	}
}

func (m *mask) array(shape ...int) engine.Array {
	a := engine.Array{Type: m.compute, Data: m.data}
	for _, d := range shape {
		a.Shape = append(a.Shape, int64(d))
	}
	return a
}

// firstSeen is the first position that a query sees within a window, 0 for none.
func firstSeen(query, window int) int {
	if window == 0 {
		return 0
	}
	return max(query-window+1, 0)
}

// batch is what all layers read but attention.
func (l *layout) batch() *engine.Batch {
	T, G, K, R := int64(len(l.ids)), int64(len(l.groups)), int64(l.K), int64(len(l.rows))
	b := &engine.Batch{
		Sizes:   map[string]int64{"T": T, "G": G, "K": K, "P": int64(l.P), "C": int64(l.C), "N": G * K, "R": R},
		Inputs:  map[string]engine.Array{"ids": engine.Int64s(l.ids, T), "rows": engine.Int64s(l.rows, R)},
		Targets: l.targets, Sequence: l.owner,
	}
	for _, t := range l.turns {
		half := int64(t.Rope.Dim / 2)
		b.Inputs[t.Cos], b.Inputs[t.Sin] = engine.Floats(l.compute, t.cos, T, half), engine.Floats(l.compute, t.sin, T, half)
	}
	if l.decoder.Positions > 0 {
		b.Inputs["positions"] = engine.Int64s(l.positions, T)
		if tokens := slices.Max(l.positions) + 1; tokens > int64(l.decoder.Positions) {
			b.Fault = fmt.Errorf("a sequence is computed up to token %d, but the model knows %d positions: set max-length to that, or less", tokens, l.decoder.Positions)
		}
	}
	return b
}

// part adds what attention in two parts reads: of prompts and of completions.
func (l *layout) part(b *engine.Batch) {
	T, G, K, P, C := b.Sizes["T"], b.Sizes["G"], b.Sizes["K"], b.Sizes["P"], b.Sizes["C"]
	maps.Copy(b.Inputs, map[string]engine.Array{
		"prompt_rows":      engine.Int64s(l.promptRows, G, P),
		"prompt_slots":     engine.Int64s(l.promptSlots, T),
		"completion_rows":  engine.Int64s(l.completionRows, G, K, C),
		"completion_slots": engine.Int64s(l.completionSlots, T),
		"attention_rows":   engine.Int64s(l.attentionRows, T),
		"attention_slots":  engine.Int64s(l.attentionSlots(), G*P+G*K*C),
		"completions":      engine.Int64s([]int64{K, 1, 1, 1, 1}, 5),
	})
	if blocks := int64(l.blocks); blocks > 1 {
		b.Variant, b.Sizes["p"], b.Sizes["c"] = models.Long, P/blocks, C/blocks
	}
	for _, kind := range l.decoder.Kinds() {
		prompts, completions := models.Masks(kind.PromptMask, l.blocks), models.Masks(kind.CompletionMask, l.blocks)
		for i := range l.blocks {
			b.Inputs[prompts[i]] = l.promptMask(kind.Window, i)
			b.Inputs[completions[i]] = l.completionMask(kind.Window, i)
		}
	}
}

package dpo

import (
	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// hidden is what an additive mask holds where a query must not see a key: finite, for a softmax over −∞ alone is NaN.
const hidden = -1e9

// bucket is what padded lengths are rounded up to, so that batches of nearly one shape share their memory.
const bucket = 16

// layout lays groups of one K out as a micro-batch: prompts first, then completions, packed without padding. A
// completion's last token is scored, but nothing follows that would need its own row.
type layout struct {
	decoder models.Decoder
	compute onnx.DType

	groups               []datasets.Example
	K, P, C, blocks      int
	ids                  []int64
	cos, sin             []float64
	promptRows           []int64 // [G,P]
	completionRows       []int64 // [G,K,C]
	promptSlots          []int64 // [T]: a row's place in promptRows, or G·P
	completionSlots      []int64 // [T]: a row's place in completionRows, or G·K·C
	attentionRows        []int64 // [T]: a row's place among the slots of prompts, then completions
	rows, targets, owner []int64 // [R]: the row that predicts, the token, the sequence
}

// newBatch lays out groups, which have the same number of completions.
func newBatch(d models.Decoder, compute onnx.DType, groups []datasets.Example) *engine.Batch {
	return newBatchIn(d, compute, groups, shapeOf(groups).blocks)
}

// newBatchIn is newBatch with queries in so many blocks.
func newBatchIn(d models.Decoder, compute onnx.DType, groups []datasets.Example, blocks int) *engine.Batch {
	l := &layout{decoder: d, compute: compute, groups: groups, K: len(groups[0].Completions), blocks: blocks}
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
			l.addCompletion(g, k, starts[g], len(x.Prompt), c, l.frequencies(x))
		}
	}
	return l.batch()
}

// roundUp pads a length so that it makes blocks of whole buckets.
func roundUp(n, blocks int) int {
	unit := bucket * blocks
	return (max(n, 1) + unit - 1) / unit * unit
}

// longRows is the length of prompts or completions from which their queries are cut into blocks.
const longRows = 256

func blocksOf(prompt, completion int) int {
	if max(prompt, completion) >= longRows {
		return models.Blocks
	}
	return 1
}

// frequencies are the rotary embedding's for a group: those of its longest sequence.
func (l *layout) frequencies(x datasets.Example) []float64 {
	longest := 0
	for _, c := range x.Completions {
		longest = max(longest, len(x.Prompt)+len(c.IDs))
	}
	return l.decoder.Rope.Frequencies(longest)
}

// add appends one packed row.
func (l *layout) add(id int32, position int, frequencies []float64) int64 {
	l.ids = append(l.ids, int64(id))
	l.cos, l.sin = l.decoder.Rope.Rotation(frequencies, position, l.cos, l.sin)
	return int64(len(l.ids) - 1)
}

func (l *layout) addPrompt(g int, x datasets.Example) (start int64) {
	start = int64(len(l.ids))
	f := l.frequencies(x)
	for p, id := range x.Prompt {
		slot := g*l.P + p
		l.promptRows[slot] = l.add(id, p, f)
		l.promptSlots = append(l.promptSlots, int64(slot))
		l.completionSlots = append(l.completionSlots, int64(len(l.completionRows)))
		l.attentionRows = append(l.attentionRows, int64(slot))
	}
	return start
}

func (l *layout) addCompletion(g, k int, promptStart int64, promptLength int, c datasets.Completion, f []float64) {
	before := promptStart + int64(promptLength) - 1 // the row that predicts the first token
	for i, id := range c.IDs {
		if i >= c.Start && (i > 0 || promptLength > 0) {
			l.rows = append(l.rows, before)
			l.targets = append(l.targets, int64(id))
			l.owner = append(l.owner, int64(g*l.K+k))
		}
		if i == len(c.IDs)-1 {
			break
		}
		slot := (g*l.K+k)*l.C + i
		before = l.add(id, promptLength+i, f)
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
func (l *layout) promptMask(window, block int) []float64 {
	p := l.P / l.blocks
	width := (block + 1) * p
	mask := make([]float64, l.queriesPerKey()*p*width)
	for row := range l.queriesPerKey() * p {
		query := block*p + row%p
		hide(mask[row*width:(row+1)*width], firstSeen(query, window), query+1)
	}
	return mask
}

// completionMask hides the padding of prompts, what follows a query, and what lies before its window, the same for all
// completions of a group, for a block of c queries: [G,1,1,Q·c,P+(block+1)·c].
func (l *layout) completionMask(window, block int) []float64 {
	q, c := l.queriesPerKey(), l.C/l.blocks
	width := l.P + (block+1)*c
	mask := make([]float64, len(l.groups)*q*c*width)
	row := mask
	for _, x := range l.groups {
		for i := range q * c {
			query := block*c + i%c
			hide(row[:l.P], firstSeen(len(x.Prompt)+query, window), len(x.Prompt))
			hide(row[l.P:width], firstSeen(query, window), query+1)
			row = row[width:]
		}
	}
	return mask
}

// firstSeen is the first position that a query sees within a window, 0 for none.
func firstSeen(query, window int) int {
	if window == 0 {
		return 0
	}
	return max(query-window+1, 0)
}

// hide masks all keys but those from first to last−1.
func hide(keys []float64, first, last int) {
	for key := range min(first, len(keys)) {
		keys[key] = hidden
	}
	for key := last; key < len(keys); key++ {
		keys[key] = hidden
	}
}

func (l *layout) batch() *engine.Batch {
	T, G, K, P, C := int64(len(l.ids)), int64(len(l.groups)), int64(l.K), int64(l.P), int64(l.C)
	R, half, q := int64(len(l.rows)), int64(l.decoder.Rope.Dim/2), int64(l.queriesPerKey())
	b := &engine.Batch{
		Sizes: map[string]int64{"T": T, "G": G, "K": K, "P": P, "C": C, "N": G * K, "R": R},
		Inputs: map[string]engine.Array{
			"ids":              engine.Int64s(l.ids, T),
			"cos":              engine.Floats(l.compute, l.cos, T, half),
			"sin":              engine.Floats(l.compute, l.sin, T, half),
			"prompt_rows":      engine.Int64s(l.promptRows, G, P),
			"prompt_slots":     engine.Int64s(l.promptSlots, T),
			"completion_rows":  engine.Int64s(l.completionRows, G, K, C),
			"completion_slots": engine.Int64s(l.completionSlots, T),
			"attention_rows":   engine.Int64s(l.attentionRows, T),
			"attention_slots":  engine.Int64s(l.attentionSlots(), G*P+G*K*C),
			"completions":      engine.Int64s([]int64{K, 1, 1, 1, 1}, 5),
			"rows":             engine.Int64s(l.rows, R),
		},
		Targets: l.targets, Sequence: l.owner,
	}
	p, c := P/int64(l.blocks), C/int64(l.blocks)
	if l.blocks > 1 {
		b.Variant, b.Sizes["p"], b.Sizes["c"] = models.Long, p, c
	}
	for _, kind := range l.decoder.Kinds() {
		prompts, completions := models.Masks(kind.PromptMask, l.blocks), models.Masks(kind.CompletionMask, l.blocks)
		for i := range l.blocks {
			b.Inputs[prompts[i]] = engine.Floats(l.compute, l.promptMask(kind.Window, i), q*p, p*int64(i+1))
			b.Inputs[completions[i]] = engine.Floats(l.compute, l.completionMask(kind.Window, i), G, q*c, P+c*int64(i+1))
		}
	}
	return b
}

package dpo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// toy has the shape of a decoder with a global and a local layer, for layouts.
var toy = models.Decoder{Vocab: 50, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, Local: []bool{false, true}, Window: 6,
	Rope: models.Rope{Type: "default", Dim: 8, Theta: 10000, InvFreq: []float64{1, .1, .01, .001}}}

func int64s(a engine.Array) []int64 {
	out := make([]int64, len(a.Data)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(a.Data[8*i:]))
	}
	return out
}

func float32s(a engine.Array) []float32 {
	out := make([]float32, len(a.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(a.Data[4*i:]))
	}
	return out
}

func drawGroups(t *rapid.T) []datasets.Example {
	K := rapid.IntRange(1, 3).Draw(t, "K")
	var groups []datasets.Example
	for range rapid.IntRange(1, 5).Draw(t, "G") {
		groups = append(groups, drawExample(t, K, toy.Vocab))
	}
	return groups
}

// A mask of −∞ gives NaN where a row is hidden whole, so no input may hold anything but numbers.
func TestBatchesAreFinite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for name, a := range newBatch(toy, onnx.Float32, drawGroups(t), 1).Inputs {
			if a.Type != onnx.Float32 {
				continue
			}
			for i, x := range float32s(a) {
				if x-x != 0 {
					t.Fatalf("input %s holds %v at %d", name, x, i)
				}
			}
		}
	})
}

// attended lists the tokens that one packed row's query sees in a layer, by following the layout's indices and masks.
func attended(b *engine.Batch, kind models.LayerKind, row int64) map[int64]bool {
	G, K, P, C := b.Sizes["G"], b.Sizes["K"], b.Sizes["P"], b.Sizes["C"]
	promptRows, completionRows := int64s(b.Inputs["prompt_rows"]), int64s(b.Inputs["completion_rows"])
	slot := int64s(b.Inputs["attention_rows"])[row]
	seen := map[int64]bool{}
	blocks := int64(1)
	if b.Variant != nil {
		blocks = models.Blocks
	}
	if slot < G*P {
		of, query := P/blocks, slot%P
		block := query / of
		mask := float32s(b.Inputs[models.Masks(kind.PromptMask, int(blocks))[block]])
		width := (block + 1) * of
		for key := range width {
			if mask[query%of*width+key] == 0 {
				seen[promptRows[slot/P*P+key]] = true
			}
		}
		return seen
	}
	slot -= G * P
	g, c := slot/(K*C), slot%C
	q, of := int64(toy.Heads/toy.KVHeads), C/blocks
	block := c / of
	width := P + (block+1)*of
	mask := float32s(b.Inputs[models.Masks(kind.CompletionMask, int(blocks))[block]])[(g*q*of+c%of)*width:]
	for key := range width {
		switch {
		case mask[key] != 0:
		case key < P:
			seen[promptRows[g*P+key]] = true
		default:
			seen[completionRows[slot/C*C+key-P]] = true
		}
	}
	return seen
}

// sequenceRows lists the packed rows of a sequence, the k-th of group g, by position.
func sequenceRows(b *engine.Batch, g, k, prompt, completion int64) []int64 {
	first := g * b.Sizes["P"]
	rows := slices.Clone(int64s(b.Inputs["prompt_rows"])[first : first+prompt])
	first = (g*b.Sizes["K"] + k) * b.Sizes["C"]
	return append(rows, int64s(b.Inputs["completion_rows"])[first:first+completion-1]...)
}

// Each token sees its prompt and what came before it in its own answer, in a local layer as far as the window reaches, and
// nothing else: checked token by token against the groups as separate sequences.
func TestLayoutEqualsSeparateSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := drawGroups(t)
		d := toy
		d.Window = rapid.IntRange(1, 50).Draw(t, "window")
		b := newBatch(d, onnx.Float32, groups, rapid.SampledFrom([]int{1, models.Blocks}).Draw(t, "blocks"))
		ids, rows, targets, owner := int64s(b.Inputs["ids"]), int64s(b.Inputs["rows"]), b.Targets, b.Sequence
		r := 0
		for g, x := range groups {
			for k, c := range x.Completions {
				sequence := append(append([]int32{}, x.Prompt...), c.IDs...)
				at := sequenceRows(b, int64(g), int64(k), int64(len(x.Prompt)), int64(len(c.IDs)))
				for token := max(len(x.Prompt)+c.Start, 1); token < len(sequence); token++ {
					where := fmt.Sprintf("group %d answer %d token %d", g, k, token)
					if targets[r] != int64(sequence[token]) || owner[r] != int64(g*len(x.Completions)+k) {
						t.Fatalf("%s: target %d of sequence %d", where, targets[r], owner[r])
					}
					if ids[rows[r]] != int64(sequence[token-1]) || rows[r] != at[token-1] {
						t.Fatalf("%s is predicted by token %d in row %d", where, ids[rows[r]], rows[r])
					}
					r++
				}
				for query := range at {
					checkSeen(t, b, d, at, query)
				}
			}
		}
		if r != len(rows) {
			t.Fatalf("%d rows are scored, %d should be", len(rows), r)
		}
	})
}

// checkSeen holds which positions of a sequence one of its queries sees, in either kind of layer.
func checkSeen(t *rapid.T, b *engine.Batch, d models.Decoder, rows []int64, query int) {
	for _, kind := range d.Kinds() {
		first := 0
		if kind.Window > 0 {
			first = max(query-kind.Window+1, 0)
		}
		seen := attended(b, kind, rows[query])
		for _, row := range rows[first : query+1] {
			if !seen[row] {
				t.Fatalf("%s: position %d does not see all positions from %d on", kind.Graph, query, first)
			}
		}
		if len(seen) != query+1-first {
			t.Fatalf("%s: position %d sees %d tokens, %d should be", kind.Graph, query, len(seen), query+1-first)
		}
	}
}

// Layers without a window bring no masks but their own.
func TestMasksAreThoseOfTheLayers(t *testing.T) {
	x := []datasets.Example{{Prompt: []int32{1}, Completions: []datasets.Completion{{IDs: []int32{2, 3}}}}}
	for _, local := range [][]bool{nil, {false, true}, {true, true}} {
		d := toy
		d.Local = local
		b := newBatch(d, onnx.Float32, x, 1)
		for name, want := range map[string]bool{"prompt_mask": !slices.Contains(local, true) || slices.Contains(local, false),
			"completion_mask.local": slices.Contains(local, true)} {
			if _, there := b.Inputs[name]; there != want {
				t.Errorf("layers %v: input %s is there: %v", local, name, there)
			}
		}
	}
}

// The slots invert the gathers: each packed row's slot holds it, and no padding slot is any row's.
func TestSlotsInvertRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatch(toy, onnx.Float32, drawGroups(t), 1)
		for _, pair := range [][2]string{{"prompt_rows", "prompt_slots"}, {"completion_rows", "completion_slots"}, {"attention_slots", "attention_rows"}} {
			rows, slots := int64s(b.Inputs[pair[0]]), int64s(b.Inputs[pair[1]])
			for row, slot := range slots {
				if slot < int64(len(rows)) && rows[slot] != int64(row) {
					t.Fatalf("%s[%d] is %d, whose %s is %d", pair[1], row, slot, pair[0], rows[slot])
				}
			}
		}
	})
}

// A reward model's rotary frequencies are those of the sequence, without what it is asked for behind it: one as long as the model was
// trained for is not stretched.
func TestRewardsReach(t *testing.T) {
	_, d, err := models.Describe(golden.Testdata(t, "models", "tiny-llama-dynamic"))
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int32, d.Rope.Trained-2)
	x := datasets.Example{Prompt: []int32{1, 2}, Completions: []datasets.Completion{{IDs: ids}}}
	cosines := func(d models.Decoder, x datasets.Example) []byte {
		return newBatch(d, onnx.Float32, []datasets.Example{asked(d, x)}, 1).Inputs["cos"].Data
	}
	scalar := d
	scalar.Scalar, scalar.Pad = true, -1
	want, got := cosines(d, x), cosines(scalar, x)
	if !bytes.Equal(got[:len(want)], want) {
		t.Error("a sequence of the trained length turns otherwise in a reward model")
	}
	x.Completions[0].IDs = append(ids, 0)
	if bytes.Equal(cosines(scalar, x)[:len(want)], want) {
		t.Error("one that is longer by one is not stretched")
	}
}

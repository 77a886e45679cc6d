package models

import "fmt"

// Form says how a decoder differs from Llama's, which is its zero value: pre-norm blocks with RMSNorm, rotary positions, products
// of their own for queries, keys and values, and a gated MLP.
type Form struct {
	Names      map[string]string // modules of the checkpoint by Llama's names, where they are called otherwise
	Transposed bool              // layers' weights lie as [in,out], as Conv1D of transformers has them

	Norm      NormKind
	Norms     NormPlaces
	QKWhole   bool // the norms of queries and keys go over all heads at once
	Parallel  bool // attention and MLP read one residual stream, and are added to it together
	OneNorm   bool // of a Parallel block: the MLP reads what attention does
	Fused     Fusion
	FusedGate bool // one product gives the MLP's gate, then what it gates
	Ungated   bool // the MLP is down(activation(up(x)))

	Positions   int     // rows of a learned table of positions, which are added to the embedding; 0 for none
	EmbedScale  float64 // what the embedding is multiplied by; 0 for 1
	Interleaved bool    // a rotary pair is two neighbours, not one entry of each half
	Unturned    []bool  // [Layers]: which layers know no positions (Kazemnejad et al. 2023, arXiv 2305.19466); nil for none
	LocalRope   Rope    // of local layers, where it is another
	QueryScale  float64 // what scores are multiplied by; 0 for 1/√d
	ScoreCap    float64 // of attention's scores before the mask, see capped; 0 for none
	LogitCap    float64 // of the head's logits; 0 for none
	HeadBias    bool
}

// NormKind is what a norm computes.
type NormKind string

// The norms of decoders.
const (
	RMSNorm   NormKind = ""      // x/rms(x)·w (Zhang and Sennrich 2019, arXiv 1910.07467)
	UnitRMS   NormKind = "rms+1" // x/rms(x)·(1 + w), as Gemma has it
	LayerNorm NormKind = "layer" // (x − mean)/σ·w + b (Ba et al. 2016, arXiv 1607.06450)
)

// NormPlaces are where a block norms.
type NormPlaces string

// The places of norms.
const (
	PreNorm   NormPlaces = ""     // what attention and MLP read
	PostNorm  NormPlaces = "post" // what they give
	PeriNorms NormPlaces = "both" // what they read and what they give
)

// Fusion is how one product gives queries, keys and values.
type Fusion string

// The ways to fuse them.
const (
	Apart       Fusion = ""      // not at all
	FusedRows   Fusion = "rows"  // all queries, then all keys, then all values
	FusedByHead Fusion = "heads" // head by head its query, key and value
)

// named is a module of the checkpoint by Llama's name for it.
func (f Form) named(module string) string {
	if name, ok := f.Names[module]; ok {
		return name
	}
	return module
}

// The modules outside layers.
func (f Form) embedModule() string { return f.named("model.embed_tokens") }
func (f Form) normModule() string  { return f.named("model.norm") }
func (f Form) headModule() string  { return f.named("lm_head") }

// inLayer is the whole name of a layer's tensor.
func (f Form) inLayer(layer int, tensor string) string {
	return fmt.Sprintf("%s.%d.%s", f.named("model.layers"), layer, tensor)
}

// Rotation is a rotary embedding, with the names of the inputs [T,Dim/2] that its cosines and sines come by.
type Rotation struct {
	Cos, Sin string
	Rope     Rope
}

// Rotations lists the rotary embeddings that a decoder's graphs take.
func (d Decoder) Rotations() (all []Rotation) {
	if d.Rope.Dim > 0 {
		all = append(all, Rotation{"cos", "sin", d.Rope})
	}
	if d.LocalRope.Dim > 0 {
		all = append(all, Rotation{"cos.local", "sin.local", d.LocalRope})
	}
	return all
}

// Steady is the length up to which rotary frequencies do not depend on a sequence's length; 0 where they never do.
func (d Decoder) Steady() (tokens int) {
	for _, r := range d.Rotations() {
		if r.Rope.Trained > 0 && (tokens == 0 || r.Rope.Trained < tokens) {
			tokens = r.Rope.Trained
		}
	}
	return tokens
}

// rotation is that of a kind of layers; of dimension 0 for none.
func (d Decoder) rotation(kind LayerKind) Rotation {
	all := d.Rotations()
	if kind.Unturned || len(all) == 0 {
		return Rotation{}
	}
	if kind.Window > 0 {
		return all[len(all)-1]
	}
	return all[0]
}

package models

import (
	"fmt"
	"slices"
)

// Blocks is how many blocks of queries attention over long rows is cut into. Each block computes its scores against the
// keys up to its own last one, so that three eighths of a causal square are left out, and what is left fits the cache.
const Blocks = 4

// Long names the graph that does what a block's graph does, cut into Blocks.
func Long(graph string) string { return graph + ".long" }

// Masks names the mask of each block of queries; one block has the plain name.
func Masks(name string, blocks int) []string {
	if blocks == 1 {
		return []string{name}
	}
	var names []string
	for i := range blocks {
		names = append(names, fmt.Sprintf("%s.%d", name, i))
	}
	return names
}

// LayerKind is what layers have in common that run one graph: its name, those of the inputs that hide keys, and how far
// back a query sees.
type LayerKind struct {
	Graph                      string
	PromptMask, CompletionMask string
	Window                     int  // keys that a query sees, itself included; 0 for all up to itself
	Unturned                   bool // positions turn no query and no key
	Layer                      int  // the first of the kind
}

// kind is that of a layer: global, or local (Beltagy et al. 2020, arXiv 2004.05150), with or without positions. Layers that an adapter does not change in the
// same places are of further kinds, named by their first.
func (d Decoder) kind(layer int) LayerKind {
	k := LayerKind{Graph: BlockGraph, PromptMask: "prompt_mask", CompletionMask: "completion_mask"}
	if d.local(layer) {
		k = LayerKind{Graph: LocalGraph, PromptMask: "prompt_mask.local", CompletionMask: "completion_mask.local", Window: d.Window}
	}
	if k.Unturned = d.unturned(layer); k.Unturned {
		k.Graph += unturnedSuffix
	}
	first := -1
	for l := range layer + 1 {
		if d.local(l) != d.local(layer) || d.unturned(l) != d.unturned(layer) {
			continue
		}
		if first < 0 {
			first = l
		}
		if k.Layer = l; d.changedAlike(l, layer) {
			break
		}
	}
	if k.Layer != first {
		k.Graph = fmt.Sprintf("%s.%d", k.Graph, k.Layer)
	}
	return k
}

// unturnedSuffix ends the names of graphs of layers that know no positions.
const unturnedSuffix = ".nope"

func (d Decoder) unturned(layer int) bool { return d.Unturned != nil && d.Unturned[layer] }

func (d Decoder) local(layer int) bool { return d.Local != nil && d.Local[layer] }

// changedAlike reports whether an adapter changes the same products of two layers, in the same way.
func (d Decoder) changedAlike(a, b int) bool {
	if d.Adapter == nil || a == b {
		return true
	}
	ps, qs := d.layerParams(a), d.layerParams(b)
	return slices.EqualFunc(ps, qs, func(p, q blockParam) bool {
		return p.input == q.input && slices.Equal(p.shape, q.shape) && d.scale(p) == d.scale(q)
	})
}

// scale is that of the change of a layer's product; 0 for none.
func (d Decoder) scale(p blockParam) float64 {
	if m := d.changeOf(p); m != nil {
		return m.Scale
	}
	return 0
}

// Kinds lists the kinds of layers that the decoder has, in the order in which they first run.
func (d Decoder) Kinds() []LayerKind {
	var kinds []LayerKind
	for l := range d.Layers {
		if k := d.kind(l); !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// readLayerTypes reads which layers are local: those that layer_types calls so, or, without it, all from
// max_window_layers on. Nothing is local unless use_sliding_window says so.
func (d *Decoder) readLayerTypes(c *Config) {
	use, from := c.Flag("use_sliding_window", false), 28
	window := c.CountOr("sliding_window", 4096, 0)
	c.read("max_window_layers", &from)
	if !use {
		window = 0
	}
	d.readLocal(c, window, func(layer int) bool { return window > 0 && layer >= from })
}

// readLocal reads which layers see a window: those that layer_types calls so, or, without it, those that otherwise says.
func (d *Decoder) readLocal(c *Config, window int, otherwise func(layer int) bool) {
	var types []string
	given := c.read("layer_types", &types)
	if given && len(types) != d.Layers {
		c.refuse("field layer_types names %d layers, num_hidden_layers is %d", len(types), d.Layers)
		return
	}
	local := make([]bool, d.Layers)
	for l := range local {
		if given {
			local[l] = c.isLocal(types[l], l, window)
		} else {
			local[l] = otherwise(l)
		}
	}
	if slices.Contains(local, true) {
		d.Local, d.Window = local, window
	}
}

// isLocal reads one entry of layer_types.
func (c *Config) isLocal(name string, layer, window int) bool {
	switch {
	case name == "full_attention" || name == "attention":
		return false
	case name != "sliding_attention":
		c.refuse("field layer_types: layer %d is %q (full_attention and sliding_attention are supported)", layer, name)
	case window == 0:
		c.refuse("field layer_types: layer %d is sliding_attention, but use_sliding_window and sliding_window give no window", layer)
	}
	return true
}

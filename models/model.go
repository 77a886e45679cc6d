// Package models describes language models: a Hugging Face directory becomes a short list of stages (embed, blocks,
// head), each a graph and the names of the checkpoint's tensors that it runs with. Graphs hold no weights.
//
// An architecture is one short file that reads its config.json into a [Decoder] and registers itself under its
// Hugging Face class name; attention, MLP and head are written once, in decoder.go and attention.go.
package models

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/models/exported"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// architectures maps a Hugging Face class name to what reads its configuration; families and rewardClasses are by the classes of
// language models.
var (
	architectures = map[string]func(*Config) Decoder{}
	families      = map[string]string{}
	rewardClasses = map[string]string{}
)

// register adds a language model's class, with the names of the models that are of it, and the reward model of the same backbone.
func register(class, family string, read func(*Config) Decoder) {
	registerWith(class, rewardClass(class), family, read)
}

// registerWith is register of a class whose reward model's class is called otherwise.
func registerWith(class, reward, family string, read func(*Config) Decoder) {
	architectures[class], families[class], rewardClasses[class] = read, family, reward
	architectures[reward] = scalar(read)
}

// Architectures lists the class names that are supported.
func Architectures() []string { return slices.Sorted(maps.Keys(architectures)) }

// LanguageModels lists those of language models.
func LanguageModels() []string { return slices.Sorted(maps.Keys(families)) }

// Family names the models of a language model's class, for people.
func Family(class string) string { return families[class] }

// Model is a checkpoint and its description. Its weights stay mapped from the files until Close.
type Model struct {
	Dir          string
	Base         string // the folder of config.json and the weights: Dir, or that of an adapter's base
	Architecture string
	Decoder
	Weights checkpoint // of the base
	Dropout float64    // that the adapter was trained with

	PassedOver []string // keys of the adapter's patterns that are of no module which it changes

	adapter *safetensors.File // nil for none
	untied  bool              // of a tied base, merged: its head is no longer the embedding
}

// checkpoint is what the weights are in.
type checkpoint interface {
	tensors
	Names() []string
	Close() error
}

// Describe reads DIR/config.json alone, of an adapter also what it changes.
func Describe(dir string) (string, Decoder, error) {
	switch {
	case exported.IsFile(dir):
		x, err := exported.Open(dir)
		if err != nil {
			return "", Decoder{}, err
		}
		return exportedClass, decoderOf(x), nil
	case IsAdapter(dir):
		return describeAdapter(dir)
	}
	c, err := ReadConfig(dir)
	if err != nil {
		return "", Decoder{}, err
	}
	return c.describe()
}

func (c *Config) describe() (string, Decoder, error) {
	class, d, err := c.decode()
	if err != nil {
		return class, d, err
	}
	return class, d, c.finish()
}

// decode reads the configuration of whichever architecture it is; what was refused is in errs.
func (c *Config) decode() (string, Decoder, error) {
	class, err := c.architecture()
	if err != nil {
		return "", Decoder{}, err
	}
	read, ok := architectures[class]
	if !ok {
		return "", Decoder{}, fmt.Errorf("read %s: architecture %s is %s (supported: %s, and their reward models)",
			c.Path, class, c.foreign(), strings.Join(LanguageModels(), ", "))
	}
	c.passed = slices.Clone(harmless)
	d := read(c)
	d.check(c)
	return class, d, nil
}

// foreign says what is known of an architecture that is not supported: mixtures of experts by what they call their number.
func (c *Config) foreign() string {
	for _, name := range []string{"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"} {
		if raw, ok := c.fields[name]; ok && !empty(raw) {
			return fmt.Sprintf("a mixture of experts (%s is %s), which is not supported", name, shown(raw))
		}
	}
	return "not supported"
}

// check refuses shapes that no decoder here can have.
func (d Decoder) check(c *Config) {
	if activations[d.Activation] == nil {
		c.refuse("%s %q is not supported (%s are)", c.known("hidden_act"), d.Activation, strings.Join(slices.Sorted(maps.Keys(activations)), ", "))
	}
	if len(c.errs) > 0 {
		return
	}
	if _, given := c.fields["head_dim"]; !given && d.HeadDim == d.Hidden/d.Heads && d.Hidden%d.Heads != 0 {
		c.refuse("hidden_size %d is no multiple of num_attention_heads %d, and there is no head_dim", d.Hidden, d.Heads)
	}
	if d.Heads%d.KVHeads != 0 {
		c.refuse("num_attention_heads %d is no multiple of num_key_value_heads %d", d.Heads, d.KVHeads)
	}
	for _, r := range d.Rotations() {
		switch {
		case r.Rope.Dim == d.HeadDim && d.HeadDim%2 != 0:
			c.refuse("head_dim %d is odd, but rotary embeddings turn pairs", d.HeadDim)
		case r.Rope.Dim%2 != 0 || r.Rope.Dim > d.HeadDim:
			c.refuse("rotary embeddings are to turn %d of a head's %d entries: they turn pairs", r.Rope.Dim, d.HeadDim)
		}
	}
}

// Open reads a model directory and checks that its tensors are those that the architecture needs: all there, of the
// right shapes, in floating-point types, finite, and none left over that would change what the model computes.
// A folder with an adapter opens as its base with the adapter, an ONNX file as the model that was exported to it.
func Open(dir string) (*Model, error) {
	switch {
	case exported.IsFile(dir):
		return openExported(dir)
	case IsAdapter(dir):
		return openAdapter(dir)
	}
	class, d, err := Describe(dir)
	if err != nil {
		return nil, err
	}
	w, err := safetensors.OpenModel(dir)
	if err != nil {
		return nil, fmt.Errorf("open the weights of %s: %w", dir, err)
	}
	m := &Model{Dir: dir, Base: dir, Architecture: class, Decoder: d, Weights: w}
	if err := m.checkWeights(); err != nil {
		w.Close()
		return nil, err
	}
	return m, nil
}

// Close unmaps the weights.
func (m *Model) Close() error {
	err := m.Weights.Close()
	if m.adapter != nil {
		err = errors.Join(err, m.adapter.Close())
	}
	return err
}

// Tensors lists the tensors that the model uses, of the checkpoint and of its adapter, sorted.
func (m *Model) Tensors() []string { return slices.Sorted(maps.Keys(m.Shapes())) }

// Tensor is one of them.
func (m *Model) Tensor(name string) (safetensors.Tensor, error) {
	if m.adapter != nil {
		if t, err := m.adapter.Tensor(peftPrefix + name); err == nil {
			return t, nil
		}
	}
	if m.untied && name == m.headModule()+".weight" {
		name = m.embedModule() + ".weight"
	}
	return m.base(name)
}

// base is a tensor of the base's file, in which names may lack the backbone's, as in GPT-2's own.
func (m *Model) base(name string) (safetensors.Tensor, error) {
	t, err := m.Weights.Tensor(name)
	if _, bare, ok := strings.Cut(name, "."); ok && err != nil {
		if t, e := m.Weights.Tensor(bare); e == nil {
			return t, nil
		}
	}
	return t, err
}

// Trained lists the tensors that training changes: all, or those of the adapter.
func (m *Model) Trained() []string {
	if m.Adapter == nil {
		return m.Tensors()
	}
	return slices.Sorted(maps.Keys(m.adapterShapes()))
}

// Parameters counts the elements of those tensors.
func (m *Model) Parameters() int64 { return m.Elements(m.Tensors()) }

// Elements counts those of some of the tensors.
func (m *Model) Elements(tensors []string) (total int64) {
	shapes := m.Shapes()
	for _, name := range tensors {
		total += elements(shapes[name])
	}
	return total
}

// elements counts those of a shape.
func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// WeightType is the one element type of all the base's tensors, such as "BF16"; "" where they differ.
func (m *Model) WeightType() string {
	common := ""
	for i, name := range slices.Sorted(maps.Keys(m.baseShapes())) {
		t, err := m.base(name)
		if err != nil || i > 0 && t.DType != common {
			return ""
		}
		common = t.DType
	}
	return common
}

func (m *Model) checkWeights() error {
	if held := m.layersHeld(); held > 0 && held != m.Layers {
		return fmt.Errorf("open the weights of %s: config.json asks for %d layers, the weights hold %d: set num_hidden_layers (n_layer of GPT-2 and GPT-J) to what they hold, or bring the weights that it is of",
			m.Dir, m.Layers, held)
	}
	want := m.Shapes()
	names := slices.Sorted(maps.Keys(want))
	found := make([]string, len(names))
	inParallel(len(names), func(i int) { found[i] = fault(tensorsOf(m.base), names[i], want[names[i]], "config.json asks for %v") })
	wrong := slices.DeleteFunc(found, func(fault string) bool { return fault == "" })
	for _, name := range m.Weights.Names() {
		if !m.uses(want, name) && !m.unused(name) {
			wrong = append(wrong, fmt.Sprintf("tensor %s is not part of a %s with this config.json", name, m.Architecture))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("open the weights of %s: %w", m.Dir, someOf(wrong))
	}
	return nil
}

// layersHeld counts the layers that the file has tensors of, whose names may lack the backbone's.
func (m *Model) layersHeld() int {
	layers := m.named("model.layers") + "."
	_, bare, _ := strings.Cut(layers, ".")
	held := map[string]bool{}
	for _, name := range m.Weights.Names() {
		below, ok := strings.CutPrefix(name, layers)
		if !ok {
			below, ok = strings.CutPrefix(name, bare)
		}
		if layer, _, _ := strings.Cut(below, "."); ok {
			held[layer] = true
		}
	}
	return len(held)
}

// uses reports whether a tensor of the file is one of those that are wanted.
func (m *Model) uses(want map[string][]int64, name string) bool {
	backbone, _, _ := strings.Cut(m.embedModule(), ".")
	_, whole := want[name]
	_, bare := want[backbone+"."+name]
	return whole || bare
}

// tensors are those of a file or of several.
type tensors interface {
	Tensor(name string) (safetensors.Tensor, error)
}

// tensorsOf gives them by a function.
type tensorsOf func(name string) (safetensors.Tensor, error)

// Tensor is the one that is named.
func (f tensorsOf) Tensor(name string) (safetensors.Tensor, error) { return f(name) }

// fault says what is wrong with a tensor of a file that should have this shape; "" where nothing is. asks says who asks for the shape.
func fault(of tensors, name string, shape []int64, asks string) string {
	t, err := of.Tensor(name)
	if err != nil {
		return fmt.Sprintf("tensor %s is missing", name)
	}
	if !slices.Equal(t.Shape, shape) {
		return fmt.Sprintf("tensor %s has shape %v, "+asks, name, t.Shape, shape)
	}
	if err := finite(t); err != nil {
		return fmt.Sprintf("tensor %s %v", name, err)
	}
	return ""
}

// someOf is an error of the first of many.
func someOf(wrong []string) error {
	const most = 8
	if more := len(wrong) - most; more > 0 {
		wrong = append(wrong[:most], fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(wrong, "; "))
}

// unused tensors stand in some checkpoints and change nothing: the tied head, and rotary tables and causal masks of old versions.
func (m *Model) unused(name string) bool {
	table := func(end string) bool { return strings.HasSuffix(name, end) }
	mask := m.Names != nil && (table(".attn.bias") || table(".attn.masked_bias") || table(".attention.bias") || table(".attention.masked_bias"))
	return name == m.headModule()+".weight" && m.Tied || table(".rotary_emb.inv_freq") || mask
}

// finite refuses NaN and infinite weights, and types that are no floating-point numbers.
func finite(t safetensors.Tensor) error {
	const chunk = 1 << 14
	size := map[string]int{"F32": 4, "F16": 2, "BF16": 2}[t.DType]
	if size == 0 {
		return fmt.Errorf("has type %s; F32, F16 and BF16 are supported", t.DType)
	}
	buf := make([]float32, chunk)
	for at := 0; at < len(t.Data); at += chunk * size {
		part := t.Data[at:min(at+chunk*size, len(t.Data))]
		dst := buf[:len(part)/size]
		err := safetensors.Decode(safetensors.Tensor{DType: t.DType, Shape: []int64{int64(len(dst))}, Data: part}, dst)
		if err != nil {
			return err
		}
		for i, x := range dst {
			if x-x != 0 {
				return fmt.Errorf("holds %v at element %d", x, at/size+i)
			}
		}
	}
	return nil
}

package models

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/models/exported"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// An adapter's folder, as PEFT has it: adapter_config.json, which names the base, and adapter_model.safetensors. It opens like a model's own:
// the base with the adapter.
const (
	adapterConfigName  = "adapter_config.json"
	adapterWeightsName = "adapter_model.safetensors"
	peftPrefix         = "base_model.model." // before each tensor's name
	baseLayerSuffix    = ".base_layer.weight"
	baseKey            = "base_model_name_or_path"
	fingerprintKey     = "dpo-ort.base" // in the weights' metadata
)

// IsAdapter reports whether a folder holds an adapter in PEFT's format.
func IsAdapter(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, adapterConfigName))
	return err == nil
}

// Home is the folder that has what a model's folder holds beside its weights, such as its tokenizer: its own, or where it holds an adapter
// without that file, the base's; of an ONNX file the one that it lies in.
func Home(dir, file string) (string, error) {
	if exported.IsFile(dir) {
		return filepath.Dir(dir), nil
	}
	if _, err := os.Stat(filepath.Join(dir, file)); err == nil || !IsAdapter(dir) {
		return dir, nil
	}
	c, err := readAdapter(dir)
	if err != nil {
		return "", err
	}
	return c.base, nil
}

// adapterConfig is an adapter_config.json.
type adapterConfig struct {
	*Config
	base         string // the folder of the base
	rank         int
	alpha        float64
	rankPattern  patterns[int]
	alphaPattern patterns[float64]
	rsLoRA, doRA bool
	dropout      float64
}

// harmlessAdapter fields say how an adapter was made or is loaded; targets are those that the weights are of, and how a weight lies
// its base says (fan_in_fan_out).
var harmlessAdapter = []string{"auto_mapping", "eva_config", "exclude_modules", "inference_mode", "layers_pattern", "layers_to_transform",
	"megatron_core", "peft_version", "qalora_group_size", "target_modules", "task_type", "ensure_weight_tying", "fan_in_fan_out"}

// readAdapter reads DIR/adapter_config.json. What would change the numbers and is not known here is refused by name.
func readAdapter(dir string) (*adapterConfig, error) {
	path := filepath.Join(dir, adapterConfigName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read adapter configuration: %w", err)
	}
	of, err := parseConfig(path, data)
	if err != nil {
		return nil, err
	}
	c := &adapterConfig{Config: of}
	if kind := c.Text("peft_type", ""); kind != "LORA" {
		c.refuse("field peft_type is %q: LORA is supported", kind)
	}
	c.rank, c.alpha = c.Count("r", 0), c.Number("lora_alpha", 8)
	c.rsLoRA, c.doRA = c.Flag("use_rslora", false), c.Flag("use_dora", false)
	c.read("rank_pattern", &c.rankPattern)
	c.read("alpha_pattern", &c.alphaPattern)
	for name, rank := range c.rankPattern.all() {
		if rank < 1 {
			c.refuse("field rank_pattern has %d for %q: it must be positive", rank, name)
		}
	}
	for name, alpha := range c.alphaPattern.all() {
		if !(alpha > 0) {
			c.refuse("field alpha_pattern has %v for %q: it must be positive", alpha, name)
		}
	}
	if c.read("lora_dropout", &c.dropout); !(c.dropout >= 0 && c.dropout < 1) {
		c.refuse("field lora_dropout must be in [0, 1), it is %v", c.dropout)
	}
	if bias := c.Text("bias", "none"); bias != "none" {
		c.refuse("field bias is %q: none is supported", bias)
	}
	c.readStart()
	var base baseName
	c.read(baseKey, &base.Name)
	c.read("revision", &base.Revision)
	c.passed = harmlessAdapter
	if err := c.finish(); err != nil {
		return nil, err
	}
	if c.base, err = findBase(dir, base); err != nil {
		return nil, fmt.Errorf("read adapter configuration %s: %w", path, err)
	}
	return c, nil
}

// readStart refuses beginnings that change the base.
func (c *adapterConfig) readStart() {
	var start any
	c.read("init_lora_weights", &start)
	name, named := start.(string)
	if named && !slices.Contains([]string{"gaussian", "eva", "orthogonal"}, name) {
		c.refuse("field init_lora_weights is %q, which changes the base's weights: merge it where it was trained", name)
	}
}

// findBase is the folder of an adapter's base.
func findBase(dir string, of baseName) (string, error) {
	path := of.folder(dir)
	switch {
	case of.Name == "":
		return "", fmt.Errorf("field %s is missing: name the folder of the adapter's base", baseKey)
	case path == "":
		return "", fmt.Errorf("its base %q is no model's folder here: %sset %s to that folder", of.Name, of.fetch(), baseKey)
	case IsAdapter(path):
		return "", fmt.Errorf("its base %s is an adapter itself: merge that first (dpo-ort merge)", path)
	}
	return path, nil
}

// adapter describes what a file of weights changes.
func (c *adapterConfig) adapter(f *safetensors.File) (*Adapter, error) {
	a := &Adapter{DoRA: c.doRA, Modules: map[string]LowRank{}}
	for _, name := range f.Names() {
		own := strings.TrimPrefix(name, peftPrefix)
		module, ok := strings.CutSuffix(own, ".lora_A.weight")
		if !ok {
			module, ok = strings.CutSuffix(own, ".lora_embedding_A")
		}
		if !ok {
			continue
		}
		t, err := f.Tensor(name)
		if err != nil {
			return nil, err
		}
		rank := c.rankPattern.of(module, c.rank)
		if len(t.Shape) != 2 || t.Shape[0] != int64(rank) {
			return nil, fmt.Errorf("tensor %s has shape %v, %s asks for rank %d", name, t.Shape, adapterConfigName, rank)
		}
		a.Modules[module] = LowRank{Rank: rank, Scale: scaleOf(rank, c.alphaPattern.of(module, c.alpha), c.rsLoRA)}
	}
	if len(a.Modules) == 0 {
		return nil, errors.New("it holds no lora_A: it changes nothing")
	}
	return a, nil
}

// passedOver are the keys of patterns that are of no module which the adapter changes.
func (c *adapterConfig) passedOver(a *Adapter) (all []string) {
	for _, of := range []struct {
		field string
		keys  []string
	}{{"rank_pattern", c.rankPattern.unmatched(a.Modules)}, {"alpha_pattern", c.alphaPattern.unmatched(a.Modules)}} {
		for _, key := range of.keys {
			all = append(all, fmt.Sprintf("%s of %s", key, of.field))
		}
	}
	return all
}

// describeAdapter reads an adapter's folder and its base's config.json.
func describeAdapter(dir string) (class string, d Decoder, err error) {
	c, f, err := openAdapterFiles(dir)
	if err != nil {
		return "", d, err
	}
	defer f.Close()
	if class, d, err = Describe(c.base); err != nil {
		return class, d, err
	}
	d.Adapter, err = c.adapter(f)
	if err == nil {
		err = d.checkAdapter()
	}
	if err != nil {
		return class, d, fmt.Errorf("open adapter %s: %w", dir, err)
	}
	return class, d, nil
}

func openAdapterFiles(dir string) (*adapterConfig, *safetensors.File, error) {
	c, err := readAdapter(dir)
	if err != nil {
		return nil, nil, err
	}
	f, err := safetensors.Open(filepath.Join(dir, adapterWeightsName))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (PEFT writes it with safe_serialization=True, its default)", err)
	}
	return c, f, err
}

// openAdapter opens a base with its adapter.
func openAdapter(dir string) (m *Model, err error) {
	c, f, err := openAdapterFiles(dir)
	if err != nil {
		return nil, err
	}
	m, err = Open(c.base)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the base of adapter %s: %w", dir, err), f.Close())
	}
	m.Dir, m.adapter, m.Dropout = dir, f, c.dropout
	if m.Adapter, err = c.adapter(f); err == nil {
		m.PassedOver = c.passedOver(m.Adapter)
		err = m.checkAdapterWeights()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open adapter %s: %w", dir, err), m.Close())
	}
	return m, nil
}

// modules are those that an adapter can change, by name: whether it is a table that rows are taken from, not a product.
func (d Decoder) modules() map[string]bool {
	d.Adapter = nil
	out := map[string]bool{d.embedModule(): true, d.headModule(): false}
	for l := range d.Layers {
		for _, p := range d.layerParams(l) {
			if len(p.shape) == 2 {
				out[strings.TrimSuffix(p.tensor, ".weight")] = false
			}
		}
	}
	return out
}

// checkAdapter refuses an adapter of modules that the base has not.
func (d Decoder) checkAdapter() error {
	known := d.modules()
	for _, name := range slices.Sorted(maps.Keys(d.Adapter.Modules)) {
		switch table, ok := known[name]; {
		case !ok:
			return fmt.Errorf("it changes %s, which its base has not: it is another base's", name)
		case table && d.Adapter.DoRA:
			return fmt.Errorf("it changes %s with use_dora, which is supported of products alone", name)
		case d.Scalar:
			return errors.New("its base is a reward model, which adapters are not supported of")
		}
	}
	return nil
}

// checkAdapterWeights checks that the adapter's tensors are those that its modules need.
func (m *Model) checkAdapterWeights() error {
	if err := m.checkAdapter(); err != nil {
		return err
	}
	var wrong []string
	want := m.adapterShapes()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if found := fault(m.adapter, peftPrefix+name, want[name], "its base asks for %v: it is another base's"); found != "" {
			wrong = append(wrong, found)
		}
	}
	for _, name := range m.adapter.Names() {
		own, prefixed := strings.CutPrefix(name, peftPrefix)
		if _, used := want[own]; prefixed && used {
			continue
		}
		if err := m.checkLeftOver(name, own); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if wrong == nil {
		wrong = m.notFinite()
	}
	if wrong == nil {
		return m.checkBase()
	}
	return someOf(wrong)
}

// notFinite tells of the adapter's tensors that hold an infinity or a NaN, which would spread to each log-probability.
func (m *Model) notFinite() (wrong []string) {
	for _, name := range m.adapter.Names() {
		t, err := m.adapter.Tensor(name)
		if err == nil {
			_, err = decoded(t)
		}
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// checkLeftOver refuses a tensor that is no part of the adapter, unless it is the base's own, as PEFT adds it for tables.
func (m *Model) checkLeftOver(name, own string) error {
	module, ok := strings.CutSuffix(own, baseLayerSuffix)
	if !ok {
		return fmt.Errorf("tensor %s is no part of a LoRA adapter", name)
	}
	copied, err := m.adapter.Tensor(name)
	if err != nil {
		return err
	}
	t, err := m.moduleWeight(module)
	if err != nil {
		return fmt.Errorf("tensor %s is of a module that the base has not", name)
	}
	if t.DType == copied.DType && !bytes.Equal(t.Data, copied.Data) || !slices.Equal(t.Shape, copied.Shape) {
		return fmt.Errorf("tensor %s is not the base's: merge the adapter where it was trained", name)
	}
	return nil
}

// checkBase refuses a base that is not the one that this program trained the adapter on.
func (m *Model) checkBase() error {
	want, ok := m.adapter.Metadata()[fingerprintKey]
	if !ok {
		return nil
	}
	is, err := m.fingerprint()
	if err == nil && is != want {
		err = fmt.Errorf("it was trained on another base than %s, of the same shape", m.Base)
	}
	return err
}

// fingerprint tells bases apart without reading all of them: it is a SHA-256 of each tensor's name, type, shape, and first and last elements.
func (m *Model) fingerprint() (string, error) {
	const ends = 1 << 10
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(m.baseShapes())) {
		t, err := m.base(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %s %v\n", name, t.DType, t.Shape)
		h.Write(t.Data[:min(ends, len(t.Data))])
		h.Write(t.Data[max(0, len(t.Data)-ends):])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// moduleWeight is the base's weight of a module.
func (m *Model) moduleWeight(module string) (safetensors.Tensor, error) {
	if module == m.headModule() && m.Tied {
		module = m.embedModule()
	}
	return m.base(module + ".weight")
}

// decoded is a whole tensor as float32.
func decoded(t safetensors.Tensor) ([]float32, error) {
	values := make([]float32, elements(t.Shape))
	return values, safetensors.Decode(t, values)
}

// baseShapes are those of the base's tensors, adapterShapes of the adapter's.
func (d Decoder) baseShapes() map[string][]int64 {
	d.Adapter = nil
	return d.Shapes()
}

func (d Decoder) adapterShapes() map[string][]int64 {
	shapes := d.Shapes()
	for name := range d.baseShapes() {
		delete(shapes, name)
	}
	return shapes
}

// saveAdapter writes an adapter's tensors, marked with its base.
func (m *Model) saveAdapter(dir string, entries []safetensors.Entry) error {
	mark, err := m.fingerprint()
	if err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	for i := range entries {
		entries[i].Name = peftPrefix + entries[i].Name
	}
	return safetensors.Write(filepath.Join(dir, adapterWeightsName), entries, map[string]string{"format": "pt", fingerprintKey: mark})
}

// saveAdapterConfig copies the adapter's configuration, with the whole path of its base.
func (m *Model) saveAdapterConfig(dir string) error {
	c, err := readAdapter(m.Dir)
	if err != nil {
		return err
	}
	base, err := filepath.Abs(m.Base)
	if err != nil {
		return err
	}
	return c.write(filepath.Join(dir, adapterConfigName), map[string]any{baseKey: base, "inference_mode": true})
}

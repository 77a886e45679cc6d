package models

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// AllLinear stands, as a target, for every product of every layer.
const AllLinear = "all-linear"

// AdapterSpec is an adapter that is to be made.
type AdapterSpec struct {
	Rank    int
	Alpha   float64
	RSLoRA  bool     // scale by √rank
	DoRA    bool     // with trained magnitudes
	Targets []string // modules: the ends of their names, regular expressions for whole names, or AllLinear
}

// Targets finds the modules that targets name; passed are those that name none, which PEFT passes over beside others.
func (d Decoder) Targets(targets []string) (modules, passed []string) {
	all := slices.Sorted(maps.Keys(d.modules()))
	for _, target := range targets {
		matches := func(module string) bool { return module == target || strings.HasSuffix(module, "."+target) }
		if target == AllLinear {
			matches = func(module string) bool { return strings.HasPrefix(module, d.named("model.layers")+".") }
		} else if strings.ContainsAny(target, `*+?()[]{}|^$\`) {
			whole, err := regexp.Compile("^(?:" + target + ")$")
			matches = func(module string) bool { return err == nil && whole.MatchString(module) }
		}
		found := slices.DeleteFunc(slices.Clone(all), func(module string) bool { return !matches(module) })
		if len(found) == 0 {
			passed = append(passed, target)
		}
		modules = append(modules, found...)
	}
	slices.Sort(modules)
	return slices.Compact(modules), passed
}

// ModuleNames lists the ends of the names of modules that an adapter can change.
func (d Decoder) ModuleNames() []string {
	names := map[string]bool{}
	for module := range d.modules() {
		names[module[strings.LastIndex(module, ".")+1:]] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// WriteAdapter writes the adapter that training begins with, in PEFT's format: A uniform within ±1/√in and B zero, as PEFT and LoRA's own code
// have it (of the embedding A is zero and B normal), and magnitudes as they are. So the model computes what its base does.
func WriteAdapter(dir, base string, spec AdapterSpec, seed int64) error {
	m, err := Open(base)
	if err != nil {
		return err
	}
	defer m.Close()
	if m.adapter != nil {
		return fmt.Errorf("make an adapter: %s is one: merge it first (dpo-ort merge), or leave out the new one to go on training it", base)
	}
	modules, passed := m.Targets(spec.Targets)
	if len(modules) == 0 {
		return fmt.Errorf("make an adapter: no module of %s is %s: there are %s", base, strings.Join(passed, " or "), strings.Join(m.ModuleNames(), ", "))
	}
	m.Adapter = &Adapter{DoRA: spec.DoRA, Modules: map[string]LowRank{}}
	for _, module := range modules {
		m.Adapter.Modules[module] = LowRank{Rank: spec.Rank, Scale: scaleOf(spec.Rank, spec.Alpha, spec.RSLoRA)}
	}
	if err := m.writeNewAdapter(dir, spec, modules, seed); err != nil {
		return fmt.Errorf("make an adapter of %s: %w", base, err)
	}
	return nil
}

// writeNewAdapter draws the adapter that the model has been given, and writes it.
func (m *Model) writeNewAdapter(dir string, spec AdapterSpec, modules []string, seed int64) error {
	if err := m.checkAdapter(); err != nil {
		return err
	}
	mark, err := m.fingerprint()
	if err != nil {
		return err
	}
	entries, err := m.drawAdapter(seed)
	if err != nil {
		return err
	}
	if err := safefile.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := copyFiles(dir, m.Dir, companions[1:]); err != nil {
		return err
	}
	if err := writeAdapterConfig(filepath.Join(dir, adapterConfigName), m.Dir, spec, modules, m.Transposed); err != nil {
		return err
	}
	return safetensors.Write(filepath.Join(dir, adapterWeightsName), entries, map[string]string{"format": "pt", fingerprintKey: mark})
}

// writeAdapterConfig names the modules one by one: PEFT knows an expression, and all-linear, only where it is the one target.
func writeAdapterConfig(path, base string, spec AdapterSpec, modules []string, transposed bool) error {
	base, err := filepath.Abs(base)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{"peft_type": "LORA", "task_type": "CAUSAL_LM", baseKey: base, "r": spec.Rank, "lora_alpha": spec.Alpha,
		"lora_dropout": 0.0, "use_rslora": spec.RSLoRA, "use_dora": spec.DoRA, "target_modules": modules, "bias": "none", "inference_mode": true,
		"fan_in_fan_out": transposed, "init_lora_weights": true, "modules_to_save": nil}, "", "  ")
	if err != nil {
		return err
	}
	return safefile.Write(path, append(text, '\n'))
}

// drawAdapter draws an adapter's tensors.
func (m *Model) drawAdapter(seed int64) (entries []safetensors.Entry, err error) {
	rng := rand.New(rand.NewPCG(uint64(seed), 3))
	shapes := m.adapterShapes()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		shape := shapes[name]
		values := make([]float32, elements(shape))
		switch {
		case strings.HasSuffix(name, ".lora_A.weight"):
			bound := 1 / math.Sqrt(float64(shape[1]))
			for i := range values {
				values[i] = float32((2*rng.Float64() - 1) * bound)
			}
		case strings.HasSuffix(name, ".lora_embedding_B"):
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
		case strings.HasSuffix(name, ".lora_magnitude_vector"):
			if values, err = m.rowNorms(strings.TrimSuffix(name, ".lora_magnitude_vector")); err != nil {
				return nil, err
			}
		}
		e := safetensors.Entry{Name: peftPrefix + name, DType: "F32", Shape: shape, Data: make([]byte, 4*len(values))}
		if err := safetensors.Encode(values, "F32", e.Data); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// rowNorms are the norms of the rows of a module's weight as [out,in].
func (m *Model) rowNorms(module string) ([]float32, error) {
	t, err := m.moduleWeight(module)
	if err != nil {
		return nil, err
	}
	w, err := decoded(t)
	if err != nil {
		return nil, err
	}
	out, in := t.Shape[0], t.Shape[1]
	if m.inByOut(module) {
		w, out, in = transposed(w, int(in)), in, out
	}
	norms := make([]float32, out)
	for i, row := range slices.Collect(slices.Chunk(w, int(in))) {
		sum := 0.0
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		norms[i] = float32(math.Sqrt(sum))
	}
	return norms, nil
}

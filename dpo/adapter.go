package dpo

import (
	"fmt"
	"math"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/wording"
	"github.com/dpo-ort/dpo-ort/models"
)

// An adapter is trained as a model of its own: a folder in PEFT's format, which the run makes under run/init and begins with. Its base's weights
// are frozen and stay mapped from their file; the reference is the model before its first step, so of a new adapter the base, and of one that
// was trained before the base with that.

var adapterKinds = []string{"lora", "dora"}

// Rates of adapters, ten times those of whole models, as TRL's documentation has it.
const (
	adapterRate    = 1e-5
	adapterSFTRate = 2e-4
)

// AdapterDefaults sets what runs that train an adapter do otherwise: TRL's rank and alpha, all products of all layers, and a rate of their own.
func (c *Config) AdapterDefaults() {
	if c.LR = adapterRate; c.Objective == Likelihood {
		c.LR = adapterSFTRate
	}
	if c.Adapter != "" {
		c.LoRARank, c.LoRAAlpha, c.LoRATargets = 16, 32, []string{models.AllLinear}
	}
}

// checkAdapter reports settings of adapters that make no sense.
func (c Config) checkAdapter() (wrong []string) {
	if c.Adapter == "" {
		if c.LoRARank != 0 || c.LoRAAlpha != 0 || c.LoRATargets != nil || c.RSLoRA {
			wrong = append(wrong, "lora-rank, lora-alpha, lora-targets and rslora are settings of a new adapter: give --adapter lora")
		}
		return wrong
	}
	if err := OneOf("adapter", c.Adapter, adapterKinds); err != nil {
		wrong = append(wrong, err.Error())
	}
	if c.aim().scalar {
		wrong = append(wrong, "adapter: a reward model is trained whole")
	}
	if c.LoRARank < 1 {
		wrong = append(wrong, fmt.Sprintf("lora-rank must be at least 1, it is %d", c.LoRARank))
	}
	if !(c.LoRAAlpha > 0 && c.LoRAAlpha <= math.MaxFloat32) {
		wrong = append(wrong, fmt.Sprintf("lora-alpha must be positive, it is %v", c.LoRAAlpha))
	}
	if len(c.LoRATargets) == 0 {
		wrong = append(wrong, "lora-targets is empty: name modules, or "+models.AllLinear)
	}
	return wrong
}

// NewAdapter has a run begin with a new adapter of its Model, which then names the adapter's folder: write makes it, see [Config.WriteInitial].
// It is nil where no adapter is asked for.
func (c *Config) NewAdapter() (write func(dir string) error, err error) {
	if c.Adapter == "" || c.Model == "" {
		return nil, nil
	}
	if models.IsAdapter(c.Model) {
		return nil, Usage("model %s is an adapter already: leave out --adapter to go on training it, or make a model of it first (dpo-ort merge)", c.Model)
	}
	if err := NotExported(c.Model, "an adapter needs modules that are known: leave out --adapter, and it is trained whole"); err != nil {
		return nil, err
	}
	_, d, err := models.Describe(c.Model)
	if err != nil {
		return nil, err
	}
	if modules, passed := d.Targets(c.LoRATargets); len(modules) == 0 {
		names := append(d.ModuleNames(), models.AllLinear)
		return nil, Usage("lora-targets: no module of %s is %q%s: there are %s", c.Model, passed[0], wording.Suggest("", passed[0], names), strings.Join(names, ", "))
	}
	base := c.Model
	spec := models.AdapterSpec{Rank: c.LoRARank, Alpha: c.LoRAAlpha, RSLoRA: c.RSLoRA, DoRA: c.Adapter == "dora", Targets: c.LoRATargets}
	c.Model = c.Initial()
	return func(dir string) error { return models.WriteAdapter(dir, base, spec, c.Seed) }, nil
}

// warnPassedOver tells which names of modules are of none, as PEFT goes on without them.
func (t *Trainer) warnPassedOver(m *models.Model) {
	if t.Adapter != "" {
		if _, passed := m.Targets(t.LoRATargets); passed != nil {
			t.warn("passed-over", fmt.Sprintf("lora-targets %s: no module of the model has that name, so the adapter leaves it out", strings.Join(passed, " and ")),
				"there are "+strings.Join(m.ModuleNames(), ", "))
		}
	}
	if m.PassedOver != nil {
		t.warn("passed-over", fmt.Sprintf("adapter %s: %s is of no module that it changes, and says nothing", m.Dir, strings.Join(m.PassedOver, " and ")),
			"PEFT passes over it, too; if a module was meant, look at its name")
	}
}

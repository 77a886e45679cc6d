package dpo

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/internal/wording"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Config is everything a training run depends on. The YAML keys are the names of the program's flags.
type Config struct {
	Objective string `yaml:"objective,omitempty"` // Preference (also ""), Likelihood or Reward
	On        string `yaml:"on,omitempty"`        // of Likelihood: "completion", or "chosen" for the best answer of pairs and rankings

	AssistantTurns string `yaml:"assistant-turns,omitempty"` // of Likelihood: "last" (also ""), or "all" that the chat template marks: see datasets.TurnPolicy

	Model string   `yaml:"model"`
	Ref   string   `yaml:"ref,omitempty"` // "" means the model as it is before the first step
	Data  []string `yaml:"data"`
	Out   string   `yaml:"out"`

	Columns map[string]string `yaml:"columns,omitempty"` // the data's names for columns, by ours, as in datasets.Options

	Adapter     string   `yaml:"adapter,omitempty"`   // "lora" or "dora", trained in place of the model's weights; "" for these
	LoRARank    int      `yaml:"lora-rank,omitempty"` // these are settings of an adapter: see models.AdapterSpec
	LoRAAlpha   float64  `yaml:"lora-alpha,omitempty"`
	LoRATargets []string `yaml:"lora-targets,omitempty"`
	RSLoRA      bool     `yaml:"rslora,omitempty"`

	RefColumns string `yaml:"ref-columns"` // "use", "require" or "ignore" the log-probabilities that score left in the data

	Loss           string          `yaml:"loss"`
	Beta           float64         `yaml:"beta"`
	LabelSmoothing float64         `yaml:"label-smoothing"`
	LossSettings   settings.Values `yaml:"loss-settings,omitempty"`  // others of the loss, by name
	FDivergence    string          `yaml:"f-divergence,omitempty"`   // "" is loss.ReverseKL
	ReferenceFree  bool            `yaml:"reference-free,omitempty"` // the reference's log-probabilities are 0, and it is not run
	LDAlpha        *float64        `yaml:"ld-alpha,omitempty"`       // of tokens beyond the shortest answer's length: see tailWeights; nil for 1
	UseWeighting   bool            `yaml:"use-weighting,omitempty"`  // WPO: see trustOf
	Ties           string          `yaml:"ties"`                     // "average" or "drop": see loss.Rank

	SyncRefModel       bool    `yaml:"sync-ref-model,omitempty"`        // TR-DPO: the reference follows the policy
	RefModelMixupAlpha float64 `yaml:"ref-model-mixup-alpha,omitempty"` // the policy's share when it does; 0 means 0.6
	RefModelSyncSteps  int     `yaml:"ref-model-sync-steps,omitempty"`  // after so many steps; 0 means 512

	Optimizer         string          `yaml:"optimizer"`
	OptimizerSettings settings.Values `yaml:"optimizer-settings,omitempty"` // those that are not the default

	LR          float64 `yaml:"lr"`
	WeightDecay float64 `yaml:"weight-decay"`
	MaxGradNorm float64 `yaml:"max-grad-norm"` // 0 turns clipping off

	Schedule         string          `yaml:"schedule"`
	ScheduleSettings settings.Values `yaml:"schedule-settings,omitempty"` // those that are not the default

	Warmup     int    `yaml:"warmup"`      // steps; −1 means 150, or a tenth of the run where that is fewer
	WarmupRule string `yaml:"warmup-rule"` // "paper" or "trl": see optim.WarmupRule

	Batch     int   `yaml:"batch"` // groups a step
	Epochs    int   `yaml:"epochs"`
	Steps     int   `yaml:"steps,omitempty"` // 0 means what epochs come to
	Seed      int64 `yaml:"seed"`
	NoShuffle bool  `yaml:"no-shuffle"`

	MaxLength       int    `yaml:"max-length"`
	MaxPromptLength int    `yaml:"max-prompt-length"`
	Truncate        string `yaml:"truncate"` // "prompt" cuts the prompt's start first, "end" keeps the start of the whole
	EOS             string `yaml:"eos"`      // "add" or "keep"

	// ChatTemplate is the file with the template that writes messages, which whoever opens the tokenizer reads; "" is the model's own.
	ChatTemplate string `yaml:"chat-template,omitempty"`

	EvalData  []string `yaml:"eval-data,omitempty"`
	EvalEvery int      `yaml:"eval-every"` // steps; 0 means only at the end
	EarlyStop int      `yaml:"early-stop"` // evaluations without a lower loss that end the run; 0 means never
	SaveEvery int      `yaml:"save-every"` // steps; 0 means only at the end
	Keep      int      `yaml:"keep"`       // checkpoints: the newest
	SaveType  string   `yaml:"save-type"`  // float32, bfloat16 or source

	Memory     string `yaml:"memory"`      // what the run may take: see parseMemory
	Rung       string `yaml:"rung"`        // "auto", or what every layer keeps
	MicroBatch int    `yaml:"micro-batch"` // groups at most; 0 means as many as memory and time allow
	Threads    int    `yaml:"threads"`     // 0 means one a core
	Device     string `yaml:"device"`
	DType      string `yaml:"dtype"`
	Offload    string `yaml:"offload,omitempty"`    // from a GPU's memory: see engine.Offload
	LossScale  string `yaml:"loss-scale,omitempty"` // of float16: "dynamic" (also ""), or a number: see lossScale
	TF32       bool   `yaml:"tf32,omitempty"`       // of float32, on a GPU: products may round their factors to TF32

	Planned *MemoryPlan `yaml:"plan,omitempty"` // found from Memory; a resume has the one that the run began with

	// Cache is the folder that keeps token ids for the next run; "" keeps none. No setting of a run: it changes no number.
	Cache string `yaml:"-"`

	// Names are those that a run writes down in place of paths: what lies in a hub's cache, by its name there and its commit. No setting either.
	Names map[string]string `yaml:"-" json:"-"`
}

// named has names in place of the paths that have one.
func (c Config) named() Config {
	name := func(path string) string { return cmp.Or(c.Names[path], path) }
	names := func(paths []string) (out []string) {
		for _, path := range paths {
			out = append(out, name(path))
		}
		return out
	}
	c.Model, c.Ref, c.Data, c.EvalData = name(c.Model), name(c.Ref), names(c.Data), names(c.EvalData)
	return c
}

// presets set hyper-parameters; the names of losses mean the same under each.
var presets = map[string]func(*Config){
	"paper": func(*Config) {},
	"trl": func(c *Config) {
		c.Optimizer, c.MaxGradNorm, c.Schedule, c.Warmup, c.WarmupRule = "adamw", 1, "linear", 0, "trl"
		c.MaxLength, c.Truncate, c.Batch, c.Epochs = 1024, "end", 8, 3
	},
}

// Presets lists the names of presets.
func Presets() []string { return []string{"paper", "trl"} }

// NewConfig gives a preset's defaults: "paper" has those of App. B of the DPO paper and of its code.
func NewConfig(preset string) (Config, error) {
	c := Config{
		RefColumns: "use", Loss: "sigmoid", Beta: 0.1, Ties: "average", Optimizer: "rmsprop", LR: 1e-6, MaxGradNorm: 10,
		Schedule: "constant", Warmup: -1, WarmupRule: "paper", Batch: 64, Epochs: 1,
		MaxLength: 512, MaxPromptLength: 256, Truncate: "prompt", EOS: "add",
		SaveEvery: 100, Keep: 2, SaveType: "float32", Memory: "60%", Rung: autoRung, Device: "cpu", DType: "float32",
	}
	set, ok := presets[preset]
	if !ok {
		return c, OneOf("preset", preset, Presets())
	}
	set(&c)
	return c, nil
}

// Check reports all settings that make no sense, by the names of their flags.
func (c Config) Check() error {
	var wrong []string
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	refuse(c.Model == "", "model is missing: name a Hugging Face model directory")
	refuse(len(c.Data) == 0, "data is missing: name a Parquet or JSONL file of pairs")
	refuse(c.Out == "", "out is missing: name the directory to write")
	if err := c.reading().Check(); err != nil {
		wrong = append(wrong, "columns: "+err.Error())
	}
	refuse(!(c.Beta > 0 && c.Beta <= math.MaxFloat64), "beta must be positive, it is %v", c.Beta)
	refuse(!(c.LabelSmoothing >= 0 && c.LabelSmoothing < 0.5), "label-smoothing must lie in [0, 0.5), it is %v", c.LabelSmoothing)
	wrong = append(wrong, c.checkObjective()...)
	wrong = append(wrong, c.checkAdapter()...)
	refuse(!(c.LR >= 0 && c.LR <= math.MaxFloat64), "lr must be finite and not negative, it is %v", c.LR)
	refuse(!(c.WeightDecay >= 0 && c.WeightDecay <= math.MaxFloat64), "weight-decay must be finite and not negative, it is %v", c.WeightDecay)
	refuse(!(c.MaxGradNorm >= 0), "max-grad-norm must not be negative, it is %v (0 turns clipping off)", c.MaxGradNorm)
	refuse(c.Batch < 1, "batch must be at least 1, it is %d", c.Batch)
	refuse(c.Steps < 0, "steps must not be negative, it is %d (0: what --epochs come to)", c.Steps)
	refuse(c.Steps == 0 && c.Epochs < 1, "epochs must be at least 1, it is %d, or steps be given", c.Epochs)
	refuse(c.Warmup < -1, "warmup must be at least -1, it is %d (-1: 150 steps, or a tenth of the run where that is fewer)", c.Warmup)
	refuse(c.MaxLength < 2, "max-length must be at least 2, it is %d", c.MaxLength)
	refuse(c.MaxPromptLength < 1, "max-prompt-length must be at least 1, it is %d", c.MaxPromptLength)
	refuse(c.MaxPromptLength >= c.MaxLength, "max-prompt-length %d leaves no room below max-length %d", c.MaxPromptLength, c.MaxLength)
	refuse(c.MicroBatch < 0 || c.Threads < 0 || c.EvalEvery < 0 || c.SaveEvery < 0,
		"micro-batch, threads, eval-every and save-every must not be negative")
	refuse(c.EarlyStop < 0, "early-stop must not be negative, it is %d (0: never)", c.EarlyStop)
	refuse(c.EarlyStop > 0 && (len(c.EvalData) == 0 || c.EvalEvery == 0), "early-stop needs --eval-data and --eval-every")
	refuse(c.Keep < 1, "keep must be at least 1, it is %d", c.Keep)
	one := func(flag, value string, of []string) {
		if err := OneOf(flag, value, of); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	one("ref-columns", c.RefColumns, []string{"use", "require", "ignore"})
	one("ties", c.Ties, []string{"average", "drop"})
	one("optimizer", c.Optimizer, optim.Names())
	one("schedule", c.Schedule, optim.Schedules())
	wrong = append(wrong, c.checkMethodSettings()...)
	one("warmup-rule", c.WarmupRule, []string{"paper", "trl"})
	one("truncate", c.Truncate, []string{"prompt", "end"})
	one("eos", c.EOS, []string{"add", "keep"})
	one("save-type", c.SaveType, []string{"float32", "bfloat16", "source"})
	one("rung", c.Rung, []string{autoRung, "stash", "probs", "recompute"})
	if _, err := parseMemory(c.Memory, ort.Device{}); err != nil {
		wrong = append(wrong, "memory: "+err.Error())
	}
	options, _, err := precision(c.Device, c.DType, c.TF32, c.Threads)
	if err == nil {
		err = checkOffload(c.Offload, Offloads(), options.Device)
	}
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	if _, err := c.firstLossScale(); err != nil {
		wrong = append(wrong, err.Error())
	}
	if wrong != nil {
		return Usage("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// UsageError is a setting that makes no sense, as opposed to data or a run that went wrong.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

// Usage makes a UsageError.
func Usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// OneOf refuses a flag's value that is not among those known.
func OneOf(flag, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return Usage("%s must be one of %s, it is %q%s", flag, strings.Join(known, ", "), value, wording.Suggest("", value, known))
}

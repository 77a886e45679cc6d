package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/plainyaml"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/internal/wording"
	"github.com/dpo-ort/dpo-ort/models"
)

// bindTrain declares the settings of training, of each objective, as flags over c, whose values are their defaults.
func bindTrain(f *pflag.FlagSet, c *dpo.Config) {
	f.StringVar(&c.Objective, "objective", c.Objective, "what is trained")
	f.StringVar(&c.On, "on", c.On, "what to learn: each row's completion, or of pairs and rankings the chosen, best answer (Preferred-FT)")
	f.StringVar(&c.AssistantTurns, "assistant-turns", c.AssistantTurns, "what to learn of conversations: last, each one's last turn (the default), or all that the chat template marks as the assistant's")
	f.StringVar(&c.Model, "model", c.Model, "Hugging Face directory of the model to train")
	f.StringVar(&c.Ref, "ref", c.Ref, "directory of the reference (default: the model before its first step)")
	f.StringVar(&c.Adapter, "adapter", c.Adapter, "train an adapter in place of the weights: lora or dora")
	f.IntVar(&c.LoRARank, "lora-rank", c.LoRARank, "its rank (default 16)")
	f.Float64Var(&c.LoRAAlpha, "lora-alpha", c.LoRAAlpha, "its scale, times rank (default 32)")
	f.BoolVar(&c.RSLoRA, "rslora", c.RSLoRA, "scale by lora-alpha / sqrt(rank)")
	f.StringSliceVar(&c.LoRATargets, "lora-targets", c.LoRATargets, "modules that it changes: names such as q_proj, a regular expression for whole names, or all-linear, the default")
	f.StringSliceVar(&c.Data, "data", c.Data, "preference data: Parquet, JSONL or JSON files, globs or folders")
	bindColumns(f, &c.Columns, "prompt=question,chosen=good")
	f.StringVar(&c.Out, "out", c.Out, "directory to write: the trained model, and the run under run/")
	f.StringVar(&c.RefColumns, "ref-columns", c.RefColumns, "ref_ columns that score left in the data: use (refusing stale ones), require or ignore them")

	f.StringVar(&c.Loss, "loss", c.Loss, "loss: "+strings.Join(loss.Comparing(), ", ")+"; a sum (sigmoid=0.8,sft=1); or a file, NAME.onnx")
	f.Float64Var(&c.Beta, "beta", c.Beta, "strength of the tie to the reference")
	f.Float64Var(&c.LabelSmoothing, "label-smoothing", c.LabelSmoothing, "share of labels taken to be wrong, below 0.5, by sigmoid (cDPO), robust (rDPO) and others")
	f.Var(&c.LossSettings, "loss-settings", "further settings of the loss, as in gamma=0.5; the list of losses has their names")
	f.StringVar(&c.FDivergence, "f-divergence", c.FDivergence, "what keeps the policy near the reference, for losses of h: "+strings.Join(loss.Divergences(), ", ")+" (default reverse_kl)")
	f.BoolVar(&c.ReferenceFree, "reference-free", c.ReferenceFree, "take 0 for the reference's log-probabilities, and run no reference")
	f.Var(optional{&c.LDAlpha}, "ld-alpha", "weight of the tokens that an answer has beyond the shorter one's length, from 0 to 1 (LD-DPO)")
	f.BoolVar(&c.UseWeighting, "use-weighting", c.UseWeighting, "weigh each pair by how likely the policy is to write its answers (WPO)")
	f.BoolVar(&c.SyncRefModel, "sync-ref-model", c.SyncRefModel, "let the reference follow the policy (TR-DPO); its weights take as much memory again")
	f.Float64Var(&c.RefModelMixupAlpha, "ref-model-mixup-alpha", c.RefModelMixupAlpha, "the policy's share of the reference that follows it, 1 for all of it (default 0.6)")
	f.IntVar(&c.RefModelSyncSteps, "ref-model-sync-steps", c.RefModelSyncSteps, "steps after which the reference follows (default 512)")
	f.StringVar(&c.Ties, "ties", c.Ties, "answers of one rank or score: average (any order of them is as good) or drop (they are not compared)")

	f.StringVar(&c.Optimizer, "optimizer", c.Optimizer, "optimizer: "+strings.Join(optim.Names(), ", "))
	f.Var(&c.OptimizerSettings, "optimizer-settings", "settings of the optimizer, such as beta2=0.95")
	f.Float64Var(&c.LR, "lr", c.LR, "learning rate")
	f.Float64Var(&c.WeightDecay, "weight-decay", c.WeightDecay, "weight decay of matrices")
	f.Float64Var(&c.MaxGradNorm, "max-grad-norm", c.MaxGradNorm, "clip the gradient to this norm; 0: do not")
	f.StringVar(&c.Schedule, "schedule", c.Schedule, "learning rate after warm-up: "+strings.Join(optim.Schedules(), ", "))
	f.Var(&c.ScheduleSettings, "schedule-settings", "settings of the schedule, such as min_lr_rate=0.1")
	f.IntVar(&c.Warmup, "warmup", c.Warmup, "steps of linear warm-up; -1: 150, or a tenth of the run where that is fewer")
	f.StringVar(&c.WarmupRule, "warmup-rule", c.WarmupRule, "rate of warm-up step i: paper (i+1)/(warmup+1), or trl i/warmup")

	f.IntVar(&c.Batch, "batch", c.Batch, "pairs (or groups) a step")
	f.IntVar(&c.Epochs, "epochs", c.Epochs, "passes over the data")
	f.IntVar(&c.Steps, "steps", c.Steps, "steps in all, instead of --epochs")
	f.Int64Var(&c.Seed, "seed", c.Seed, "seed of the data's order")
	f.BoolVar(&c.NoShuffle, "no-shuffle", c.NoShuffle, "take the data in its order")

	f.IntVar(&c.MaxLength, "max-length", c.MaxLength, "most tokens of a prompt and its longest answer together")
	f.IntVar(&c.MaxPromptLength, "max-prompt-length", c.MaxPromptLength, "what a prompt is cut to, from its start, where max-length is exceeded")
	f.StringVar(&c.Truncate, "truncate", c.Truncate, "what exceeds max-length loses: prompt (its start, then the answers' ends) or end (as TRL)")
	f.StringVar(&c.EOS, "eos", c.EOS, "end each answer with EOS (add), or take it as it is (keep)")

	bindTemplate(f, &c.ChatTemplate)

	f.StringSliceVar(&c.EvalData, "eval-data", c.EvalData, "held-out preferences")
	f.IntVar(&c.EvalEvery, "eval-every", c.EvalEvery, "steps between evaluations; 0: after the last only")
	f.IntVar(&c.EarlyStop, "early-stop", c.EarlyStop, "stop after so many evaluations without a lower held-out loss, and save the model that had the lowest; 0: do not")
	f.IntVar(&c.SaveEvery, "save-every", c.SaveEvery, "steps between checkpoints; 0: after the last only")
	f.IntVar(&c.Keep, "keep", c.Keep, "newest checkpoints that are kept")
	f.StringVar(&c.SaveType, "save-type", c.SaveType, "type of the saved weights: float32, bfloat16 or source")

	f.StringVar(&c.Memory, "memory", c.Memory, "what the run may take, such as 8GiB, or a share of the machine's (or control group's) memory")
	f.StringVar(&c.Rung, "rung", c.Rung, "what a layer keeps for its backward pass: stash (all), probs (all but attention probabilities), recompute (nothing), or auto: what fits into --memory")
	f.IntVar(&c.MicroBatch, "micro-batch", c.MicroBatch, "most pairs computed at once; 0: what fits, up to 4,096 tokens")
	f.IntVar(&c.Threads, "threads", c.Threads, "threads of one operator; 0: one a core")
	f.StringVar(&c.Device, "device", c.Device, "cpu, or cuda:0")
	f.StringVar(&c.DType, "dtype", c.DType, dtypeUsage())
	f.StringVar(&c.Offload, "offload", c.Offload, "what a GPU leaves in the host's memory: states (the optimizer's, and the weights that it updates, on the CPU), or parameters (all weights; a layer's come as it runs)")
	f.StringVar(&c.LossScale, "loss-scale", c.LossScale, "of --dtype float16, what the loss is multiplied by in the backward pass: dynamic (the default), or a number")
	f.BoolVar(&c.TF32, "tf32", c.TF32, tf32Usage)
}

// useless are the settings that mean nothing under an objective.
var useless = map[string][]string{
	"": {"objective", "on", "assistant-turns"},
	dpo.Likelihood: {"objective", "ref", "ref-columns", "loss", "beta", "label-smoothing", "loss-settings", "f-divergence", "reference-free", "ties",
		"ld-alpha", "use-weighting", "sync-ref-model", "ref-model-mixup-alpha", "ref-model-sync-steps"},
	dpo.Reward: {"objective", "on", "assistant-turns", "ref", "ref-columns", "beta", "adapter", "lora-rank", "lora-alpha", "rslora", "lora-targets", "loss-settings", "f-divergence", "reference-free",
		"ld-alpha", "use-weighting", "sync-ref-model", "ref-model-mixup-alpha", "ref-model-sync-steps"},
}

// bindVerb declares those of the settings that have a meaning under c's objective.
func bindVerb(f *pflag.FlagSet, c *dpo.Config) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.SortFlags = false
	bindTrain(all, c)
	all.VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(useless[c.Objective], flag.Name) {
			f.AddFlag(flag)
		}
	})
}

// lossesText says what each loss computes, and its settings.
func lossesText() string {
	var b strings.Builder
	b.WriteString("Losses, with h = log pi/pi_ref of the chosen answer less that of the rejected one, r = beta·log pi/pi_ref, |y| an answer's scored tokens,\n" +
		"and eps the label smoothing. What --loss-settings sets stands below, with its default:\n")
	for _, name := range loss.Comparing() {
		l, err := loss.Lookup(name)
		if err != nil {
			continue // which Comparing does not list
		}
		fmt.Fprintf(&b, "  %-14s %s\n", name, l.Says)
		for _, s := range settings.Named(l.Settings) {
			fmt.Fprintf(&b, "  %-14s   %s=%s  %s\n", "", s.Name, s.Default, s.About)
		}
	}
	b.WriteString("A weighted sum of several is written sigmoid=0.8,sft=1, and NAME.onnx is a loss of your own: a graph from policy_logps and others of the inputs\n" +
		"that docs/losses.md lists to losses [G].\n" +
		"Some names mean two things in the field, under each preset the same here: TRL's ipo is ipo_mean, and its bco_pair bco_pair_unshifted; RPO is sigmoid=1,sft_mean=1 as its paper\n" +
		"has it, and sigmoid=1,sft=1 as TRL has it. rewards/* are beta·log pi/pi_ref of whole answers under each loss that has a reference. Votes that\n" +
		"are divided, and ties, are labels in shares to sigmoid and plackett_luce; the others refuse them.\n\n" +
		"f-divergences, with u = pi/pi_ref, in the place of log u in losses of h:\n")
	for _, name := range loss.Divergences() {
		fmt.Fprintf(&b, "  %-16s %s\n", name, loss.DivergenceSays(name))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// trainSettings resolves the settings of a run: the preset's or the objective's, overridden by the file's, overridden by flags.
func trainSettings(flags *pflag.FlagSet, o trainFlags) (dpo.Config, error) {
	c, err := o.defaults()
	if err != nil {
		return c, err
	}
	given := c
	if err := o.give(flags, &given); err != nil {
		return c, err
	}
	if c.Adapter = given.Adapter; c.Adapter == "" && !models.IsAdapter(given.Model) {
		return given, nil
	}
	c.AdapterDefaults()
	return c, o.give(flags, &c)
}

// give puts the file's settings over c, and those of flags over these.
func (o trainFlags) give(flags *pflag.FlagSet, c *dpo.Config) error {
	if o.config != "" {
		if err := readSettings(o.config, c); err != nil {
			return err
		}
	}
	if err := override(flags, c); err != nil {
		return err
	}
	return fetching.config(c)
}

// readSettings reads a YAML file whose keys are flags' names. Keys that mean nothing are refused.
func readSettings(file string, c *dpo.Config) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return dpo.Usage("config: %v", err)
	}
	var keys yaml.MapSlice
	if err := plainyaml.Unmarshal(text, &keys); err != nil {
		return malformed(file, err)
	}
	if len(keys) == 0 {
		return nil // yaml would set everything to zero
	}
	if wrong := unknownKeys(keys); wrong != nil {
		return dpo.Usage("config %s: %s", file, strings.Join(wrong, " "))
	}
	if err := plainyaml.Unmarshal(text, c, yaml.Strict()); err != nil {
		return malformed(file, err)
	}
	return nil
}

func malformed(file string, err error) error {
	return dpo.Usage("config %s: %v", file, err)
}

// unknownKeys says of each key that is no setting which one may be meant.
func unknownKeys(keys yaml.MapSlice) (wrong []string) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	bindTrain(flags, &dpo.Config{})
	known := append(flagNames(flags), "plan") // which a run writes down
	for _, item := range keys {
		if key := fmt.Sprint(item.Key); !slices.Contains(known, key) {
			wrong = append(wrong, "unknown YAML key "+key+cmp.Or(wording.Suggest("", key, known), "; dpo-ort train --help lists them."))
		}
	}
	return wrong
}

func flagNames(flags *pflag.FlagSet) (names []string) {
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// override puts the flags that were given over c.
func override(flags *pflag.FlagSet, c *dpo.Config) (err error) {
	target := pflag.NewFlagSet("", pflag.ContinueOnError)
	bindTrain(target, c)
	flags.Visit(func(f *pflag.Flag) {
		to := target.Lookup(f.Name)
		if to == nil || err != nil {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			err = to.Value.(pflag.SliceValue).Replace(list.GetSlice())
		} else {
			err = to.Value.Set(f.Value.String())
		}
	})
	return err
}

// resumedSettings are those that the run in out was begun with. Flags that say otherwise are refused.
func resumedSettings(flags *pflag.FlagSet, out string) (c dpo.Config, err error) {
	if out == "" {
		return c, dpo.Usage("resume needs --out, the directory of the run to go on with")
	}
	file := filepath.Join(out, "run", "config.yaml")
	if _, err := os.Stat(file); err != nil {
		return c, fmt.Errorf("resume: %s holds no run (%w)", out, err)
	}
	if err := readSettings(file, &c); err != nil {
		return c, err
	}
	if err := fetching.config(&c); err != nil {
		return c, err
	}
	c.Out = out
	begun := c
	if err := override(flags, &c); err != nil {
		return c, err
	}
	if changed := differences(begun, c); changed != nil {
		return c, dpo.Usage("resume with other settings than the run in %s began with: %s", out, strings.Join(changed, ", "))
	}
	return begun, nil
}

// differences lists the settings in which b is not a.
func differences(a, b dpo.Config) (out []string) {
	of, with := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	bindTrain(of, &a)
	bindTrain(with, &b)
	of.VisitAll(func(f *pflag.Flag) {
		if was, is := f.Value.String(), with.Lookup(f.Name).Value.String(); was != is {
			out = append(out, fmt.Sprintf("--%s %s (was %s)", f.Name, is, was))
		}
	})
	return out
}

// dtypeUsage explains --dtype.
func dtypeUsage() string {
	return "type to compute in: " + dpo.DTypes()[0] + ", or on a GPU " + strings.Join(dpo.DTypes()[1:], " or ")
}

// tf32Usage explains --tf32.
const tf32Usage = "round the factors of float32 products to TF32, 10 bits of mantissa, on a GPU; of other types always"

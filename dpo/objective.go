package dpo

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/models"
)

// What a run aims at: Config.Objective.
const (
	Preference = "preference" // answers in their order, against a reference: DPO and its kin
	Likelihood = "likelihood" // answers by themselves: supervised fine-tuning
	Reward     = "reward"     // answers in their order, by a reward model: arXiv 2305.18290, Equations 1 and 2
)

// What a run of likelihood takes of a row: Config.On.
const (
	onCompletion = "completion" // its one answer
	onChosen     = "chosen"     // the best of its answers
)

// objective is what runs of one aim have in common.
type objective struct {
	verb   string
	losses []string // that it takes; nil for those of preferences
	scalar bool     // its model gives rewards, not log-probabilities
	alone  bool     // it has no reference
	set    func(*Config)
}

// trlDefaults are what TRL's SFTConfig and RewardConfig share, at a batch of 64 and one epoch, as the paper has them, and with a
// warm-up of a tenth of the run.
func trlDefaults(c *Config) {
	c.RefColumns, c.Optimizer, c.MaxGradNorm, c.Schedule = "ignore", "adamw", 1, "linear"
	c.MaxLength, c.Truncate = 1024, "end"
}

var objectiveNames = []string{Preference, Likelihood, Reward}

var objectives = map[string]objective{
	Preference: {verb: "train", set: func(*Config) {}},
	Likelihood: {verb: "sft", losses: []string{"nll"}, alone: true, set: func(c *Config) {
		trlDefaults(c)
		c.Loss, c.LR, c.On = "nll", 2e-5, onCompletion
	}},
	Reward: {verb: "reward", losses: []string{"plackett_luce", "sigmoid"}, scalar: true, alone: true, set: func(c *Config) {
		trlDefaults(c)
		c.Beta, c.LR = 1, 1e-4
	}},
}

// NewObjective gives the defaults of runs with an objective, but for [Preference], whose presets [NewConfig] has: those of TRL's SFTTrainer
// and RewardTrainer in optimizer (AdamW), rate (2e-5, 1e-4), clipping, schedule and lengths, and the paper's in batch and epochs.
func NewObjective(name string) (Config, error) {
	c, err := NewConfig("paper")
	if err != nil {
		return c, err
	}
	o, ok := objectives[name]
	if !ok {
		return c, OneOf("objective", name, objectiveNames)
	}
	o.set(&c)
	if c.Objective = name; name == Preference {
		c.Objective = ""
	}
	return c, nil
}

// aim is the objective; of a name that is none, the zero one.
func (c Config) aim() objective { return objectives[cmp.Or(c.Objective, Preference)] }

// Verb is the command that trains with the objective; "" for a name that is none.
func (c Config) Verb() string { return c.aim().verb }

// checkObjective reports settings that make no sense under the objective.
func (c Config) checkObjective() (wrong []string) {
	o := c.aim()
	if o.verb == "" {
		return []string{OneOf("objective", c.Objective, objectiveNames).Error()}
	}
	l, err := c.resolveLoss()
	if err != nil {
		l = &loss.Loss{} // of which the settings beside it say nothing more
	}
	wrong = slices.Concat(c.checkLoss(l, err), c.checkTail(l), c.checkWeighting(l), c.checkFollow(l))
	if o.alone && c.Ref != "" {
		wrong = append(wrong, o.verb+" has no reference: leave out ref")
	}
	if o.scalar && c.Beta != 1 {
		wrong = append(wrong, fmt.Sprintf("beta is no setting of %s, whose rewards are the model's own: it must be 1, it is %v", o.verb, c.Beta))
	}
	for _, s := range []struct {
		name, value string
		known       []string
	}{
		{"on", c.On, []string{onCompletion, onChosen}},
		{"assistant-turns", c.AssistantTurns, []string{string(datasets.TurnsLast), string(datasets.TurnsAll)}},
	} {
		if s.value == "" {
			continue
		}
		if c.Objective != Likelihood {
			wrong = append(wrong, s.name+" is a setting of sft")
		} else if err := OneOf(s.name, s.value, s.known); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// unreferenced reports whether the run has no reference, because of its objective, its loss, or its settings.
func (t *Trainer) unreferenced() bool { return t.aim().alone || t.loss.Free || t.ReferenceFree }

// checkModel refuses a model that cannot serve the objective.
func (c Config) checkModel(m *models.Model) error {
	switch o := c.aim(); {
	case m.Dropout != 0:
		return fmt.Errorf("field lora_dropout of the adapter %s is %v: training here has no dropout; set it to 0 to go on without", m.Dir, m.Dropout)
	case o.scalar && m.Adapter != nil:
		return fmt.Errorf("%s is an adapter, which %s does not train", m.Dir, o.verb)
	case o.scalar && !m.Scalar:
		return fmt.Errorf("%s is a %s: reward trains a reward model (dpo-ort reward makes one of a language model)", m.Dir, m.Architecture)
	case !o.scalar && m.Scalar:
		return fmt.Errorf("%s is a reward model (%s): %s takes a language model", m.Dir, m.Architecture, o.verb)
	}
	return nil
}

// checkRow refuses a row that the objective or the loss is not defined for.
func (t *Trainer) checkRow(x datasets.Example) error {
	at := fmt.Sprintf("row %d of %s", x.Row, x.File)
	k := len(x.Completions)
	switch {
	case t.Objective == Likelihood && k > 1:
		return fmt.Errorf("%s has %d answers; sft learns one: give --on chosen for the best of each row", at, k)
	case t.loss.Unpaired:
		if err := t.checkLabel(x); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		return nil
	case t.Objective != Likelihood && k < 2 && x.Label != datasets.Unlabelled:
		return fmt.Errorf("%s has one answer with a label; loss %s compares two (columns chosen and rejected, or completions): give --loss kto, or data in pairs", at, t.loss.Name)
	case t.Objective != Likelihood && k < 2:
		return fmt.Errorf("%s has one completion; a preference needs two (columns chosen and rejected, or completions)", at)
	}
	if slices.Contains(t.loss.Columns, "margin") && !x.HasMargin {
		return fmt.Errorf("%s has no margin, by how much the chosen answer should win: loss %s needs the column (dpo-ort label --margin writes it)", at, t.loss.Name)
	}
	if _, err := choicesOf(t.loss, x, datasets.TiePolicy(t.Ties)); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

// asked gives what is asked of a model about an example: of a language model, the log-probabilities of its completions; of a
// reward model, what follows each sequence's last token. That is one more token, scored alone and never embedded: any id will do.
func asked(d models.Decoder, x datasets.Example) datasets.Example {
	if !d.Scalar {
		return x
	}
	x.Completions = slices.Clone(x.Completions)
	for k, c := range x.Completions {
		n := len(c.IDs)
		for n > 0 && c.IDs[n-1] == d.Pad {
			n--
		}
		x.Completions[k].IDs, x.Completions[k].Start = append(slices.Clip(c.IDs[:n]), 0), n
	}
	return x
}

// admit checks rows, and asks them of the policy.
func (t *Trainer) admit(examples []datasets.Example) error {
	for i, x := range examples {
		if err := t.checkRow(x); err != nil {
			return err
		}
		examples[i] = asked(t.policy.model.Decoder, x)
		if err := checkPositions(t.policy.model.Decoder, examples[i]); err != nil {
			return fmt.Errorf("row %d of %s: %w", x.Row, x.File, err)
		}
	}
	return nil
}

// tokens counts an example's as TRL does, without what was added to it to be asked.
func (t *Trainer) tokens(x datasets.Example) int64 {
	n := tokens(x)
	if t.aim().scalar {
		n -= int64(len(x.Completions))
	}
	return n
}

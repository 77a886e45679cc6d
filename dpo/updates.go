package dpo

import (
	"errors"
	"fmt"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// updates tells the engine by which of the optimizer's graphs each parameter of a model is updated, and with weight decay or without.
func (c Config) updates(d models.Decoder) (engine.Updates, error) {
	o, err := optim.New(c.Optimizer, c.OptimizerSettings)
	if err != nil {
		return nil, err
	}
	outer := outerTensors(d)
	return func(tensor string, shape []int64) engine.Update {
		p := optim.Parameter{Shape: shape, Hidden: !outer[tensor]}
		return engine.Update{Graph: o.Rule(p).Graph, Decay: optim.Decays(tensor)}
	}, nil
}

// outerTensors are those of embeddings and of the head.
func outerTensors(d models.Decoder) map[string]bool {
	outer := map[string]bool{}
	for _, s := range d.Stages() {
		for _, p := range s.Params {
			if s.Graph == models.EmbedGraph || s.Graph == models.HeadGraph {
				outer[p.Tensor] = true
			}
		}
	}
	return outer
}

// checkUpdates refuses an optimizer for matrices where none is trained.
func (t *Trainer) checkUpdates() error {
	var trained []optim.Parameter
	outer := outerTensors(t.policy.model.Decoder)
	for tensor, shape := range t.policy.engine.Parameters() {
		trained = append(trained, optim.Parameter{Shape: shape, Hidden: !outer[tensor]})
	}
	if err := t.method.optimizer.Check(trained); err != nil {
		return Usage("%v", err)
	}
	return nil
}

// checkMethodSettings says what is wrong with the settings of optimizer and schedule. Those of an unknown one are not looked at.
func (c Config) checkMethodSettings() (wrong []string) {
	if _, err := optim.Lookup(c.Optimizer); err == nil {
		_, err := optim.New(c.Optimizer, c.OptimizerSettings)
		wrong = append(wrong, settingsErrors("optimizer-settings", err)...)
	}
	if k, err := optim.LookupSchedule(c.Schedule); err == nil {
		wrong = append(wrong, settingsErrors("schedule-settings", k.CheckSettings(c.ScheduleSettings, c.LR))...)
	}
	return wrong
}

// settingsErrors lists the errors that are joined in one, with the name that may be meant where one is unknown.
func settingsErrors(flag string, err error) (wrong []string) {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		if err == nil {
			continue
		}
		text := fmt.Sprintf("%s: %v", flag, err)
		if unknown := (*optim.UnknownSettingError)(nil); errors.As(err, &unknown) {
			text += Suggest("", unknown.Name, unknown.Known)
		}
		wrong = append(wrong, text)
	}
	return wrong
}

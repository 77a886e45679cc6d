package dpo

import (
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
	parameter := parametersOf(d)
	return func(tensor string, shape []int64) engine.Update {
		return engine.Update{Graph: o.Rule(parameter(tensor, shape)).Graph, Decay: optim.Decays(tensor)}
	}, nil
}

// parametersOf describes a model's tensors as optimizers see them: all but those of embeddings and of the head are hidden.
func parametersOf(d models.Decoder) func(tensor string, shape []int64) optim.Parameter {
	outer := map[string]bool{}
	for _, s := range d.Stages() {
		for _, p := range s.Params {
			if s.Graph == models.EmbedGraph || s.Graph == models.HeadGraph {
				outer[p.Tensor] = true
			}
		}
	}
	return func(tensor string, shape []int64) optim.Parameter {
		return optim.Parameter{Shape: shape, Hidden: !outer[tensor]}
	}
}

// checkUpdates refuses an optimizer for matrices where none is trained.
func (t *Trainer) checkUpdates() error {
	var trained []optim.Parameter
	parameter := parametersOf(t.policy.model.Decoder)
	for tensor, shape := range t.policy.engine.Parameters() {
		trained = append(trained, parameter(tensor, shape))
	}
	if err := t.method.optimizer.Check(trained); err != nil {
		return Usage("%v", err)
	}
	return nil
}

// checkMethodSettings says what is wrong with the settings of optimizer and schedule. Those of an unknown one are not looked at.
func (c Config) checkMethodSettings() (wrong []string) {
	if _, err := optim.Lookup(c.Optimizer); err == nil {
		if _, err := optim.New(c.Optimizer, c.OptimizerSettings); err != nil {
			wrong = append(wrong, "optimizer-settings: "+err.Error())
		}
	}
	if k, err := optim.LookupSchedule(c.Schedule); err == nil {
		if err := k.CheckSettings(c.ScheduleSettings, c.LR); err != nil {
			wrong = append(wrong, "schedule-settings: "+err.Error())
		}
	}
	return wrong
}

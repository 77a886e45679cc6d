package dpo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// restore goes on from the newest checkpoint that is whole, or from the start where there is none. Those that are damaged are told of.
func (t *Trainer) restore() error {
	names, err := listCheckpoints(t.path(checkpointFolder))
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(names) {
		dir := t.path(checkpointFolder, name)
		s, files, err := readCheckpoint(dir)
		if errors.Is(err, errDamaged) {
			t.damaged = append(t.damaged, dir)
			t.warn("damaged-checkpoint", fmt.Sprintf("the checkpoint %s cannot be used: %v", dir, err),
				"the run goes on from the one before it, or from its start; look after the disk. The damaged one is kept as "+name+damagedSuffix)
			continue
		}
		if err == nil {
			err = errors.Join(t.goOn(s, files), closeFiles(files))
		}
		if err != nil {
			return fmt.Errorf("resume from %s: %w", dir, err)
		}
		return nil
	}
	return nil
}

func (t *Trainer) warn(name, what, hint string) {
	t.warnings = append(t.warnings, datasets.Warning{Name: name, What: what, Hint: hint})
}

// goOn goes on from a checkpoint, unless the run is now another than the one that wrote it.
func (t *Trainer) goOn(s state, files map[string]*safetensors.File) error {
	changed, err := differences(s.Settings, t.settings)
	if err != nil {
		return err
	}
	graphs, err := t.policy.engine.Artifact().Digest()
	switch {
	case err != nil:
		return err
	case t.loss.Digest != "" && s.Settings["loss"] != t.loss.Identity():
		return t.otherLoss()
	case changed != nil:
		return fmt.Errorf("%s is not what it was: %s; put that back", t.path(configFile), strings.Join(changed, "; "))
	case s.Model != t.digests.model:
		return fmt.Errorf("the weights of %s are not those that the run began with: put those back, or begin anew with another --out", t.Model)
	case s.Reference != t.identity.Ref:
		return fmt.Errorf("the reference %s is not the one that the run began with: put that back, or begin anew with another --out", t.Ref)
	case s.Tokenizer != t.identity.Tokenizer:
		return fmt.Errorf("the tokenizer of %s is not the one that the run began with: put that back, or begin anew with another --out", t.Model)
	case s.Artifact != graphs && t.exported:
		return fmt.Errorf("the graphs in %s are damaged, and this version of dpo-ort makes others: go on with the version that began the run", t.path(artifactFolder))
	case s.Artifact != graphs:
		return fmt.Errorf("the graphs in %s are not those that the run began with: put those back", t.path(artifactFolder))
	case s.Plan != t.memoryPlan:
		return fmt.Errorf("its steps were taken by another plan than %s has: put back the plan %+v", t.path(configFile), s.Plan)
	}
	if (s.Scale == nil) != (t.state.Scale == nil) {
		return errors.New("its state has a loss scale where the run has none, or the other way round: put back the state, or begin anew with another --out")
	}
	t.state = s
	if t.stream != nil {
		if err := t.fill(t.state.Step - 1); err != nil {
			return err
		}
	}
	if s.Data != t.dataDigest() {
		return fmt.Errorf("the data, or how it is tokenized, is not what the run began with: put back what it was, or begin anew with another --out: %v", append(t.Data, t.EvalData...))
	}
	if err := t.policy.weights.Set(files[weightsFile]); err != nil {
		return err
	}
	if t.follower != nil {
		if files[followerFile] == nil {
			return fmt.Errorf("it has no %s, where a reference that follows the policy is kept", followerFile)
		}
		if err := t.follower.Set(files[followerFile]); err != nil {
			return err
		}
	}
	for name, w := range t.optimizer.States {
		if err := w.Set(prefixed{files[optimizerFile], name + "/"}); err != nil {
			return err
		}
	}
	return nil
}

// otherLoss is the error of a file that holds another loss than when the run began.
func (t *Trainer) otherLoss() error {
	return fmt.Errorf("the loss %s is not the file that the run began with: put that back, or begin anew with another --out", t.Loss)
}

// setAside renames the checkpoints that are damaged, so that the run can come to their steps again.
func (t *Trainer) setAside() error {
	for _, dir := range t.damaged {
		if err := safefile.RemoveAll(dir + damagedSuffix); err != nil {
			return err
		}
		if err := safefile.Rename(dir, dir+damagedSuffix); err != nil {
			return err
		}
	}
	return nil
}

// digested are the settings of which a checkpoint holds digests or the outcome, so that files may be moved, and what has no effect then.
var digested = []string{"out", "model", "ref", "data", "eval-data", "chat-template", "memory", "plan"}

// settingsByFlag are the settings of a run by the names of its flags, but for those that are digested.
func settingsByFlag(c Config) (map[string]string, error) {
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	values := map[string]string{}
	for name, v := range all {
		if !slices.Contains(digested, name) {
			values[name] = fmt.Sprint(v)
		}
	}
	return values, nil
}

// loadBest takes the weights of a checkpoint in the place of those that the run ended with.
func (t *Trainer) loadBest() error {
	if t.state.Best == nil || t.state.Best.Step == t.state.Step {
		return nil
	}
	dir := t.path(checkpointFolder, checkpointName(t.state.Best.Step))
	_, files, err := readCheckpoint(dir)
	if err == nil {
		err = errors.Join(t.policy.weights.Set(files[weightsFile]), closeFiles(files))
	}
	if err != nil {
		return fmt.Errorf("take the weights with the lowest held-out loss from %s: %w (the last ones are in %s)", dir, err,
			t.path(checkpointFolder, checkpointName(t.state.Step)))
	}
	return nil
}

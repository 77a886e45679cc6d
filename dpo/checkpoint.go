package dpo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// A checkpoint is a folder run/checkpoints/step-N, complete since it got its name by a rename:
//
//	weights.safetensors    the policy, float32
//	optimizer.safetensors  the optimizer's states, "state/tensor"
//	state.json             where the run stands, and what it was begun with
const (
	checkpointFolder = "checkpoints"
	weightsFile      = "weights.safetensors"
	optimizerFile    = "optimizer.safetensors"
	stateFile        = "state.json"
)

// state is where a run stands between two steps.
type state struct {
	Step             int     `json:"step"`
	NumTokens        int64   `json:"num_tokens"`
	MetricsBytes     int64   `json:"metrics_bytes"` // the length of metrics.jsonl
	EventsBytes      int64   `json:"events_bytes"`  // the length of the event file
	Evaluated        int     `json:"evaluated"`     // the step after which held-out data was last measured, or −1
	ReferenceSeconds float64 `json:"reference_seconds"`
	Model            string  `json:"model"` // digest of the weights that the run began with
	Data             string  `json:"data"`  // digest of the token ids

	Plan MemoryPlan `json:"plan"` // by which the steps so far were taken
}

func checkpointName(step int) string { return fmt.Sprintf("step-%06d", step) }

// save writes a checkpoint and removes old ones.
func (t *Trainer) save() (path string, err error) {
	if t.state.MetricsBytes, t.state.EventsBytes, err = t.metrics.lengths(); err != nil {
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	t.state.Plan = t.memoryPlan
	t.state.Model, t.state.Data = t.digests.model, t.dataDigest()
	path = t.path(checkpointFolder, checkpointName(t.state.Step))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := t.saveStream(); err != nil {
		return "", fmt.Errorf("save checkpoint %s: %w", path, err)
	}
	tmp := path + ".tmp"
	err = t.writeCheckpoint(tmp)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = safefile.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("save checkpoint %s: %w", path, err), os.RemoveAll(tmp))
	}
	return path, t.prune()
}

func (t *Trainer) writeCheckpoint(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	weights, err := entries(t.policy.weights, "")
	if err != nil {
		return err
	}
	var states []safetensors.Entry
	for _, name := range slices.Sorted(maps.Keys(t.optimizer.States)) {
		of, err := entries(t.optimizer.States[name], name+"/")
		if err != nil {
			return err
		}
		states = append(states, of...)
	}
	text, err := json.MarshalIndent(t.state, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		safetensors.Write(filepath.Join(dir, weightsFile), weights, nil),
		safetensors.Write(filepath.Join(dir, optimizerFile), states, nil),
		safefile.Write(filepath.Join(dir, stateFile), append(text, '\n')))
}

// entries lists float32 weights for a file.
func entries(w *engine.Weights, prefix string) ([]safetensors.Entry, error) {
	var out []safetensors.Entry
	for _, name := range w.Names {
		data, shape, err := w.Bytes(name)
		if err != nil {
			return nil, err
		}
		out = append(out, safetensors.Entry{Name: prefix + name, DType: "F32", Shape: shape, Data: data})
	}
	return out, nil
}

// prune removes all but the newest checkpoints.
func (t *Trainer) prune() error {
	names, err := t.checkpoints()
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-t.Keep)] {
		if err := os.RemoveAll(t.path(checkpointFolder, name)); err != nil {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
	}
	return nil
}

// checkpoints lists complete ones, oldest first.
func (t *Trainer) checkpoints() ([]string, error) {
	found, err := os.ReadDir(t.path(checkpointFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var names []string
	for _, e := range found {
		if e.IsDir() && strings.HasPrefix(e.Name(), "step-") && !strings.HasSuffix(e.Name(), ".tmp") {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := len(a) - len(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names, nil
}

// newest is the path of the newest checkpoint; "" where there is none.
func (t *Trainer) newest() (string, error) {
	names, err := t.checkpoints()
	if err != nil || len(names) == 0 {
		return "", err
	}
	return t.path(checkpointFolder, names[len(names)-1]), nil
}

// restore goes on from the newest checkpoint, or from the start where there is none yet.
func (t *Trainer) restore() error {
	dir, err := t.newest()
	if err != nil || dir == "" {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&t.state); err != nil {
		return fmt.Errorf("resume from %s: %s: %w (remove the folder to go on from the checkpoint before it)", dir, stateFile, err)
	}
	if t.stream != nil {
		if err := t.fill(t.state.Step - 1); err != nil {
			return err
		}
	}
	switch {
	case t.state.Model != t.digests.model:
		return fmt.Errorf("resume from %s: the weights of %s are not those that the run began with: put those back, or begin anew with another --out", dir, t.Model)
	case t.state.Plan != t.memoryPlan:
		return fmt.Errorf("resume from %s: its steps were taken by another plan than %s has: put back the plan %+v", dir, t.path(configFile), t.state.Plan)
	case t.state.Data != t.dataDigest():
		return fmt.Errorf("resume from %s: the data, or how it is tokenized, is not what the run began with: put back what it was, or begin anew with another --out: %v", dir, append(t.Data, t.EvalData...))
	}
	if err := t.restoreWeights(dir); err != nil {
		return fmt.Errorf("resume from %s: %w (remove the folder to go on from the checkpoint before it)", dir, err)
	}
	return nil
}

func (t *Trainer) restoreWeights(dir string) error {
	weights, err := safetensors.Open(filepath.Join(dir, weightsFile))
	if err != nil {
		return err
	}
	defer weights.Close()
	if err := t.policy.weights.Set(weights); err != nil {
		return err
	}
	states, err := safetensors.Open(filepath.Join(dir, optimizerFile))
	if err != nil {
		return err
	}
	defer states.Close()
	for name, w := range t.optimizer.States {
		if err := w.Set(prefixed{states, name + "/"}); err != nil {
			return err
		}
	}
	return nil
}

// prefixed gives tensors that have a prefix before their names.
type prefixed struct {
	of     engine.Source
	prefix string
}

func (p prefixed) Tensor(name string) (safetensors.Tensor, error) {
	return p.of.Tensor(p.prefix + name)
}

func (t *Trainer) finiteWeights() (bool, error) { return t.policy.weights.Finite() }

// saveModel writes the policy as a Hugging Face directory.
func (t *Trainer) saveModel() error {
	survival, err := t.policy.model.Save(t.Out, t.SaveType, func(name string) ([]byte, error) {
		data, _, err := t.policy.weights.Bytes(name)
		return data, err
	})
	t.summary.UpdateKept = survival.Share()
	return err
}

// writeDropped lists the rows that were left out, of training and held-out data.
func (t *Trainer) writeDropped() error {
	return writeDrops(t.path(droppedFile), slices.Concat(t.rows.Dropped, t.eval.Dropped))
}

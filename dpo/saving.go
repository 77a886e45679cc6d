package dpo

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// saver writes a run's checkpoints: where there is memory for a copy of what they hold, while training goes on.
type saver struct {
	beside  bool
	copy    checkpoint // whose memory serves each checkpoint that is written beside training
	writing string     // the checkpoint that is being written; "" if none is
	result  chan error // of writing it
}

// besideFrom is how large a checkpoint is, in bytes, that is written beside training. A smaller one takes less time than a copy is worth.
var besideFrom int64 = 64 << 20

// copies is what a copy for checkpoints takes of the memory that is left, in bytes; 0 where there is none, or no checkpoint before the last, and of a GPU, from
// where a checkpoint is copied anyway.
func (t *Trainer) copies(m Memory) int64 {
	size := m.Weights + m.States
	if t.SyncRefModel {
		size += m.Reference
	}
	seldom := t.EarlyStop == 0 && (t.SaveEvery == 0 || t.SaveEvery >= t.total)
	if !t.options.Device.OnHost() || seldom || size < besideFrom || m.Total()+size > m.Limit {
		return 0
	}
	return size
}

// save writes a checkpoint, once the one before is whole, and removes old ones.
func (t *Trainer) save() (path string, err error) {
	if err := t.saver.wait(); err != nil {
		return "", err
	}
	path, c, err := t.checkpoint()
	if err != nil {
		return path, err
	}
	return path, t.writer(path, c)()
}

// saveBeside begins to write a checkpoint while training goes on, or writes it where there is no memory for that.
func (t *Trainer) saveBeside() error {
	if err := t.saver.wait(); err != nil {
		return err
	}
	path, c, err := t.checkpoint()
	if err != nil || c == nil {
		return err
	}
	result := make(chan error, 1)
	t.saver.writing, t.saver.result = path, result
	if !t.saver.beside {
		result <- t.writer(path, c)()
		return nil
	}
	if t.expected.Copies > 0 {
		c.weights, c.optimizer, c.follower = copied(t.saver.copy.weights, c.weights), copied(t.saver.copy.optimizer, c.optimizer), copied(t.saver.copy.follower, c.follower)
		t.saver.copy = *c
	}
	write := t.writer(path, c)
	go func() { result <- write() }()
	return nil
}

// wait waits until the checkpoint that is being written is whole.
func (s *saver) wait() error {
	if s.result == nil {
		return nil
	}
	err := <-s.result
	s.result, s.writing = nil, ""
	return err
}

// done is the path of the checkpoint that was begun, once it is whole; "" before.
func (s *saver) done() (path string, err error) {
	if len(s.result) == 0 {
		return "", nil
	}
	path = s.writing
	return path, s.wait()
}

// copied copies entries into the memory of others like them, if there are any.
func copied(into, from []safetensors.Entry) []safetensors.Entry {
	out := slices.Clone(from)
	for i := range out {
		if into == nil {
			out[i].Data = make([]byte, len(from[i].Data))
		} else {
			out[i].Data = into[i].Data
		}
		copy(out[i].Data, from[i].Data)
	}
	return out
}

// checkpoint is that of the run as it stands, and the folder to be; nil where it is there already.
func (t *Trainer) checkpoint() (path string, c *checkpoint, err error) {
	if err := t.metrics.settle(&t.state); err != nil {
		return "", nil, fmt.Errorf("save checkpoint: %w", err)
	}
	s := &t.state
	s.Plan, s.Settings = t.memoryPlan, t.settings
	s.Model, s.Reference, s.Tokenizer, s.Data = t.digests.model, t.identity.Ref, t.identity.Tokenizer, t.dataDigest()
	if s.Artifact, err = t.policy.engine.Artifact().Digest(); err != nil {
		return "", nil, err
	}
	path = t.path(checkpointFolder, checkpointName(s.Step))
	if _, err := os.Stat(path); err == nil {
		return path, nil, nil
	}
	if err := t.saveStream(); err != nil {
		return "", nil, fmt.Errorf("save checkpoint %s: %w", path, err)
	}
	c = &checkpoint{state: *s}
	if c.weights, err = entries(t.policy.weights, ""); err != nil {
		return "", nil, err
	}
	if t.follower != nil {
		if c.follower, err = entries(t.follower, ""); err != nil {
			return "", nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.optimizer.States)) {
		of, err := entries(t.optimizer.States[name], name+"/")
		if err != nil {
			return "", nil, err
		}
		c.optimizer = append(c.optimizer, of...)
	}
	return path, c, nil
}

// writer writes a checkpoint, unless it is nil, and removes old ones, but for the best.
func (t *Trainer) writer(path string, c *checkpoint) func() error {
	dir, keep, kept := t.path(checkpointFolder), t.Keep, ""
	if b := t.state.Best; b != nil {
		kept = checkpointName(b.Step)
	}
	return func() error {
		if c != nil {
			if err := c.write(path); err != nil {
				return err
			}
		}
		return pruneCheckpoints(dir, keep, kept)
	}
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

// newest is the path of the newest checkpoint; "" where there is none.
func (t *Trainer) newest() (string, error) {
	names, err := listCheckpoints(t.path(checkpointFolder))
	if err != nil || len(names) == 0 {
		return "", err
	}
	return t.path(checkpointFolder, names[len(names)-1]), nil
}

func (t *Trainer) finiteWeights() (bool, error) { return t.policy.weights.Finite() }

// saveModel writes the policy as a Hugging Face directory.
func (t *Trainer) saveModel() error {
	survival, err := t.policy.model.Save(t.Out, t.SaveType, func(name string) ([]byte, error) {
		data, _, err := t.policy.weights.Bytes(name)
		return data, err
	})
	t.summary.UpdateKept = survival.Share()
	if err != nil || t.ChatTemplate == "" {
		return err
	}
	// The model is asked as it was taught; of the places where a template may lie, this is looked at first.
	text, err := os.ReadFile(t.ChatTemplate)
	if err != nil {
		return fmt.Errorf("save the chat template: %w", err)
	}
	return safefile.Write(filepath.Join(t.Out, "chat_template.jinja"), text)
}

// writeDropped lists the rows that were left out, of training and held-out data.
func (t *Trainer) writeDropped() error {
	return writeDrops(t.path(droppedFile), slices.Concat(t.rows.Dropped, t.eval.Dropped))
}

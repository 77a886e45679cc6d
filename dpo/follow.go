package dpo

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// TR-DPO, Gorbatovski et al. 2024, arXiv 2404.09656: the reference follows the policy. After every τ steps its weights become
//
//	α·θ + (1 − α)·θ_ref
//
// a soft update; with α = 1 a hard one. So the reference is a second set of weights, run by the policy's graphs in each step, and kept in
// checkpoints; nothing that it says is cached.

// What TRL has for sync-ref-model.
const (
	mixupAlpha = 0.6
	syncSteps  = 512
)

func (c Config) mixup() float64 { return cmp.Or(c.RefModelMixupAlpha, mixupAlpha) }
func (c Config) syncEvery() int { return cmp.Or(c.RefModelSyncSteps, syncSteps) }

// checkFollow reports settings of a reference that follows, which make no sense with loss l.
func (c Config) checkFollow(l *loss.Loss) (wrong []string) {
	refuse := func(bad bool, what string) {
		if bad {
			wrong = append(wrong, what)
		}
	}
	if !c.SyncRefModel {
		refuse(c.RefModelMixupAlpha != 0 || c.RefModelSyncSteps != 0, "ref-model-mixup-alpha and ref-model-sync-steps are settings of a reference that follows the policy: add --sync-ref-model")
		return wrong
	}
	refuse(c.aim().alone || c.ReferenceFree || l.Free, "sync-ref-model needs a reference, and this run has none: leave it out")
	refuse(!(c.mixup() > 0 && c.mixup() <= 1), fmt.Sprintf("ref-model-mixup-alpha must lie in (0, 1], it is %v (1: the reference becomes the policy)", c.RefModelMixupAlpha))
	refuse(c.syncEvery() < 1, fmt.Sprintf("ref-model-sync-steps must be at least 1, it is %d", c.RefModelSyncSteps))
	refuse(c.RefColumns == "require", "ref-columns require takes a reference that stays what it is, sync-ref-model one that follows: leave one of them out")
	return wrong
}

// openFollower makes the reference that follows, of the weights that it begins with: those of a model of the policy's shape.
func (t *Trainer) openFollower(from engine.Source) (err error) {
	if !t.SyncRefModel {
		return nil
	}
	if t.follower, err = t.policy.engine.Load(from); err != nil {
		return fmt.Errorf("reference %s: sync-ref-model mixes its weights with the policy's: %w", cmp.Or(t.Ref, t.Model), err)
	}
	return nil
}

// forget makes the references of rows unknown, as those of a reference that follows always are.
func (t *Trainer) forget() {
	t.refs = &references{Train: make([][]float64, len(t.rows.Examples)), Eval: make([][]float64, len(t.eval.Examples))}
}

// referenceOf is what the reference says of groups of one K, which are rows of known, in a micro-batch.
func (t *Trainer) referenceOf(e *engine.Engine, groups []datasets.Example, known [][]float64, rows []int) ([][]float64, error) {
	if t.follower == nil {
		return pick(known, rows), nil
	}
	logps, err := t.logps(e, t.follower, groups)
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	out := make([][]float64, len(groups))
	spread(logps, sequence(0, len(groups)), out)
	return out, nil
}

// referenceOfAll is what the reference says of groups, in micro-batches of the groups' places.
func (t *Trainer) referenceOfAll(groups []datasets.Example, known [][]float64, rows []int, micros [][]int) ([][]float64, error) {
	if t.follower == nil {
		return pick(known, rows), nil
	}
	return scoreAll(t.policyLanes(t.follower), groups, micros)
}

// follow moves the reference after so many steps, if it is time.
func (t *Trainer) follow(steps int) error {
	if t.follower == nil || steps%t.syncEvery() != 0 {
		return nil
	}
	if err := t.follower.Set(mixture{t.policy.weights, t.follower, float32(t.mixup()), float32(1 - t.mixup())}); err != nil {
		return fmt.Errorf("move the reference to the policy: %w", err)
	}
	return nil
}

// mixture is weights α·policy + (1 − α)·reference, in float32 as these are.
type mixture struct {
	policy, reference *engine.Weights
	alpha, rest       float32
}

// Tensor mixes one tensor.
func (m mixture) Tensor(name string) (safetensors.Tensor, error) {
	p, shape, err := m.policy.Bytes(name)
	if err != nil {
		return safetensors.Tensor{}, err
	}
	r, _, err := m.reference.Bytes(name)
	if err != nil {
		return safetensors.Tensor{}, err
	}
	out := make([]byte, len(p))
	for i := 0; i < len(p); i += 4 {
		kept := m.rest * number(r[i:])
		binary.LittleEndian.PutUint32(out[i:], math.Float32bits(kept+m.alpha*number(p[i:])))
	}
	return safetensors.Tensor{DType: "F32", Shape: shape, Data: out}, nil
}

func number(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

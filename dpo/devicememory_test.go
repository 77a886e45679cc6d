package dpo

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// adapterOver makes an adapter of a model of testdata.
func adapterOver(t *testing.T, model string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := models.WriteAdapter(dir, golden.Testdata(t, "models", model), models.AdapterSpec{Rank: 2, Alpha: 4, Targets: []string{models.AllLinear}}, 1); err != nil {
		t.Fatal(err)
	}
	return dir
}

// holding opens a run until the test ends, and says what it holds.
func holding(t *testing.T, c Config) (*Trainer, engine.Held) {
	t.Helper()
	run, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })
	held, err := run.policy.engine.Held()
	if err != nil {
		t.Fatal(err)
	}
	return run, held
}

// The frozen weights of an adapter's base stay in the type of its file where a run computes in a wider one.
func TestFrozenWeightsStayNarrow(t *testing.T) {
	c := tinyConfig(t)
	c.Model = adapterOver(t, "tiny-llama-bf16")
	run, held := holding(t, c)
	stored := run.policy.model.Parameters() - run.policy.model.Elements(run.policy.model.Trained())
	if held.Frozen != stored*int64(onnx.BFloat16.Size()) {
		t.Errorf("%d frozen parameters take %d bytes", stored, held.Frozen)
	}
}

// taken is how much of the guarded device's memory is.
func taken(t *testing.T) int64 {
	t.Helper()
	free, total, err := guarded.Memory()
	if err != nil {
		t.Fatal(err)
	}
	return total - free
}

// Where a device is full, whatever was asked of it ends with an error, and all that it had is given back.
func TestFullDevice(t *testing.T) {
	within := func(room int64, use func()) {
		t.Helper()
		free, _, err := guarded.Memory()
		if err != nil {
			t.Fatal(err)
		}
		full, err := guarded.Alloc(int(free - room))
		if err != nil {
			t.Fatal(err)
		}
		use()
		full.Free()
		if n := taken(t); n != 0 {
			t.Errorf("with room for %d bytes, %d are not given back", room, n)
		}
	}
	lora, failed := golden.Testdata(t, "adapters", "tiny-llama-lora"), 0
	for room := int64(0); room < 1<<20; room += 64 << 10 {
		within(room, func() {
			n, err := openFrozen(lora, onnx.Float32, engine.Options{Device: guarded})
			if err == nil {
				err = n.close()
			}
			if err != nil {
				failed++
			}
		})
		for _, offload := range append([]string{""}, Offloads()...) {
			within(room, func() {
				c := adapterConfig(t, "tiny-llama-lora")
				c.Device, c.Offload, c.Memory, c.Steps = guarded.String(), offload, "2GiB", 1
				if _, err := train(t, c, false, nil); err != nil {
					failed++
				}
			})
		}
	}
	if failed < 20 {
		t.Errorf("only %d times was there too little", failed)
	}
}

// References that stay beside the policy on a device take what is planned, but for what aligns their tensors.
func TestReferencesBesideAreCounted(t *testing.T) {
	llama, lora := golden.Testdata(t, "models", "tiny-llama"), golden.Testdata(t, "adapters", "tiny-llama-lora")
	for name, set := range map[string]func(c *Config){
		"another model":  func(c *Config) { c.Loss, c.Ref = "kto", llama },
		"itself":         func(c *Config) { c.Loss = "kto" },
		"before adapter": func(c *Config) { c.Loss, c.Model = "kto", lora },
		"in float16":     func(c *Config) { c.Loss, c.Model, c.DType = "kto", lora, "float16" },
		"follower":       func(c *Config) { c.Model, c.SyncRefModel = lora, true },
	} {
		t.Run(name, func(t *testing.T) {
			c := tinyConfig(t)
			c.Device = guarded.String()
			set(&c)
			run, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
			if err != nil {
				t.Fatal(err)
			}
			defer run.Close()
			open := run.openBeside
			if run.follower != nil {
				if err := run.follower.Close(); err != nil {
					t.Fatal(err)
				}
				open = func() error { return run.openFollower(run.policy.model) }
			}
			before := taken(t)
			if err := open(); err != nil {
				t.Fatal(err)
			}
			got, planned := taken(t)-before, run.expected.Reference
			if got > planned+planned/10 || got < planned-planned/10 {
				t.Errorf("%d bytes are taken, %d planned", got, planned)
			}
		})
	}
}

// What is too large for a device is told what to offload: what holds most.
func TestHintsAtOffloading(t *testing.T) {
	lora := adapterOver(t, "tiny-llama")
	for _, c := range []struct{ model, offload, hint string }{
		{"", "", "or give --offload states"},
		{"", "states", "or give --offload parameters"},
		{lora, "", "or give --offload parameters"},
		{lora, "parameters", "lower --max-length"},
	} {
		run := tinyConfig(t)
		if c.model != "" {
			run.Model = c.model
		}
		run.Device, run.Offload, run.Memory = guarded.String(), c.offload, "1025MiB"
		_, err := NewTrainer(run, loadTokenizer(t, run.Model), false)
		if err == nil || !strings.Contains(err.Error(), c.hint) || c.offload == "parameters" && strings.Contains(err.Error(), "--offload") {
			t.Errorf("%q offloaded: error %v, want %q", c.offload, err, c.hint)
		}
	}
}

// Updates on the host take room for what comes from the device and what goes back, rounded, and more by an optimizer of whole matrices.
func TestHostUpdatesAreCounted(t *testing.T) {
	updates := func(optimizer, dtype string, threads int) (updates, gradients int64) {
		c := tinyConfig(t)
		c.Device, c.DType, c.Offload, c.Optimizer, c.Threads = guarded.String(), dtype, "states", optimizer, threads
		run, held := holding(t, c)
		if total := held.HostWeights + held.HostStates + held.HostUpdates; run.expected.Host != total || held.States != 0 {
			t.Errorf("%d bytes of the host are planned, %d held; states on the device %d", run.expected.Host, total, held.States)
		}
		return held.HostUpdates, held.Gradients
	}
	one, _ := updates("muon", "float32", 1)
	if four, _ := updates("muon", "float32", 4); one == 0 || four <= one {
		t.Errorf("four workers take %d bytes, one %d", four, one)
	}
	plain, gradients := updates("adamw", "float32", 2)
	if rounded, _ := updates("adamw", "float16", 2); rounded-plain != gradients/2 {
		t.Errorf("rounded weights of half the gradients' %d bytes take %d", gradients, rounded-plain)
	}
}

// A checkpoint of a run in float16 that has lost its loss scale is refused.
func TestStateWithoutLossScale(t *testing.T) {
	c := half(t)
	if _, err := train(t, c, false, func(step int) bool { return step == 2 }); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	dir := filepath.Join(c.Out, runFolder, checkpointFolder, checkpointName(2))
	s, files, err := readCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Scale = nil
	if err := errors.Join(closeFiles(files), writeSealed(filepath.Join(dir, stateFile), s)); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, true, nil); err == nil || !strings.Contains(err.Error(), "loss scale where the run has none") {
		t.Errorf("error %v", err)
	}
}

// A fixed scale that overflows is what to lower, and one without float16 is told the type that it is for.
func TestFixedLossScaleHints(t *testing.T) {
	c := half(t)
	c.LossScale = "1e12"
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "or lower --loss-scale (dynamic finds one)") {
		t.Errorf("error %v", err)
	}
	c.DType, c.LossScale = "", "8"
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("not of %s: leave it out", onnx.Float32)) {
		t.Errorf("error %v", err)
	}
}

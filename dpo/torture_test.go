package dpo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/faultdisk"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// The torture tests ask of every moment of a small training run what a failing disk, or a power cut, leaves of it. Their short forms look
// at some of the moments, DPO_ORT_LONG=1 at all.

// tortured is a run with all that a run writes: evaluations, checkpoints beside training of which old ones go, a best one.
func tortured(t *testing.T) (Config, datasets.Tokenizer) {
	t.Helper()
	was := besideFrom
	besideFrom = 0
	t.Cleanup(func() { besideFrom = was })
	c := tinyConfig(t)
	c.Data, c.EvalData = []string{writePairs(t, 8)}, []string{writePairs(t, 3)}
	c.Batch, c.Steps, c.EvalEvery, c.SaveEvery, c.Keep, c.EarlyStop = 4, 4, 2, 1, 2, 9
	return c, loadTokenizer(t, c.Model)
}

// attempt trains as far as it gets: it begins, or where something has begun goes on.
func attempt(c Config, tok datasets.Tokenizer, out string) (warnings []datasets.Warning, saved []string, err error) {
	c.Out = out
	trainer, err := NewTrainer(c, tok, there(filepath.Join(out, runFolder, configFile)))
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	for e, err := range trainer.Run(context.Background()) {
		if err != nil {
			return warnings, saved, err
		}
		if e.Warning != nil && strings.HasPrefix(e.Warning.Name, "damaged") {
			warnings = append(warnings, *e.Warning)
		}
		if e.Saved != "" {
			saved = append(saved, e.Saved)
		}
	}
	return warnings, saved, nil
}

// some gives all of n moments in the long form, else about so many, by chance.
func some(n, short int, seed uint64) (moments []int) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		if golden.Long() || random.IntN(n) < short {
			moments = append(moments, i)
		}
	}
	return moments
}

// recorded trains once with nothing failing, and gives what that leaves and the journal of the disk.
func recorded(t *testing.T, c Config, tok datasets.Tokenizer) (want string, d *faultdisk.Disk) {
	t.Helper()
	root := t.TempDir()
	d = faultdisk.New(root)
	restore := safefile.Intercept(d)
	_, _, err := attempt(c, tok, filepath.Join(root, "out"))
	restore()
	if err != nil {
		t.Fatal(err)
	}
	return golden.Outcome(t, filepath.Join(root, "out")), d
}

// Whatever change of the disk fails in whatever way, the run ends well or with an error that says so, the checkpoints that it told of are
// whole, and the next attempt ends in the same bits.
func TestTortureFaults(t *testing.T) {
	c, tok := tortured(t)
	want, whole := recorded(t, c, tok)
	const seed = 7
	kinds := map[string]faultdisk.Fault{"full": {Err: syscall.ENOSPC, Stays: true}, "broken": {Err: syscall.EIO}, "short": {Err: syscall.ENOSPC, Short: true}}
	keys := whole.Keys()
	failed, survived := 0, 0
	for _, i := range some(len(keys), 4, seed) {
		for kind, fault := range kinds {
			root := t.TempDir()
			out := filepath.Join(root, "out")
			d := faultdisk.New(root).Fail(keys[i], fault)
			restore := safefile.Intercept(d)
			_, saved, err := attempt(c, tok, out)
			restore()
			moment := fmt.Sprintf("%s: %s", keys[i], kind)
			switch {
			case !d.Failed():
				t.Errorf("%s: was not met", moment)
			case err == nil:
				survived++
			case !errors.Is(err, fault.Err):
				t.Errorf("%s: the error does not say it: %v", moment, err)
			default:
				failed++
			}
			for _, dir := range saved {
				if _, files, err := readCheckpoint(dir); err == nil {
					closeFiles(files)
				} else if there(dir) {
					t.Errorf("%s: %v", moment, err)
				}
			}
			if warnings, _, err := attempt(c, tok, out); err != nil || len(warnings) > 0 {
				t.Errorf("%s: the next attempt: %v, warnings %v", moment, err, warnings)
			} else if got := golden.Outcome(t, out); got != want {
				t.Errorf("%s: the next attempt ends in other bits:\n%s", moment, golden.Difference(want, got))
			}
			os.RemoveAll(root)
		}
	}
	t.Logf("%d changes of the disk, %d kinds of fault (seed %d): %d ended with an error, %d well; all resumed to the same bits", len(keys), len(kinds), seed, failed, survived)
}

// Whatever a power cut leaves at whatever moment, nothing that has its name is damaged, and the next attempt ends in the same bits.
func TestTorturePowerCuts(t *testing.T) {
	c, tok := tortured(t)
	want, d := recorded(t, c, tok)
	const seed = 8
	cuts := 0
	for _, n := range some(d.Len()+1, 5, seed) {
		for _, left := range faultdisk.All {
			root := t.TempDir()
			if err := d.Cut(n, left, seed, root); err != nil {
				t.Fatal(err)
			}
			cuts++
			settings, read := os.ReadFile(filepath.Join(root, "out", runFolder, configFile))
			warnings, _, err := attempt(c, tok, filepath.Join(root, "out"))
			moment := fmt.Sprintf("after %d changes, the last %s, left: %v", n, d.Change(max(n-1, 0)), left)
			if err != nil || len(warnings) > 0 || read == nil && len(settings) == 0 {
				t.Errorf("%s: error %v, warnings %v, %d bytes of settings", moment, err, warnings, len(settings))
			} else if got := golden.Outcome(t, filepath.Join(root, "out")); got != want {
				t.Errorf("%s: the next attempt ends in other bits:\n%s", moment, golden.Difference(want, got))
			}
			os.RemoveAll(root)
		}
	}
	t.Logf("%d power cuts (seed %d) within %d changes of the disk: nothing damaged, all resumed to the same bits", cuts, seed, d.Len())
}

// A checkpoint that was told of outlives a power cut.
func TestSavedOutlivesPowerCut(t *testing.T) {
	c, tok := tortured(t)
	besideFrom = 1 << 40 // so that the journal ends where the checkpoint is told of
	root := t.TempDir()
	c.Out = filepath.Join(root, "out")
	d := faultdisk.New(root)
	defer safefile.Intercept(d)()
	trainer, err := NewTrainer(c, tok, false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	saved := 0
	for e, err := range trainer.Run(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Saved == "" {
			continue
		}
		saved++
		left := t.TempDir()
		if err := d.Cut(d.Len(), faultdisk.Cut, 0, left); err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyCheckpoint(filepath.Join(left, strings.TrimPrefix(e.Saved, root))); err != nil {
			t.Error(err)
		}
	}
	if saved < 3 {
		t.Errorf("%d checkpoints were told of", saved)
	}
}

// Each byte of a checkpoint, with any bit of it changed, is noticed: the checkpoint is named, and the run goes on from the one before.
func TestTortureFlips(t *testing.T) {
	c, tok := tortured(t)
	c.Steps, c.EvalEvery, c.EarlyStop, c.Optimizer = 2, 0, 0, "rmsprop"
	if _, _, err := attempt(c, tok, c.Out); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.Out, runFolder, checkpointFolder, checkpointName(2))
	const seed = 9
	random := rand.New(rand.NewPCG(seed, 2))
	flipped := 0
	for _, name := range []string{stateFile, weightsFile, optimizerFile} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range some(int(info.Size()), 500, seed) {
			flipAt(t, f, int64(at), 1<<random.IntN(8), func() {
				_, files, err := readCheckpoint(dir)
				if !errors.Is(err, errDamaged) {
					t.Errorf("byte %d of %s: error %v", at, name, errors.Join(err, closeFiles(files)))
				}
			})
			flipped++
		}
	}
	if _, files, err := readCheckpoint(dir); err != nil || closeFiles(files) != nil {
		t.Fatalf("the bits are back: %v", err)
	}
	t.Logf("%d bytes with a bit changed (seed %d): all noticed", flipped, seed)
}

// flipAt changes bits of a byte while do runs.
func flipAt(t *testing.T, f *os.File, at int64, bits byte, do func()) {
	t.Helper()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		b[0] ^= bits
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			do()
		}
	}
}

// A run whose newest checkpoint is damaged says so, keeps it aside, and goes on from the one before to the same bits; without any other, from
// its start.
func TestDamagedCheckpoint(t *testing.T) {
	c, tok := tortured(t)
	if _, _, err := attempt(c, tok, c.Out); err != nil {
		t.Fatal(err)
	}
	want := golden.Outcome(t, c.Out)
	folder := filepath.Join(c.Out, runFolder, checkpointFolder)
	damaged := 0
	for _, spoil := range []struct {
		what, says string
		do         func(dir string) error
	}{
		{"a tensor", "tensor model.norm.weight of weights.safetensors", func(dir string) error {
			f, err := safetensors.Open(filepath.Join(dir, weightsFile))
			if err != nil {
				return err
			}
			size, err := os.Stat(filepath.Join(dir, weightsFile))
			return errors.Join(err, f.Close(), flipBit(filepath.Join(dir, weightsFile), int(size.Size())-1))
		}},
		{"a header", "header of optimizer.safetensors", func(dir string) error { return flipBit(filepath.Join(dir, optimizerFile), 12) }},
		{"a state", "state.json", func(dir string) error { return flipBit(filepath.Join(dir, stateFile), 30) }},
		{"a missing file", "optimizer.safetensors", func(dir string) error { return os.Remove(filepath.Join(dir, optimizerFile)) }},
		{"a cut file", "weights.safetensors", func(dir string) error { return os.Truncate(filepath.Join(dir, weightsFile), 100) }},
	} {
		t.Run(spoil.what, func(t *testing.T) {
			dir := filepath.Join(folder, checkpointName(4))
			if err := spoil.do(dir); err != nil {
				t.Fatal(err)
			}
			damaged++
			warnings, _, err := attempt(c, tok, c.Out)
			if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].What, spoil.says) || !strings.Contains(warnings[0].What, dir) {
				t.Fatalf("warnings %v, error %v; want one that names %s", warnings, err, spoil.says)
			}
			if got := golden.Outcome(t, c.Out); got != want || !there(dir+damagedSuffix) {
				t.Errorf("it ends in other bits:\n%s", golden.Difference(want, got))
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		names, err := listCheckpoints(folder)
		if err != nil || len(names) < 2 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			if err := flipBit(filepath.Join(folder, name, weightsFile), 9000); err != nil {
				t.Fatal(err)
			}
		}
		warnings, _, err := attempt(c, tok, c.Out)
		if got := golden.Outcome(t, c.Out); err != nil || len(warnings) != len(names) || got != want {
			t.Errorf("warnings %v, error %v:\n%s", warnings, err, golden.Difference(want, got))
		}
	})
}

package dpo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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
//	reference.safetensors  a reference that follows the policy, float32
//	state.json             where the run stands, what it was begun with, and the digests of all tensors; sealed, and written last
//
// One that is not what was written is left aside as step-N.damaged.
const (
	checkpointFolder = "checkpoints"
	weightsFile      = "weights.safetensors"
	followerFile     = "reference.safetensors"
	optimizerFile    = "optimizer.safetensors"
	stateFile        = "state.json"
	damagedSuffix    = ".damaged"
	checkpointFormat = 2
)

// state is where a run stands between two steps.
type state struct {
	Format           int     `json:"format"`
	Step             int     `json:"step"`
	NumTokens        int64   `json:"num_tokens"`
	MetricsBytes     int64   `json:"metrics_bytes"`  // the length of metrics.jsonl
	MetricsDigest    string  `json:"metrics_digest"` // of so much of it
	EventsBytes      int64   `json:"events_bytes"`   // the length of the event file
	Evaluated        int     `json:"evaluated"`      // the step after which held-out data was last measured, or −1
	Best             *Best   `json:"best,omitempty"` // the evaluation with the lowest loss, where the run may stop early
	ReferenceSeconds float64 `json:"reference_seconds"`

	Loss map[string]float64 `json:"loss,omitempty"` // what the loss carries from step to step, by name

	Scale *lossScale `json:"loss_scale,omitempty"` // of a run in float16

	Settings  map[string]string `json:"settings"` // of the run, by the names of its flags
	Model     string            `json:"model"`    // digest of the weights that the run began with
	Reference string            `json:"reference"`
	Tokenizer string            `json:"tokenizer"`
	Data      string            `json:"data"`     // digest of the token ids
	Artifact  string            `json:"artifact"` // digest of the graphs
	Plan      MemoryPlan        `json:"plan"`     // by which the steps so far were taken

	Files map[string]tensorSums `json:"files"`
}

// tensorSums are the SHA-256 of a safetensors file's header and of each tensor's elements, which together are all of the file.
type tensorSums struct {
	Header  string            `json:"header"`
	Tensors map[string]string `json:"tensors"`
}

// checkpoint is what is written as one.
type checkpoint struct {
	state                        state
	weights, optimizer, follower []safetensors.Entry
}

func checkpointName(step int) string { return fmt.Sprintf("step-%06d", step) }

var checkpointFiles = []string{optimizerFile, weightsFile} // beside the state, in all, sorted

var checkpointPattern = regexp.MustCompile(`^step-\d{6,}$`)

// write makes the folder dir, whole or not at all.
func (c *checkpoint) write(dir string) error {
	tmp := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp")
	err := c.fill(tmp)
	if err == nil {
		err = safefile.Rename(tmp, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save checkpoint %s: %w", dir, err), safefile.RemoveAll(tmp))
	}
	return nil
}

func (c *checkpoint) fill(dir string) (err error) {
	if err := safefile.RemoveAll(dir); err != nil { // of a run that was killed
		return err
	}
	if err := safefile.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c.state.Format, c.state.Files = checkpointFormat, map[string]tensorSums{}
	files := map[string][]safetensors.Entry{weightsFile: c.weights, optimizerFile: c.optimizer}
	if c.follower != nil {
		files[followerFile] = c.follower
	}
	for name, tensors := range files {
		if c.state.Files[name], err = writeTensors(filepath.Join(dir, name), tensors); err != nil {
			return err
		}
	}
	return writeSealed(filepath.Join(dir, stateFile), c.state)
}

// writeTensors writes a file, and digests what was to be written.
func writeTensors(path string, tensors []safetensors.Entry) (sums tensorSums, err error) {
	if err := safetensors.Write(path, tensors, nil); err != nil {
		return sums, err
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return sums, err
	}
	defer f.Close()
	sums = tensorSums{Header: sum(f.Header()), Tensors: map[string]string{}}
	for _, t := range tensors {
		sums.Tensors[t.Name] = sum(t.Data)
	}
	return sums, nil
}

func sum(data []byte) string {
	of := sha256.Sum256(data)
	return hex.EncodeToString(of[:])
}

// readCheckpoint checks the whole of a checkpoint and gives what it holds. One that is not what was written is [errDamaged]. The files are the
// caller's to close.
func readCheckpoint(dir string) (s state, files map[string]*safetensors.File, err error) {
	if err := readSealed(filepath.Join(dir, stateFile), &s); err != nil {
		return s, nil, damage(err)
	}
	if s.Format != checkpointFormat {
		return s, nil, fmt.Errorf("%s has format %d, this program reads %d: go on with the version of dpo-ort that wrote it", stateFile, s.Format, checkpointFormat)
	}
	if err := s.check(filepath.Base(dir)); err != nil {
		return s, nil, damage(fmt.Errorf("%s: %w", stateFile, err))
	}
	files = map[string]*safetensors.File{}
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		f, err := safetensors.Open(filepath.Join(dir, name))
		if err == nil {
			files[name] = f
			err = s.Files[name].check(name, f)
		}
		if err != nil {
			return s, nil, errors.Join(damage(err), closeFiles(files))
		}
	}
	return s, files, nil
}

// damage marks an error as one of what is there, unless it cannot be looked at.
func damage(err error) error {
	if errors.Is(err, errDamaged) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w (%w)", err, errDamaged)
}

// check refuses what no run writes.
func (s *state) check(folder string) error {
	p := s.Plan
	b := s.Best
	if b == nil {
		b = &Best{}
	}
	switch {
	case s.Step < 0 || checkpointName(s.Step) != folder:
		return fmt.Errorf("step %d is not that of the folder %s", s.Step, folder)
	case s.NumTokens < 0 || s.MetricsBytes < 0 || s.EventsBytes < 0:
		return fmt.Errorf("%d tokens, %d bytes of metrics and %d of events: none can be negative", s.NumTokens, s.MetricsBytes, s.EventsBytes)
	case s.Evaluated < -1 || s.Evaluated > s.Step || b.Step < 0 || b.Step > s.Step || b.Since < 0:
		return fmt.Errorf("an evaluation after step %d, the best after step %d and %d others since: after %d steps there is none such", s.Evaluated, b.Step, b.Since, s.Step)
	case p.MicroTokens < 1 || p.Lanes < 0 || p.Passes.Probs < 0 || p.Passes.Recompute < 0 || p.Passes.HeadColumns < 0:
		return fmt.Errorf("no run follows the plan %+v", p)
	}
	if err := s.Scale.check(s.Step); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(s.Files))
	if without := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == followerFile }); !slices.Equal(without, checkpointFiles) {
		return fmt.Errorf("it has digests of the files %v, a checkpoint holds %v", names, checkpointFiles)
	}
	return nil
}

// check compares a file with the digests.
func (s tensorSums) check(name string, f *safetensors.File) error {
	if sum(f.Header()) != s.Header {
		return fmt.Errorf("the header of %s is %w: its SHA-256 is not the one in %s", name, errDamaged, stateFile)
	}
	if named := slices.Sorted(maps.Keys(s.Tensors)); !slices.Equal(named, f.Names()) {
		return fmt.Errorf("%s is %w: its tensors are not those in %s", name, errDamaged, stateFile)
	}
	for _, tensor := range f.Names() {
		t, err := f.Tensor(tensor)
		if err != nil {
			return err
		}
		if sum(t.Data) != s.Tensors[tensor] {
			return fmt.Errorf("tensor %s of %s is %w: its SHA-256 is not the one in %s", tensor, name, errDamaged, stateFile)
		}
	}
	return nil
}

// VerifyCheckpoint reads the whole of a checkpoint, the folder run/checkpoints/step-N of a run, and gives the steps that had been taken. An error says
// what is not as it was written.
func VerifyCheckpoint(dir string) (step int, err error) {
	s, files, err := readCheckpoint(dir)
	if err != nil {
		return 0, fmt.Errorf("checkpoint %s: %w", dir, err)
	}
	return s.Step, closeFiles(files)
}

// Checkpoints lists the checkpoints of the run in the output directory out, the oldest first.
func Checkpoints(out string) ([]string, error) {
	dir := filepath.Join(out, runFolder, checkpointFolder)
	names, err := listCheckpoints(dir)
	for i, name := range names {
		names[i] = filepath.Join(dir, name)
	}
	return names, err
}

func closeFiles(files map[string]*safetensors.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// listCheckpoints lists the complete ones in a folder, oldest first.
func listCheckpoints(dir string) ([]string, error) {
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var names []string
	for _, e := range found {
		if e.IsDir() && checkpointPattern.MatchString(e.Name()) {
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

// pruneCheckpoints removes all but the newest of a folder's checkpoints and those named, and what killed processes have left there.
func pruneCheckpoints(dir string, newest int, except ...string) error {
	names, err := listCheckpoints(dir)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-newest)] {
		if slices.Contains(except, name) {
			continue
		}
		if err := safefile.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
	}
	return safefile.Sweep(dir)
}

// prefixed gives tensors that have a prefix before their names.
type prefixed struct {
	of     engine.Source
	prefix string
}

func (p prefixed) Tensor(name string) (safetensors.Tensor, error) {
	return p.of.Tensor(p.prefix + name)
}

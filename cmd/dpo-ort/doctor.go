package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/exported"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

func init() { register(newDoctor) }

func newDoctor() *cobra.Command {
	var model, device, run string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what works here and what is missing",
		Long: `doctor looks for ONNX Runtime and the device, for a CUDA device also for each library that it needs, and with --model opens
a model directory: its configuration, of which it says what is supported and what is not, all its weights, and its tokenizer; with --run it reads the checkpoints of a run. What is wrong or missing is told with what to do, and
the exit code is 1.`,
		Example: `  dpo-ort doctor
  dpo-ort doctor --model models/llama
  dpo-ort doctor --run aligned
  dpo-ort doctor --device cuda:0`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := ort.ParseDevice(device) // first, as it decides which ONNX Runtime is loaded
			checks := []check{{"dpo-ort", func() (string, error) { return version() + ", " + runtime.Version(), nil }}, {"onnxruntime", ort.Version}}
			if err != nil {
				checks = append(checks, check{"device", func() (string, error) { return "", err }})
			} else {
				checks = append(checks, deviceChecks(d)...)
			}
			if model != "" {
				checks = append(checks, modelChecks(model)...)
			}
			if run != "" {
				checks = append(checks, checkpointChecks(run)...)
			}
			return examine(cmd, checks)
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "Hugging Face directory to look at")
	cmd.Flags().StringVar(&run, "run", "", "output directory of a run, whose checkpoints to verify")
	cmd.Flags().StringVar(&device, "device", "cpu", "device to look for: cpu, or cuda:0")
	return cmd
}

// check is one thing that may be right or wrong.
type check struct {
	name string
	look func() (string, error)
}

func examine(cmd *cobra.Command, checks []check) error {
	var failed []error
	for _, c := range checks {
		found, err := c.look()
		for _, e := range reasonsOf(err) {
			failed = append(failed, fmt.Errorf("%s: %w", c.name, e))
		}
		switch {
		case errors.Is(err, ort.ErrMissing):
			found = "missing"
		case err != nil:
			found = "wrong"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%-12s %s\n", c.name, found)
	}
	return errors.Join(failed...)
}

// several is an error for each of the reasons that one check may have.
type several []error

func (s several) Error() string { return errors.Join(s...).Error() }

// reasonsOf are the reasons of an error, one in most cases.
func reasonsOf(err error) several {
	var all several
	if errors.As(err, &all) {
		return all
	}
	return slices.DeleteFunc(several{err}, func(err error) bool { return err == nil })
}

// deviceChecks are for the parts of a device, if ONNX Runtime can be loaded, and for the device itself.
func deviceChecks(d ort.Device) (checks []check) {
	parts, err := d.Parts()
	for _, p := range parts {
		checks = append(checks, check{p.Name, func() (string, error) { return p.Found, p.Err }})
		if p.Err != nil {
			err = fmt.Errorf("%s needs what is not there or wrong above", d)
		}
	}
	return append(checks, check{"device", func() (string, error) {
		if err != nil {
			return "", err
		}
		return checkDevice(d)
	}})
}

func checkDevice(d ort.Device) (string, error) {
	b, err := d.Alloc(1 << 20)
	if err != nil {
		return "", err
	}
	b.Free()
	if d.OnHost() {
		return fmt.Sprintf("%s, %d cores", d, runtime.NumCPU()), nil
	}
	model, err := d.Model()
	if err != nil {
		return "", err
	}
	free, total, err := d.Memory()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %s, %s of %s free", d, model, size(free), size(total)), nil
}

// checkpointChecks are for each checkpoint of a run.
func checkpointChecks(run string) (checks []check) {
	dirs, err := dpo.Checkpoints(run)
	if err == nil && dirs == nil {
		err = fmt.Errorf("%s holds none", run)
	}
	if err != nil {
		return []check{{"checkpoints", func() (string, error) { return "", err }}}
	}
	for _, dir := range dirs {
		checks = append(checks, check{filepath.Base(dir), func() (string, error) {
			step, err := dpo.VerifyCheckpoint(dir)
			return fmt.Sprintf("whole, after step %d", step), err
		}})
	}
	return checks
}

// modelChecks are for a model's config.json, of which they say what is read and what changes nothing; for the model, with each reason why its
// configuration is not supported, or what is wrong with its weights; and for its tokenizer.
func modelChecks(dir string) (checks []check) {
	say := func(name, found string) {
		checks = append(checks, check{name, func() (string, error) { return found, nil }})
	}
	if exported.IsFile(dir) {
		m, err := models.Open(dir)
		if err != nil {
			return []check{{"model", func() (string, error) { return "", err }}}
		}
		defer m.Close()
		for _, line := range m.Exported.Report() {
			say("found", line)
		}
		return append(checks, check{"tokenizer", func() (string, error) { return checkTokenizer(dir) }})
	}
	s, err := models.SurveyConfig(dir)
	if err == nil {
		say("config", fmt.Sprintf("%s (%s)", s.Class, s.Family))
		say("reads", strings.Join(s.Reads, ", "))
		say("ignores", strings.Join(s.PassesBy, ", "))
	}
	return append(checks, check{"model", func() (string, error) { return checkModel(dir, s.Refuses) }},
		check{"tokenizer", func() (string, error) { return checkTokenizer(dir) }})
}

func checkModel(dir string, refused []error) (string, error) {
	if refused != nil {
		return "", several(refused)
	}
	m, err := models.Open(dir)
	if err != nil {
		return "", err
	}
	defer m.Close()
	weights := m.WeightType()
	if weights == "" {
		weights = "weights of several types"
	}
	return fmt.Sprintf("%s, %d parameters, %s", m.Architecture, m.Parameters(), weights), nil
}

func checkTokenizer(dir string) (string, error) {
	t, err := tokenizerOf(dir)
	if err != nil {
		return "", err
	}
	defer t.Close()
	eos := "no EOS token"
	if id, text, ok := t.EOS(); ok {
		eos = fmt.Sprintf("EOS %q (%d)", text, id)
	}
	return fmt.Sprintf("%d tokens, %s", t.VocabSize(), eos), nil
}

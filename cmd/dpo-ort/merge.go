package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models"
)

func init() { register(newMerge) }

func newMerge() *cobra.Command {
	var model, out, saveType string
	cmd := &cobra.Command{
		Use:   "merge",
		Short: "Make a model of an adapter and its base",
		Long: `merge adds a LoRA or DoRA adapter in PEFT's format, such as train --adapter leaves, to the weights of its base, and writes
a Hugging Face directory that needs neither. Each number is computed in float64 and rounded once.

All verbs take an adapter's folder as --model, too: they then run its base with it. Its base is the folder that
base_model_name_or_path of adapter_config.json names, or what the Hugging Face cache has under that name.`,
		Example: `  dpo-ort merge --model aligned --out merged
  dpo-ort merge --model aligned --out merged --save-type source`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if model == "" || out == "" {
				return dpo.Usage("merge needs --model, an adapter's folder, and --out")
			}
			if err := dpo.OneOf("save-type", saveType, []string{"float32", "bfloat16", "float16", "source"}); err != nil {
				return err
			}
			if !models.IsAdapter(model) {
				return fmt.Errorf("merge: %s holds no adapter_config.json: it is no adapter in PEFT's format", model)
			}
			return mergeInto(cmd, model, out, saveType)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&model, "model", "", "folder of an adapter")
	f.StringVar(&out, "out", "", "directory to write")
	f.StringVar(&saveType, "save-type", "float32", "type of the saved weights: float32, bfloat16, float16 or source, each tensor's own")
	return cmd
}

// mergeInto writes the merged model beside its place, which it then takes, whole.
func mergeInto(cmd *cobra.Command, model, out, saveType string) error {
	if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
		return fmt.Errorf("output directory %s is not empty (it holds %s): choose another --out", out, entries[0].Name())
	}
	part := filepath.Join(filepath.Dir(filepath.Clean(out)), "."+filepath.Base(out)+".part")
	if err := safefile.RemoveAll(part); err != nil { // of a merge that was killed
		return err
	}
	err := safefile.MkdirAll(filepath.Dir(part), 0o755)
	if err == nil {
		err = models.WriteMerged(part, model, saveType)
	}
	if err == nil {
		err = safefile.Rename(part, out)
	}
	if err != nil {
		return errors.Join(err, safefile.RemoveAll(part))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is %s merged with its base\n", out, model)
	return nil
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo"
)

type validateFlags struct {
	encodeFlags
	data   []string
	strict bool
	talk   talk
}

func newDataValidate() *cobra.Command {
	var o validateFlags
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Name every row that is broken, or would be dropped or cut, and why",
		Long: `validate reads all rows as train does and counts, by reason, those that are broken (they make no preference: train drops them, and ends at one that is no JSON), would be
dropped (there is nothing to learn from them) or would be cut (they exceed --max-length), and names the first of each. Without
--model it looks at text alone. The exit code is 1 where a row or a file is broken; with --strict, where a row would be
dropped or cut as well.`,
		Example: `  dpo-ort data validate --data pairs.parquet
  dpo-ort data validate --data pairs.parquet --model models/llama --max-length 1024 --strict`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDataValidate(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.data, "data", nil, "Parquet, JSONL or JSON files, globs or folders")
	o.bind(f)
	f.BoolVar(&o.strict, "strict", false, "exit code 1 where rows would be dropped or cut, too")
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runDataValidate(cmd *cobra.Command, o validateFlags) error {
	if len(o.data) == 0 {
		return dpo.Usage("data is missing: name a Parquet or JSONL file")
	}
	enc, end, err := o.encoder()
	if err != nil {
		return err
	}
	defer end()
	last, err := follow(cmd, o.talk, "validate", datasets.Validate(o.data, datasets.Options{Columns: o.columns}, enc), func(v *datasets.Validation) (int64, int64) { return v.Rows, 0 })
	if err != nil {
		return err
	}
	if err := o.talk.result(cmd.OutOrStdout(), last, validationText(last)); err != nil {
		return err
	}
	if last.Broken > 0 || o.strict && last.Dropped+last.Cut > 0 {
		return fmt.Errorf("validating data: of %d rows, %d are broken, %d would be dropped and %d cut", last.Rows, last.Broken, last.Dropped, last.Cut)
	}
	return nil
}

func validationText(v *datasets.Validation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rows      %d, %d broken, %d dropped, %d cut\n", v.Rows, v.Broken, v.Dropped, v.Cut)
	for _, f := range v.Findings {
		fmt.Fprintf(&b, "%-9s %d: %s\n", f.Kind, f.Rows, f.Reason)
		for _, p := range f.First {
			fmt.Fprintf(&b, "            %s\n", p)
		}
	}
	return b.String()
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo"
)

type convertFlags struct {
	data      []string
	out       string
	overwrite bool
	talk      talk
}

func newDataConvert() *cobra.Command {
	var o convertFlags
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Write data as Parquet, JSON Lines or JSON",
		Long: `convert writes the rows of one or more files, which have the same columns, to one file of the format that the extension of
--out names: .parquet (zstd, row groups of 10,000), .jsonl or .ndjson, .json (an array). All columns are kept, in whichever
layout they are, which it names; the names of partition folders (a=1) are no columns.

From JSON, a column gets the narrowest type that holds all its values; values of several kinds become a column of Parquet's
type JSON, which the other verbs read as what it says. To JSON, numbers keep all their digits, dates and times become text, maps lists of {key, value}, bytes that are no text
base64, and NaN and infinities null.`,
		Example: `  dpo-ort data convert --data pairs.jsonl --out pairs.parquet
  dpo-ort data convert --data 'shards/*.parquet' --out pairs.jsonl`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDataConvert(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.data, "data", nil, "Parquet, JSONL or JSON files, globs or folders, with the same columns")
	f.StringVar(&o.out, "out", "", "file to write: .parquet, .jsonl, .ndjson or .json")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace --out")
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runDataConvert(cmd *cobra.Command, o convertFlags) error {
	switch {
	case len(o.data) == 0:
		return dpo.Usage("data is missing: name a Parquet or JSONL file")
	case o.out == "":
		return dpo.Usage("out is missing: name the file to write")
	}
	last, err := follow(cmd, o.talk, "convert", datasets.Convert(o.data, o.out, o.overwrite),
		func(c datasets.Conversion) (int64, int64) { return c.Rows, c.Total })
	if err != nil {
		return err
	}
	text := fmt.Sprintf("converted %d rows\nwritten   %s\n", last.Rows, o.out)
	if last.Layout != "" {
		text += fmt.Sprintf("layout    %s\n", last.Layout)
	}
	return o.talk.result(cmd.OutOrStdout(), last, text)
}

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

func init() { register(newMan) }

func newMan() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "man",
		Short: "Write the manual pages",
		Long:  "man writes a manual page for each command, dpo-ort.1, dpo-ort-train.1 and so on.",
		Example: `  dpo-ort man --out man1
  man man1/dpo-ort-train.1`,
		RunE: func(cmd *cobra.Command, _ []string) error { return writeMan(cmd.Root(), out) },
	}
	cmd.Flags().StringVar(&out, "out", "", "directory to write, which is made")
	return cmd
}

func writeMan(root *cobra.Command, dir string) error {
	if dir == "" {
		return dpo.Usage("out is missing: name the directory to write")
	}
	if err := safefile.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	root.DisableAutoGenTag = true
	date := time.Unix(0, 0) // not today's: the same program writes the same pages
	if committed, err := time.Parse(time.RFC3339, buildSetting("vcs.time")); err == nil {
		date = committed
	}
	err := doc.GenManTree(root, &doc.GenManHeader{Title: "DPO-ORT", Section: "1", Date: &date, Source: "dpo-ort", Manual: "dpo-ort"}, dir)
	if err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	return nil
}

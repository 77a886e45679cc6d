// Command dpo-ort aligns language models on preference data: it trains a policy by Direct Preference Optimization and
// scores Parquet files with implicit rewards, on ONNX Runtime, without Python. Run dpo-ort --help.
package main

import (
	"cmp"
	"errors"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/internal/wording"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Exit codes.
const (
	exitFailed      = 1   // the data or the run
	exitUsage       = 2   // the command line or the settings
	exitInterrupted = 130 // stopped by a signal, state saved
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole program; what it returns is the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	said.begin(stderr)
	defer said.close()
	ctx, forget := stopping.listen()
	defer forget()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		said.log("ended", map[string]bool{"ended": true})
		return 0
	}
	said.fail(err)
	var usage *dpo.UsageError
	switch {
	case errors.Is(err, dpo.ErrInterrupted):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

// printable is a text in which what a file names cannot drive the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "dpo-ort",
		Short: "Preference training of language models on ONNX Runtime, without Python",
		Long: `dpo-ort trains a language model on preferences by Direct Preference Optimization (arXiv 2305.18290) and scores
Parquet files with the implicit reward beta·(log pi(y|x) - log pi_ref(y|x)).

Models are Hugging Face directories; data is Parquet, JSONL or JSON with the columns prompt, chosen, rejected, or
prompt, completions, ranks. Where a verb takes one of these it takes hf://OWNER/NAME or hf://datasets/OWNER/NAME/FILE, too, from the
Hugging Face hub or its cache; else nothing uses the network. Results go to stdout, progress to stderr. Exit codes: 0, 1 data or run, 2 usage,
130 interrupted and saved.

Ctrl-C finishes the step, or the window of rows, and saves; a second one ends the program now. SIGTERM is as the first Ctrl-C, and ends
the program where that takes longer than --grace. Its files are whole however it ends.`,
		Example: `  dpo-ort train --model DIR --data pairs.parquet --out aligned
  dpo-ort score --model aligned --ref DIR --data pairs.parquet --out scored.parquet`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(wrongFlag)
	root.SetVersionTemplate("{{versions}}")
	root.PersistentFlags().Func("onnxruntime", "ONNX Runtime library to load (default: $"+ort.LibraryVariable+", else beside the program, then the system's)",
		func(path string) error { ort.SetLibrary(path); return nil })
	root.PersistentFlags().Var((*grace)(&stopping), "grace", "how long what was begun may take after SIGTERM, before the program ends nevertheless")
	root.PersistentFlags().BoolVar(&fetching.offline, "offline", false, "fetch nothing for hf://, as with HF_HUB_OFFLINE=1: take what is in the cache")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := said.hear(cmd); err != nil {
			return err
		}
		return fetching.begin(cmd)
	}
	for _, verb := range verbs {
		cmd := verb()
		if cmd.Args == nil {
			cmd.Args = noArgs
		}
		root.AddCommand(cmd)
	}
	return root
}

// verbs makes the commands below dpo-ort. Each verb's file registers its own.
var verbs []func() *cobra.Command

func register(verb func() *cobra.Command) { verbs = append(verbs, verb) }

// noCommand refuses a word that is no command below cmd.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, below := range cmd.Commands() {
		known = append(known, below.Name())
	}
	name := strings.Join(append(strings.Fields(cmd.CommandPath())[1:], args[0]), " ")
	return dpo.Usage("unknown command %q%s %s --help lists them", name, cmp.Or(wording.Suggest("", args[0], known), ";"), cmd.CommandPath())
}

// wrongFlag says which flags there are.
func wrongFlag(cmd *cobra.Command, err error) error {
	meant := ";"
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		meant = cmp.Or(wording.Suggest("--", unknown.GetSpecifiedName(), flagNames(cmd.Flags())), meant)
	}
	return dpo.Usage("%v%s %s --help lists the flags", err, meant, cmd.CommandPath())
}

// noArgs refuses words that are no flags: mostly a flag's value with a space too much.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return dpo.Usage("%s takes flags only, not %q; several files are given as --data a --data b or --data a,b", cmd.CommandPath(), args[0])
	}
	return nil
}

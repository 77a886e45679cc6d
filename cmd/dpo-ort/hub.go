package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/internal/hub"
)

// What names models and data: there, hf:// stands for what the hub has. All below the program sees local paths.
var (
	modelFlags = []string{"model", "ref", "tokenizer", "init", "against"}
	dataFlags  = []string{"data", "eval-data", "prompts", "check"}
)

// fetcher brings what hf:// names into the cache.
type fetcher struct {
	offline bool
	cmd     *cobra.Command
	client  *hub.Client
	known   map[string][]string // the paths of what was fetched by this command
}

// fetching is the program's.
var fetching fetcher

// begin puts local paths in place of what a command's flags name on the hub.
func (h *fetcher) begin(cmd *cobra.Command) error {
	h.cmd, h.client, h.known = cmd, nil, map[string][]string{}
	var wrong error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if wrong == nil {
			wrong = h.flag(f)
		}
	})
	return wrong
}

func (h *fetcher) flag(f *pflag.Flag) error {
	list, several := f.Value.(pflag.SliceValue)
	texts := []string{f.Value.String()}
	if several {
		texts = list.GetSlice()
	}
	if !slices.ContainsFunc(texts, hub.Is) {
		return nil
	}
	model := slices.Contains(modelFlags, f.Name)
	if !model && !slices.Contains(dataFlags, f.Name) {
		return dpo.Usage("%s takes a path of this machine, not %s: hf:// names what is fetched, by %s", f.Name, texts[0], strings.Join(slices.Concat(modelFlags, dataFlags), ", "))
	}
	paths, err := h.all(texts, model)
	switch {
	case err != nil:
		return err
	case several:
		return list.Replace(paths)
	}
	return f.Value.Set(paths[0])
}

// config does the same for settings that came from a file.
func (h *fetcher) config(c *dpo.Config) error {
	for _, model := range []*string{&c.Model, &c.Ref} {
		if err := h.model(model); err != nil {
			return err
		}
	}
	return h.data(&c.Data, &c.EvalData)
}

func (h *fetcher) model(name *string) error {
	paths, err := h.all([]string{*name}, true)
	if err == nil {
		*name = paths[0]
	}
	return err
}

func (h *fetcher) data(lists ...*[]string) error {
	for _, list := range lists {
		paths, err := h.all(*list, false)
		if err != nil {
			return err
		}
		*list = paths
	}
	return nil
}

// plan does the same for a frontier's plan.
func (h *fetcher) plan(p *dpo.FrontierPlan) error {
	if err := h.model(&p.Reference); err != nil {
		return err
	}
	if err := h.data(&p.Prompts); err != nil {
		return err
	}
	if err := h.config(&p.DPO); err != nil || p.PreferredFT == nil {
		return err
	}
	return h.config(p.PreferredFT)
}

// all gives the paths of texts; those that are paths already stay.
func (h *fetcher) all(texts []string, model bool) (paths []string, err error) {
	for _, text := range texts {
		found := []string{text}
		if hub.Is(text) {
			if found, err = h.fetch(text, model); err != nil {
				return nil, err
			}
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// fetch fetches one reference.
func (h *fetcher) fetch(text string, model bool) ([]string, error) {
	if paths, ok := h.known[text]; ok {
		return paths, nil
	}
	r, err := hub.Parse(text)
	if err != nil {
		return nil, dpo.Usage("%v", err)
	}
	if r.Dataset == model {
		return nil, dpo.Usage("%s is a %s, where a %s is needed", text, kindOf(r.Dataset), kindOf(!r.Dataset))
	}
	if h.client == nil {
		if h.client, err = hub.New(os.Getenv); err != nil {
			return nil, dpo.Usage("%v", err)
		}
		h.client.Offline = h.client.Offline || h.offline
	}
	if h.known[text], err = h.follow(r); err != nil {
		return nil, err
	}
	return h.known[text], nil
}

func kindOf(dataset bool) string {
	if dataset {
		return "data set"
	}
	return "model"
}

// follow fetches a reference and shows how far it is, in MiB.
func (h *fetcher) follow(r hub.Ref) ([]string, error) {
	t := talk{quiet: said.quiet}
	if said.json {
		t.format = "json"
	}
	p := t.progress(h.cmd.ErrOrStderr())
	defer p.end()
	var last hub.Event
	for e, err := range h.client.Fetch(h.cmd.Context(), r, h.weights()) {
		if err != nil && h.cmd.Context().Err() != nil {
			return nil, fmt.Errorf("%w while %s was fetched; the same command goes on from what has come", dpo.ErrInterrupted, r)
		}
		if err != nil {
			return nil, err
		}
		if last = e; e.Paths == nil {
			p.show(dpo.Event{Phase: "fetch MiB", Done: mebibytes(e.Done), Total: mebibytes(e.Total)})
		}
	}
	if last.Total > 0 {
		p.end()
		p.say("fetched   %s at commit %s, %s\n", r, last.Commit, size(last.Total))
	}
	return last.Paths, nil
}

// weights tells whether the command computes with models: those that look at data need the tokenizer alone, export of training's graphs
// the configuration.
func (h *fetcher) weights() bool {
	path := h.cmd.CommandPath()
	if purpose := h.cmd.Flags().Lookup("for"); purpose != nil {
		return purpose.Value.String() == forInference
	}
	return !strings.Contains(path, " data ")
}

func mebibytes(n int64) int { return int((n + 1<<20 - 1) >> 20) }

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
	"github.com/dpo-ort/dpo-ort/models"
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
	names   map[string]string   // of these paths, with commits
}

// fetching is the program's.
var fetching fetcher

// begin puts local paths in place of what a command's flags name on the hub, and finds the bases of adapters that they name.
func (h *fetcher) begin(cmd *cobra.Command) error {
	h.cmd, h.client, h.known, h.names = cmd, nil, map[string][]string{}, map[string]string{}
	var wrong error
	visit := func(do func(*pflag.Flag) error) {
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if wrong == nil {
				wrong = do(f)
			}
		})
	}
	visit(h.flag)
	visit(func(f *pflag.Flag) error {
		if !slices.Contains(modelFlags, f.Name) {
			return nil
		}
		return h.bases(textsOf(f)...)
	})
	return wrong
}

// textsOf are the values of a flag that may have several.
func textsOf(f *pflag.Flag) []string {
	if list, several := f.Value.(pflag.SliceValue); several {
		return list.GetSlice()
	}
	return []string{f.Value.String()}
}

func (h *fetcher) flag(f *pflag.Flag) error {
	texts := textsOf(f)
	if !slices.ContainsFunc(texts, hub.Is) {
		return nil
	}
	model := slices.Contains(modelFlags, f.Name)
	if !model && !slices.Contains(dataFlags, f.Name) {
		return dpo.Usage("%s takes a path of this machine, not %s: hf:// names what is fetched, by %s", f.Name, texts[0], strings.Join(slices.Concat(modelFlags, dataFlags), ", "))
	}
	paths, err := h.all(texts, model)
	if err != nil {
		return err
	}
	if list, several := f.Value.(pflag.SliceValue); several {
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
	if err := h.data(&c.Data, &c.EvalData); err != nil {
		return err
	}
	c.Names = h.names
	return h.bases(c.Model, c.Ref)
}

// bases finds, in the cache alone, the bases that adapters in folders of this machine call by names on the hub. Of one that is not there whoever opens
// the adapter tells.
func (h *fetcher) bases(dirs ...string) error {
	for _, dir := range dirs {
		r, ok := missingBase(dir)
		if !ok {
			continue
		}
		if err := h.connect(); err != nil {
			return err
		}
		cache := *h.client
		cache.Offline = true
		if paths, err := h.follow(&cache, r); err == nil {
			models.SetBase(r.Repo, r.Revision, paths[0])
		}
	}
	return nil
}

// missingBase is what an adapter's base is called on the hub.
func missingBase(dir string) (r hub.Ref, ok bool) {
	name, revision := models.MissingBase(dir)
	r, err := hub.Parse(hub.Ref{Repo: name, Revision: revision}.String())
	return r, name != "" && err == nil && !r.Dataset
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
	if err := h.connect(); err != nil {
		return nil, err
	}
	paths, err := h.follow(h.client, r)
	if err != nil {
		return nil, err
	}
	if base, ok := missingBase(paths[0]); model && ok {
		found, err := h.follow(h.client, base)
		if err != nil {
			return nil, fmt.Errorf("the base of adapter %s: %w", text, err)
		}
		models.SetBase(base.Repo, base.Revision, found[0])
	}
	h.known[text] = paths
	return paths, nil
}

// connect makes the client, once.
func (h *fetcher) connect() (err error) {
	if h.client != nil {
		return nil
	}
	if h.client, err = hub.New(os.Getenv); err != nil {
		return dpo.Usage("%v", err)
	}
	h.client.Offline = h.client.Offline || h.offline
	return nil
}

func kindOf(dataset bool) string {
	if dataset {
		return "data set"
	}
	return "model"
}

// follow fetches a reference and shows how far it is, in MiB.
func (h *fetcher) follow(c *hub.Client, r hub.Ref) ([]string, error) {
	t := talk{quiet: said.quiet}
	if said.json {
		t.format = "json"
	}
	p := t.progress(h.cmd.ErrOrStderr())
	defer p.end()
	var last hub.Event
	shown := -1
	for e, err := range c.Fetch(h.cmd.Context(), r, h.weights()) {
		if err != nil && h.cmd.Context().Err() != nil {
			return nil, fmt.Errorf("%w while %s was fetched; the same command goes on from what has come", dpo.ErrInterrupted, r)
		}
		if err != nil {
			return nil, err
		}
		if e.Failed != nil {
			said.notice("fetch     %v; trying again in %s", e.Failed, duration(e.Wait.Seconds()))
			continue
		}
		if last = e; e.Paths == nil && mebibytes(e.Done) != shown {
			shown = mebibytes(e.Done)
			p.show(dpo.Event{Phase: "fetch MiB", Done: shown, Total: mebibytes(e.Total)})
		}
	}
	if last.Total > 0 {
		p.end()
		p.say("fetched   %s at commit %s, %s\n", r, last.Commit, size(last.Total))
	}
	for i, path := range last.Paths {
		name := last.Pinned[i].String()
		if _, err := hub.Parse(name); err == nil { // a file's name may be no glob
			h.names[path] = name
		}
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

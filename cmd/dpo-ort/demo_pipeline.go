package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/dpo/report"
	"github.com/dpo-ort/dpo-ort/internal/demo"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models"
)

// critic is the name of the demo's reward.
const critic = "film-critic"

func init() {
	c := demo.NewCritic(demo.Films())
	dpo.RegisterJudge(critic, "how well a text speaks of a film, in the words of demo's reviews", "1", func(a dpo.Answer) (float64, error) {
		return c.Reward(a.Prompt.String + a.Completion.String), nil
	})
}

// pipelineResult is what the pipeline came to.
type pipelineResult struct {
	Seed     int64
	Loss     float64 // of the reference on held-out reviews, nats a token
	Entropy  float64 // of the grammar on them
	Bigram   float64 // loss of a bigram model
	Pairs    int64   // that were learnt from
	Frontier *report.Frontier
	Seconds  float64
}

// pipeline runs the stages, each unless it is done already.
type pipeline struct {
	demoFlags
	demo.Pipeline
	ctx      context.Context
	progress *progress
	judge    dpo.JudgeOptions
}

func runPipeline(cmd *cobra.Command, o demoFlags, settings demo.Pipeline) error {
	start := time.Now()
	p := &pipeline{demoFlags: o, Pipeline: settings, ctx: cmd.Context(), progress: o.talk.progress(cmd.ErrOrStderr()), judge: dpo.JudgeOptions{Tokenizer: openTokenizer}}
	defer p.progress.end()
	stopping.keeps(keptIn(o.out))
	if err := p.claim(); err != nil {
		return err
	}
	r := pipelineResult{Seed: o.seed}
	for _, stage := range []struct {
		name string
		run  func(*pipelineResult) error
	}{{"corpus", p.corpus}, {"sft", p.learn}, {"generate", p.sample}, {"label", p.label}, {"frontier", p.align}} {
		p.progress.end()
		p.progress.say("%s\n", stage.name)
		if err := stage.run(&r); err != nil {
			return err
		}
	}
	p.progress.end()
	f := frontierDrawing(p.path("frontier"), fmt.Sprintf("Controlled sentiment, seed %d", o.seed))
	f.runs = append([]string{p.path("sft")}, f.runs...)
	_, written, err := f.write()
	if err != nil {
		return err
	}
	r.Seconds = time.Since(start).Seconds()
	return o.talk.result(cmd.OutOrStdout(), r, r.text()+written)
}

// claim goes on with a demo of the same seed, and writes another's folder anew.
func (p *pipeline) claim() error {
	mark := fmt.Sprintf("seed: %d\npipeline: true\n", p.seed)
	if text, err := os.ReadFile(p.path(demoFiles[0])); err == nil && string(text) == mark {
		return nil
	}
	if err := claimDemo(p.out, p.seed); err != nil {
		return err
	}
	return safefile.Write(p.path(demoFiles[0]), []byte(mark))
}

// corpus makes up reviews and prompts, and says how uncertain they are.
func (p *pipeline) corpus(r *pipelineResult) error {
	c, err := p.Write(p.path("corpus"), p.seed)
	if err != nil {
		return err
	}
	r.Entropy = demo.Entropy(c.HeldOut, demo.Films().LogProb)
	r.Bigram = demo.Entropy(c.HeldOut, demo.NewBigram(c.Train, len(demo.Films().Words()), 0.1).LogProb)
	return nil
}

// staged are the settings of a stage of training.
func staged(c dpo.Config, s demo.Stage) dpo.Config {
	c.Optimizer, c.MaxGradNorm, c.Schedule = s.Optimizer, s.Clip, "linear"
	c.LR, c.Batch, c.Steps, c.Warmup = s.LR, s.Batch, s.Steps, s.Warmup
	return c
}

// learn trains the reference from random weights.
func (p *pipeline) learn(r *pipelineResult) error {
	c, err := dpo.NewObjective(dpo.Likelihood)
	if err != nil {
		return err
	}
	c = staged(c, p.Learn)
	c.Out, c.Seed, c.Data, c.EvalData, c.SaveEvery = p.path("sft"), p.seed, []string{p.path("corpus/" + demo.ReviewsFile)}, []string{p.path("corpus/" + demo.HeldOutFile)}, 100
	c.Model = c.Initial()
	if !exists(filepath.Join(c.Out, "model.safetensors")) {
		if err := p.train(c); err != nil {
			return err
		}
	}
	run, err := report.Read(c.Out)
	if err != nil {
		return err
	}
	losses := run.Series["eval_loss"]
	if len(losses) == 0 {
		return errors.New("the reference was not measured on held-out reviews")
	}
	r.Loss = losses[len(losses)-1].Value
	return nil
}

// train trains a model of random weights, or goes on with that.
func (p *pipeline) train(c dpo.Config) error {
	resume := exists(filepath.Join(c.Out, "run", "config.yaml"))
	if !resume {
		if _, err := c.WriteInitial(func(dir string) error { return models.WriteInitial(dir, p.path("corpus/"+demo.InitFolder), "", p.seed) }); err != nil {
			return err
		}
	}
	tok, err := tokenizerOf(c.Model)
	if err != nil {
		return err
	}
	defer tok.Close()
	t, err := dpo.NewTrainer(c, tok, resume)
	if err != nil {
		return err
	}
	defer t.Close()
	return show(t.Run(p.ctx), func(e dpo.Event) { p.progress.show(e) })
}

// show shows all events.
func show[E any](events iter.Seq2[E, error], each func(E)) error {
	for e, err := range events {
		if err != nil {
			return err
		}
		each(e)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// sample draws the reference's answers.
func (p *pipeline) sample(*pipelineResult) error {
	f := dpo.GenerateFiles{Data: []string{p.path("corpus/" + demo.PromptsFile)}, Out: p.path("samples.parquet"), Strict: true}
	if exists(f.Out) {
		return nil
	}
	c := dpo.NewGenerateConfig()
	c.Model, c.Samples, c.MaxTokens, c.Seed = p.path("sft"), p.Samples, p.Longest, p.seed
	tok, err := tokenizerOf(c.Model)
	if err != nil {
		return err
	}
	defer tok.Close()
	return show(dpo.Generate(p.ctx, c, tok, f), func(e dpo.GenerateEvent) {
		p.progress.show(dpo.Event{Phase: "generate", Done: int(e.Rows), Total: int(e.Total)})
	})
}

// label makes pairs of them.
func (p *pipeline) label(r *pipelineResult) error {
	f := dpo.LabelFiles{Data: []string{p.path("samples.parquet")}, Out: p.path("pairs.parquet"), Overwrite: true, Strict: true}
	c := dpo.LabelConfig{Reward: critic, Judge: p.judge, As: "pairs"}
	return show(dpo.Label(p.ctx, c, f), func(e dpo.LabelEvent) {
		r.Pairs = e.Pairs
		p.progress.show(dpo.Event{Phase: "label", Done: int(e.Rows), Total: int(e.Total)})
	})
}

// align makes the frontier.
func (p *pipeline) align(r *pipelineResult) error {
	plan, err := dpo.NewFrontierPlan()
	if err != nil {
		return err
	}
	pairs := []string{p.path("pairs.parquet")}
	plan.Reference, plan.Prompts, plan.Reward, plan.Judge = p.path("sft"), []string{p.path("corpus/" + demo.FreshFile)}, critic, p.judge
	plan.Samples, plan.MaxTokens, plan.Seed = p.Tries, p.Longest, p.seed+1
	plan.Betas, plan.Points, plan.ReferenceSamples = p.Betas, p.Points, p.Reference
	plan.DPO = staged(plan.DPO, p.Align)
	plan.DPO.Data, plan.DPO.Seed = pairs, p.seed
	*plan.PreferredFT = staged(*plan.PreferredFT, p.Imitate)
	plan.PreferredFT.Data, plan.PreferredFT.Seed = pairs, p.seed
	if err := showFrontier(p.ctx, plan, p.path("frontier"), p.progress); err != nil {
		return err
	}
	r.Frontier, err = report.ReadFrontier(p.path("frontier/frontier.json"))
	return err
}

// text tells what the pipeline came to.
func (r pipelineResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "demo      seed %d: %s\n", r.Seed, duration(r.Seconds))
	fmt.Fprintf(&b, "reference %.4f nats a token on held-out reviews; the grammar's entropy is %.4f, a bigram model has %.4f\n", r.Loss, r.Entropy, r.Bigram)
	fmt.Fprintf(&b, "pairs     %d, of the reference's own answers, by the critic\n\n", r.Pairs)
	b.WriteString(frontierText(r.Frontier))
	return b.String()
}

// Package dpo is the method: it trains a policy on preferences by Direct Preference Optimization (Rafailov et al. 2023,
// arXiv 2305.18290), and scores answers with the implicit reward β·(log π(y|x) − log π_ref(y|x)).
//
//	c, _ := dpo.NewConfig("paper")
//	c.Model, c.Data, c.Out = "models/llama", []string{"pairs.parquet"}, "aligned"
//	trainer, err := dpo.NewTrainer(c, tokenizer, false)
//	defer trainer.Close()
//	for event, err := range trainer.Run(ctx) {
//		// event.Metrics after each step; an error is the last
//	}
//
// [NewArtifact] exports a model's graphs, batch.go lays groups out as their inputs, [Trainer] runs steps and keeps
// checkpoints that a run resumes from to the same bits, [Scorer] computes rewards, and [Score] those of whole files, in parts
// that a job which was stopped goes on from. The same Trainer fine-tunes on answers by themselves and trains reward models: [NewObjective]
// has their settings.
package dpo

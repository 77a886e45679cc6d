package main

import (
	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/models"
)

func init() { register(newReward) }

func newReward() *cobra.Command {
	o := trainFlags{objective: dpo.Reward, initial: rewardModel}
	cmd := &cobra.Command{
		Use:   "reward",
		Short: "Train a reward model on preferences",
		Long: `reward trains r(x,y) of the Bradley-Terry model, arXiv 2305.18290, Equations 1 and 2: the backbone of a language model with a head of
one number, read at the last token. The loss is -log sigmoid(r of the chosen answer - r of the rejected one), or for rankings
--loss plackett_luce. Where --model is a language model the head is drawn from --seed, and what the run begins with is kept under run/init.

The output is a Hugging Face directory for AutoModelForSequenceClassification; score --model gives its rewards, as policy_ columns. What else
it leaves, and how it is stopped and goes on, is train's. Defaults are those of TRL's RewardTrainer in optimizer, rate, clipping and
lengths, and the DPO paper's in batch and epochs. Reinforcement learning against the reward (PPO) is not part of this program.`,
		Example: `  dpo-ort reward --model models/llama --data pairs.parquet --eval-data held-out.parquet --out reward
  dpo-ort score --model reward --data held-out.parquet --out rewards.parquet
  dpo-ort reward --resume --out reward`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTrain(cmd, o) },
	}
	f := cmd.Flags()
	o.bindSettings(f)
	f.Lookup("model").Usage = "Hugging Face directory of a language model, or of a reward model to go on with"
	f.Lookup("loss").Usage = "loss: sigmoid for pairs, plackett_luce for rankings"
	f.Lookup("seed").Usage = "seed of the data's order, and of the head"
	o.bind(f)
	return cmd
}

// rewardModel has the run begin with a reward model made of a language model.
func rewardModel(c *dpo.Config) (func(dir string) error, error) {
	if c.Model == "" {
		return nil, nil
	}
	if err := dpo.NotExported(c.Model, "a reward model is made of a Hugging Face directory"); err != nil {
		return nil, err
	}
	_, d, err := models.Describe(c.Model)
	if err != nil || d.Scalar {
		return nil, err
	}
	from := c.Model
	c.Model = c.Initial()
	return func(dir string) error { return models.WriteReward(dir, from, c.Seed) }, nil
}

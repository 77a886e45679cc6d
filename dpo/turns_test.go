package dpo

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/chat"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// talking is a tokenizer with a chat template.
type talking struct {
	*tokenizer.Tokenizer
	*chat.Renderer
}

func (t talking) Digests() (text, template string) {
	text, _ = t.Tokenizer.Digests()
	return text, t.Source
}

// withTemplate gives a model's tokenizer a chat template.
func withTemplate(t *testing.T, dir, template string) datasets.Tokenizer {
	t.Helper()
	tok := loadTokenizer(t, dir).(*tokenizer.Tokenizer)
	return talking{tok, chat.NewRenderer(template, []byte(template), tok.SpecialTokens())}
}

// trlTurns is TRL's run on all turns of the assistant.
type trlTurns struct {
	trlObjective
	template string
}

// turnsConfig trains as that run does.
func turnsConfig(t *testing.T) (c Config, run trlTurns) {
	t.Helper()
	file := golden.Testdata(t, "golden", "trl", "tiny-llama-turns.json")
	var of struct{ Settings struct{ Template string } }
	golden.JSON(t, file, &run.trlObjective)
	golden.JSON(t, file, &of)
	c, run.template = aimed(t, Likelihood), of.Settings.Template
	s := run.Settings
	c.Data, c.EvalData, c.On, c.AssistantTurns = []string{golden.Testdata(t, "pref", "tiny.talks.jsonl")}, nil, onCompletion, "all"
	c.LR, c.MaxGradNorm, c.Schedule, c.Batch, c.Steps, c.NoShuffle, c.MaxLength = s.LR, s.MaxGradNorm, "constant", s.Batch, len(run.Steps), true, s.MaxLength
	c.MaxPromptLength = s.MaxLength / 2 // which says nothing where the start is kept
	return c, run
}

// Ten steps on all turns of the assistant stay with those of TRL's SFTTrainer with assistant_only_loss, whose rows are cut in the middle of
// turns and between them: the loss within 1e-4, the gradient's norm within 1e-3 relative. A run that is stopped and goes on has the
// same bits, and one that is to learn other turns does not go on.
func TestTurnsFollowTRL(t *testing.T) {
	c, run := turnsConfig(t)
	tok := withTemplate(t, c.Model, run.template)
	whole, s, err := trainWith(c, tok, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var loss, norm float64
	for i, m := range whole {
		want := run.Steps[i]
		loss, norm = math.Max(loss, math.Abs(m.Loss-want.Loss)), math.Max(norm, math.Abs(m.GradNorm/want.GradNorm-1))
		if m.NumTokens != int64(want.NumTokens) || m.RowsDropped != 0 {
			t.Errorf("step %d: %d tokens, %d rows dropped; TRL has %v, none", i+1, m.NumTokens, m.RowsDropped, want.NumTokens)
		}
	}
	first, last := run.Steps[0].Loss, run.Steps[len(run.Steps)-1].Loss
	t.Logf("loss %.4f to %.4f; apart by %.1e at most, the norm by %.1e; %d rows cut", first, last, loss, norm, s.Last.RowsTruncated)
	if !(loss <= 1e-4 && norm <= 1e-3) || last > 0.9*first || s.Last.RowsTruncated < 5 {
		t.Errorf("loss apart by %.2e at most (bar 1e-4), norm by %.2e (1e-3); TRL's loss %v to %v, %d rows cut", loss, norm, first, last, s.Last.RowsTruncated)
	}

	c.Out = t.TempDir() + "/out"
	begun, _, err := trainWith(c, tok, false, func(step int) bool { return step == 4 })
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("stopped: %v", err)
	}
	other := c
	other.AssistantTurns = ""
	if _, _, err := trainWith(other, tok, true, nil); err == nil || !strings.Contains(err.Error(), "assistant-turns") {
		t.Errorf("going on with the last turns: %v", err)
	}
	rest, _, err := trainWith(c, tok, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range slices.Concat(begun, rest) {
		if m.Loss != whole[i].Loss || m.GradNorm != whole[i].GradNorm {
			t.Errorf("step %d of a run that was stopped: loss %v, norm %v; at once %v, %v", i+1, m.Loss, m.GradNorm, whole[i].Loss, whole[i].GradNorm)
		}
	}
}

// All turns at once are each turn by itself, after all that was said before it: the loss is the same, of held-out rows and of a step, in
// micro-batches or one, and the tokens that a step counts are those that are computed.
func TestAllTurnsAreEachTurn(t *testing.T) {
	const template = "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token + '\n' }}{% endgeneration %}" +
		"{% else %} {{ m.content + '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
	text, err := os.ReadFile(golden.Testdata(t, "pref", "tiny.talks.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var talks, each []string
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[:8] {
		var row struct{ Messages []datasets.Message }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		talks = append(talks, line)
		for i, m := range row.Messages {
			if m.Role == "assistant" {
				var said []json.RawMessage
				for _, m := range row.Messages[:i+1] {
					said = append(said, m.JSON())
				}
				line, err := json.Marshal(map[string]any{"messages": said})
				if err != nil {
					t.Fatal(err)
				}
				each = append(each, string(line))
			}
		}
	}
	run := func(turns string, micro int, rows ...string) (held, step float64, tokens int64) {
		c := aimed(t, Likelihood)
		c.Data, c.On, c.AssistantTurns = []string{writeLines(t, rows...)}, onCompletion, turns
		c.EvalData, c.Batch, c.Steps, c.MicroBatch, c.MaxGradNorm = c.Data, len(rows), 1, micro, 0
		m, s, err := trainWith(c, withTemplate(t, c.Model, template), false, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.FirstEvaluation.Loss, m[0].Loss, m[0].NumTokens
	}
	heldEach, stepEach, tokensEach := run("last", 0, each...)
	for _, micro := range []int{0, 1, 3} {
		held, step, tokens := run("all", micro, talks...)
		if math.Abs(held-heldEach) > 2e-6*heldEach || math.Abs(step-stepEach) > 2e-6*stepEach || tokens >= tokensEach {
			t.Errorf("micro-batches of %d: held-out loss %v, a step's %v, %d tokens; of each turn by itself %v, %v, %d", micro, held, step, tokens, heldEach, stepEach, tokensEach)
		}
	}
	if held, _, _ := run("last", 0, talks...); math.Abs(held-heldEach) < 1e-3 {
		t.Errorf("the last turns alone have the loss %v of all, so this tells nothing", held)
	}
}

// The rows that a batch predicts from are those before scored tokens, and what is weighed or counted of a completion are these.
func TestGapsInABatch(t *testing.T) {
	c := aimed(t, Likelihood)
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	x := datasets.Example{Prompt: []int32{5, 6}, Completions: []datasets.Completion{{IDs: []int32{7, 8, 9, 10, 11, 12}, Gaps: [][2]int{{1, 3}, {5, 6}}}}}
	y := datasets.Example{Completions: []datasets.Completion{{IDs: []int32{7, 8, 9, 10}, Start: 1, Gaps: [][2]int{{2, 3}}}}}
	b := trainer.policy.batch([]datasets.Example{x, y})
	if !slices.Equal(b.Targets, []int64{7, 10, 11, 8, 10}) || !slices.Equal(b.Sequence, []int64{0, 0, 0, 1, 1}) || b.Sizes["R"] != 5 || scored(x, 0) != 3 || scored(y, 0) != 2 {
		t.Errorf("targets %v of %v, %d rows; %d and %d scored", b.Targets, b.Sequence, b.Sizes["R"], scored(x, 0), scored(y, 0))
	}
	if shape := shapeOf([]datasets.Example{x, y}, longRows); shape.R != 5 || shape.T != int(b.Sizes["T"]) {
		t.Errorf("planned %d rows of %d tokens, there are %d of %d", shape.R, shape.T, b.Sizes["R"], b.Sizes["T"])
	}
}

// The cache gives back which tokens are scored, and the digest of rows tells that apart.
func TestCachedGaps(t *testing.T) {
	c, run := turnsConfig(t)
	enc, cache := c.encoder(withTemplate(t, c.Model, run.template)), t.TempDir()
	plain := readRows(t, c.Data, enc, "")
	readRows(t, c.Data, enc, cache)
	warm := newEntry(cache, c.Data, datasets.Options{}, enc, tinyVocabulary).load()
	if !reflect.DeepEqual(warm, plain) || warm.digest() != plain.digest() {
		t.Fatal("rows out of the cache differ from those that were tokenized")
	}
	gaps := warm.Examples[1].Completions[0].Gaps
	if len(gaps) < 2 {
		t.Fatalf("a conversation of two turns has the gaps %v", gaps)
	}
	if gaps[0][1]--; warm.digest() == plain.digest() {
		t.Error("the digest does not tell what is scored")
	}
	for what, gaps := range map[string][][2]int{"in no order": {{5, 6}, {3, 4}}, "empty": {{3, 3}}, "turned": {{4, 3}}, "beyond": {{3, 1 << 20}}, "at the start": {{0, 2}}} {
		x := plain.Examples[1]
		x.Completions = slices.Clone(x.Completions)
		if !sound(x, tinyVocabulary) {
			t.Fatal("a sound row is not")
		}
		if x.Completions[0].Gaps = gaps; sound(x, tinyVocabulary) {
			t.Errorf("gaps %s are taken for sound", what)
		}
	}
}

// A template that leaves the end of a turn outside of its marks is warned of, once, and one that has it within is not.
func TestUnlearntEnds(t *testing.T) {
	c, run := turnsConfig(t)
	outside := strings.Replace(run.template, "{{ m.content + eos_token }}{% endgeneration %}", "{{ m.content }}{% endgeneration %}{{ eos_token }}", 1)
	for template, want := range map[string]bool{run.template: false, outside: true} {
		for _, streamed := range []bool{true, false} {
			c.NoShuffle = streamed
			trainer, err := NewTrainer(c, withTemplate(t, c.Model, template), false)
			if err != nil {
				t.Fatal(err)
			}
			warned := slices.ContainsFunc(trainer.warnings, func(w datasets.Warning) bool {
				return w.Name == "unlearnt-ends" && strings.Contains(w.What, "</s> follows")
			})
			if warned != want || len(trainer.warnings) > 1 {
				t.Errorf("%s: warnings %v", template, trainer.warnings)
			}
			trainer.Close()
		}
	}
}

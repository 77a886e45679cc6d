package dpo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Answer is an answer to be judged.
type Answer struct {
	Prompt, Completion datasets.Text

	File   string         // that holds it
	Row    int64          // in File, from 0
	K      int            // its place in the row's list, from 0
	Finish string         // why it ended: "stop" or "length"; "" where that is not known
	Values map[string]any // of the row's columns that JudgeColumns names, as datasets.Row.Value has them
}

// place names an answer in an error.
func (a Answer) place() string { return fmt.Sprintf("answer %d of row %d of %s", a.K, a.Row, a.File) }

// A Judge gives each answer a reward.
type Judge interface {
	// Judge scores answers in their order; higher is better. With an *UnjudgedError all scores hold but those of the answers that it
	// names; with any other error there are scores of the first answers only, as far as they had come.
	Judge(ctx context.Context, answers []Answer) ([]float64, error)
	Close() error
}

// UnjudgedError is of answers that could not be judged, where others were.
type UnjudgedError struct {
	Answers map[int]error // why, by the answer's place among those given
}

func (e *UnjudgedError) Error() string {
	first := slices.Min(slices.Collect(maps.Keys(e.Answers)))
	return fmt.Sprintf("%d answers could not be judged, the first: %v", len(e.Answers), e.Answers[first])
}

// unjudged is the error of answers that could not be judged; nil where there is none.
func unjudged(answers map[int]error) error {
	if len(answers) == 0 {
		return nil
	}
	return &UnjudgedError{answers}
}

// JudgeOptions are the settings of judges. Each kind takes those that concern it.
type JudgeOptions struct {
	Timeout  time.Duration // of a program, for one answer; 0 is a minute
	Restarts int           // of a program, for one answer at which it ends or hangs
	Columns  []string      // of the row, sent to a program with each answer
	PerToken bool          // takes log-likelihood by the token
	// Score has the settings of judges that are models: all but Model and Ref. Empty ones are score's defaults.
	Score ScoreConfig
	// Tokenizer opens the tokenizer of a model's directory. One that is an io.Closer is closed with the judge.
	Tokenizer func(dir string) (datasets.Tokenizer, error)
}

// judgeKind is a row of the table of judges.
type judgeKind struct {
	form string // how it is written, such as "regex:FILE"; "[…]" may be left out
	says string // what it rewards, in a line
	open func(arg string, o JudgeOptions) (Judge, error)
}

var judges = map[string]judgeKind{}

// registerJudge adds a kind of judge. Each judge's file calls it from init.
func registerJudge(name string, k judgeKind) { judges[name] = k }

// RegisterJudge adds a kind of judge of the caller's own: score gives an answer's reward, which depends on nothing but the answer and what
// digest stands for.
func RegisterJudge(name, says, digest string, score func(Answer) (float64, error)) {
	registerJudge(name, judgeKind{form: name, says: says, open: func(string, JudgeOptions) (Judge, error) {
		return &eachJudge{score: score, digest: digest}, nil
	}})
}

// JudgesText says what each judge rewards, a line a judge.
func JudgesText() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(judges)) {
		fmt.Fprintf(&b, "  %-22s %s\n", judges[name].form, judges[name].says)
	}
	return b.String()
}

// OpenJudge opens a judge by its name and, behind a colon, what it needs: "length", "lexicon:words.tsv". JudgesText lists them.
func OpenJudge(spec string, o JudgeOptions) (Judge, error) {
	name, arg, _ := strings.Cut(spec, ":")
	k, known := judges[name]
	if !known {
		return nil, OneOf("reward", name, slices.Sorted(maps.Keys(judges)))
	}
	if takes, given := strings.Contains(k.form, ":"), arg != ""; !takes && given || takes && !given && !strings.Contains(k.form, "[:") {
		return nil, Usage("reward %q: it is written %s", spec, k.form)
	}
	j, err := k.open(arg, o)
	if err != nil {
		return nil, fmt.Errorf("reward %s: %w", spec, err)
	}
	return j, nil
}

// JudgeColumns names the columns whose values a Judge, or a Contest, reads from Answer.Values.
func JudgeColumns(of any) []string {
	if c, ok := of.(interface{ columns() []string }); ok {
		return c.columns()
	}
	return nil
}

// judgeIdentity is what the scores of a Judge, or of a Contest, depend on beside its spec, as JSON has it; nil where that is nothing.
func judgeIdentity(of any) (any, error) {
	if d, ok := of.(interface{ identity() (any, error) }); ok {
		return d.identity()
	}
	return nil, nil
}

// eachJudge is a Judge of a function that scores one answer by itself.
type eachJudge struct {
	score  func(Answer) (float64, error)
	reads  []string     // columns
	digest string       // of what it depends on
	close  func() error // nil: nothing is to be closed
}

func (j *eachJudge) columns() []string      { return j.reads }
func (j *eachJudge) identity() (any, error) { return j.digest, nil }

// Close closes what the judge was opened with.
func (j *eachJudge) Close() error {
	if j.close == nil {
		return nil
	}
	return j.close()
}

// Judge scores the answers one by one.
func (j *eachJudge) Judge(ctx context.Context, answers []Answer) ([]float64, error) {
	scores, failed := make([]float64, len(answers)), map[int]error{}
	for i, a := range answers {
		if ctx.Err() != nil {
			return scores[:i], ErrInterrupted
		}
		var err error
		if scores[i], err = j.score(a); err != nil {
			failed[i] = err
		}
	}
	return scores, unjudged(failed)
}

// tokenizer opens the tokenizer of a model.
func (o JudgeOptions) tokenizer(dir string) (datasets.Tokenizer, error) {
	if o.Tokenizer == nil {
		return nil, errors.New("judges that are models need JudgeOptions.Tokenizer")
	}
	return o.Tokenizer(dir)
}

// closeTokenizer closes what JudgeOptions.Tokenizer opened.
func closeTokenizer(tok datasets.Tokenizer) error {
	if c, ok := tok.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// textOf is a text as one string: of messages their contents, a line each.
func textOf(t datasets.Text) string {
	contents := make([]string, len(t.Messages))
	for i, m := range t.Messages {
		contents[i] = m.Content
	}
	return cmp.Or(t.String, strings.Join(contents, "\n"))
}

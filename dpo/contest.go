package dpo

import (
	"context"
	"errors"
	"strings"
)

// Match are two answers to one prompt.
type Match struct{ A, B Answer }

// A Contest tells which of two answers is better.
type Contest interface {
	// Contest gives for each match, in their order, the share of A: 1 where it wins, 0 where B does, ½ of a tie. Its errors are as
	// those of Judge.
	Contest(ctx context.Context, matches []Match) ([]float64, error)
	Close() error
}

// compare is the name of the contest that a program decides.
const compare = "compare"

// OpenContest opens "compare:PROGRAM", or a judge by its name, whose higher score wins.
//
// The program gets a line of JSON {prompt, a, b, id} for each match and replies with {"winner": "a"}, "b" or "tie", or with the share of a
// from 0 to 1. It is asked twice, the second time with a and b swapped, and the mean counts: one that prefers whatever comes
// first decides nothing.
func OpenContest(spec string, o JudgeOptions) (Contest, error) {
	name, command, _ := strings.Cut(spec, ":")
	if name != compare {
		j, err := OpenJudge(spec, o)
		if err != nil {
			return nil, err
		}
		return ByScore(j), nil
	}
	if command == "" {
		return nil, Usage("%s needs a program: compare:PROGRAM", compare)
	}
	return &programContest{newProgram(command, o), o.Columns}, nil
}

// ByScore is the contest in which the higher score of a judge wins. Closing it closes the judge.
func ByScore(j Judge) Contest { return &scoreContest{j} }

type scoreContest struct{ Judge }

func (c *scoreContest) columns() []string      { return JudgeColumns(c.Judge) }
func (c *scoreContest) identity() (any, error) { return judgeIdentity(c.Judge) }

// Contest scores all answers, then compares them.
func (c *scoreContest) Contest(ctx context.Context, matches []Match) ([]float64, error) {
	answers := make([]Answer, 0, 2*len(matches))
	for _, m := range matches {
		answers = append(answers, m.A, m.B)
	}
	scores, err := c.Judge.Judge(ctx, answers)
	out := make([]float64, len(scores)/2)
	for i := range out {
		switch a, b := scores[2*i], scores[2*i+1]; {
		case a > b:
			out[i] = 1
		case a == b:
			out[i] = 0.5
		}
	}
	return out, halved(err)
}

// halved names matches where an error names their answers.
func halved(err error) error {
	var some *UnjudgedError
	if !errors.As(err, &some) {
		return err
	}
	failed := map[int]error{}
	for i, why := range some.Answers {
		failed[i/2] = why
	}
	return unjudged(failed)
}

// programContest asks a program.
type programContest struct {
	program *program
	reads   []string
}

func (c *programContest) columns() []string { return c.reads }

// Contest asks about each match and its reverse, one after the other.
func (c *programContest) Contest(ctx context.Context, matches []Match) ([]float64, error) {
	questions := make([]map[string]any, 0, 2*len(matches))
	for _, m := range matches {
		for _, q := range [][2]Answer{{m.A, m.B}, {m.B, m.A}} {
			question := map[string]any{"prompt": jsonText(m.A.Prompt), "a": jsonText(q[0].Completion), "b": jsonText(q[1].Completion)}
			for _, name := range c.reads {
				question[name] = m.A.Values[name]
			}
			questions = append(questions, question)
		}
	}
	where := func(i int) string { return matches[i/2].A.place() + " against " + matches[i/2].B.place() }
	shares, err := c.program.ask(ctx, questions, where, readWinner)
	out := make([]float64, len(shares)/2)
	for i := range out {
		out[i] = (shares[2*i] + 1 - shares[2*i+1]) / 2
	}
	return out, halved(err)
}

// Close ends the program.
func (c *programContest) Close() error {
	c.program.close()
	return nil
}

// readWinner reads the share of a: a number, or the winner of an object.
func readWinner(reply any) (float64, error) {
	if o, ok := reply.(map[string]any); ok {
		reply = o["winner"]
	}
	switch v := reply.(type) {
	case float64:
		if v >= 0 && v <= 1 {
			return v, nil
		}
	case string:
		if share, ok := map[string]float64{"a": 1, "b": 0, "tie": 0.5}[v]; ok {
			return share, nil
		}
	}
	return 0, errors.New(`{"winner": "a", "b" or "tie"}, a number from 0 to 1, or {"error": text} is needed`)
}

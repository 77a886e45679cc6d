package datasets

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// The answer with more votes comes first, and the share of those for the other is kept; a tie is half a vote for each.
func TestVotes(t *testing.T) {
	for votes, want := range map[string]string{
		`[1,1,1]`:                  "a b 0.000",
		`[2,2,1]`:                  "b a 0.333",
		`[0,1,1]`:                  "a b 0.167",
		`[0,0,2]`:                  "b a 0.333",
		`[0,0,0]`:                  "a b 0.500",
		`[1,2]`:                    "a b 0.500",
		`["b","tie","b","a"]`:      "b a 0.375",
		`{"a":1,"b":3}`:            "b a 0.250",
		`{"a":2,"b":0,"tie":2}`:    "a b 0.250",
		`{"a":null,"b":4,"tie":0}`: "b a 0.000",
	} {
		g := readAll(t, write(t, "a.jsonl", `{"prompt":"p","a":"a","b":"b","votes":`+votes+`,"ref_logps":[-1,-2],"label":"a"}`))[0]
		if got := fmt.Sprintf("%s %.3f", strings.Join(answers(g), " "), g.Dissent); got != want {
			t.Errorf("%s: %s, want %s", votes, got, want)
		}
		if first := answers(g)[0] == "a"; (g.Ref[0] == -1) != first || (g.Order == nil) != first {
			t.Errorf("%s: reference %v, order %v", votes, g.Ref, g.Order)
		}
	}
}

// Votes in Parquet: a list of integers, and a struct of counts.
func TestVotesInParquet(t *testing.T) {
	type listed struct {
		Prompt string  `parquet:"prompt"`
		A      string  `parquet:"a"`
		B      string  `parquet:"b"`
		Votes  []int32 `parquet:"votes,list"`
	}
	type counted struct {
		Prompt string `parquet:"prompt"`
		A      string `parquet:"a"`
		B      string `parquet:"b"`
		Votes  struct {
			A   int64 `parquet:"a"`
			B   int64 `parquet:"b"`
			Tie int64 `parquet:"tie"`
		} `parquet:"votes"`
	}
	of := counted{Prompt: "p", A: "a", B: "b"}
	of.Votes.A, of.Votes.B, of.Votes.Tie = 1, 2, 1
	for _, path := range []string{writeParquet(t, []listed{{"p", "a", "b", []int32{2, 0, 1, 2}}}, 1), writeParquet(t, []counted{of}, 1)} {
		if g := readAll(t, path)[0]; g.Dissent != 0.375 || answers(g)[0] != "b" {
			t.Errorf("%s: %+v", path, g)
		}
	}
}

func TestVotesThatAreNone(t *testing.T) {
	for votes, want := range map[string]string{
		`[1,3]`:              "column votes holds a list with 3: needed is a list of votes, each 1 or a, 2 or b, 0 or tie, or an object with their counts: a, b, tie",
		`["a","c"]`:          `column votes holds a list with "c": needed`,
		`[]`:                 "column votes holds no vote",
		`null`:               "column votes holds null",
		`{"a":1,"c":1}`:      "column votes holds a number of c",
		`{"a":-1}`:           "column votes holds a number of a",
		`{"a":"one"}`:        "column votes holds a string of a",
		`{"a":0,"tie":null}`: "column votes holds no vote",
		`3`:                  "column votes holds a number",
	} {
		_, err := tryAll(write(t, "a.jsonl", `{"prompt":"p","a":"a","b":"b","votes":`+votes+`}`))
		if err == nil || !strings.Contains(err.Error(), "a.jsonl:1: "+want) {
			t.Errorf("%s: error %v, want %s", votes, err, want)
		}
	}
	_, err := tryAll(write(t, "a.jsonl", `{"prompt":"p","chosen":"c","rejected":"r","chosen_share":1.5}`))
	if err == nil || !strings.Contains(err.Error(), "column chosen_share holds 1.5: the share of votes for chosen is needed, from 0 to 1") {
		t.Errorf("a share of 1.5: %v", err)
	}
	if g := readAll(t, write(t, "a.jsonl", `{"prompt":"p","chosen":"c","rejected":"r","chosen_share":0.75}`))[0]; g.Dissent != 0.25 {
		t.Errorf("dissent %v", g.Dissent)
	}
}

// The 999 judgements by people that PandaLM has: six have an answer that is no text, 85 have votes for neither, and 116 more are divided.
func TestVotesOfPeople(t *testing.T) {
	path := golden.Shared(t, "pref/pandalm-human-999.votes.jsonl")
	in := inspect(t, &Encoder{Ties: TiesAverage}, path)
	if in.Rows != 999 || in.Kind != Ranked || in.Broken != 6 || in.Even != 85 || in.Voted != 85+116 {
		t.Errorf("%+v", in)
	}
	for g, err := range Read([]string{path}, Options{}) {
		if err == nil && (g.Dissent > 0.5 || g.Dissent < 0) {
			t.Errorf("row %d: dissent %v", g.Row, g.Dissent)
		}
	}
}

// Ranks that are null stand last whatever the order, and scores that are null too; places say who is tied.
func TestPartialRankings(t *testing.T) {
	for row, want := range map[string]string{
		`"ranks":[null,2,1,null]`:                "c b a d [0 1 -1 -1]",
		`"ranks":[3,2,1,null]`:                   "c b a d []",
		`"ranks":[2,2,1,2]`:                      "c a b d [0 1 1 1]",
		`"scores":[null,-2,5,-2]`:                "c b d a [0 1 1 -1]",
		`"scores":[4,3,2,1]`:                     "a b c d []",
		`"ranks":[null,null,null,1]`:             "d a b c [0 -1 -1 -1]",
		`"ranks":[1,1,1,1],"scores":[1,2,3,4]`:   "a b c d [0 0 0 0]",
		`"ranks":[null,null,null,null]`:          "a b c d [-1 -1 -1 -1]",
		`"ranks":null,"scores":[1,null,null,-1]`: "a d b c [0 1 -1 -1]",
	} {
		g := readAll(t, write(t, "a.jsonl", `{"prompt":"p","completions":["a","b","c","d"],`+row+`}`))[0]
		if got := fmt.Sprint(strings.Join(answers(g), " "), " ", g.places()); got != want {
			t.Errorf("%s: %s, want %s", row, got, want)
		}
	}
}

// For training, answers without a score are left out with all that goes with them, and rows are dropped that compare nothing; for
// scoring all stay.
func TestWhatIsCompared(t *testing.T) {
	for _, c := range []struct {
		row  string
		ties TiePolicy
		want string
	}{
		{`"scores":[null,1,null,2]`, "", "d b a c [3 1 0 2] [-4 -2 -1 -3] [0]"},
		{`"scores":[null,1,null,2]`, TiesAverage, "d b [3 1] [-4 -2] [0]"},
		{`"scores":[3,1,null,2]`, TiesDrop, "a d b [0 3 1] [-1 -4 -2] [1]"},
		{`"ranks":[null,1,null,2]`, TiesDrop, "b d a c [1 3 0 2] [-2 -4 -1 -3] [1]"},
		{`"scores":[null,1,null,null]`, TiesAverage, DropUncompared},
		{`"ranks":[null,null,null,null]`, TiesAverage, DropUnranked},
		{`"scores":[1,1,null,1]`, TiesDrop, DropTied},
		{`"scores":[1,1,1,1]`, TiesAverage, "a b c d [] [-1 -2 -3 -4] [3]"},
		{`"ranks":[1,1,null,1]`, TiesDrop, "a b d c [0 1 3 2] [-1 -2 -4 -3] [2]"},
	} {
		g := readAll(t, write(t, "a.jsonl", `{"prompt":"p","completions":["a","b","c","d"],"ref_logps":[-1,-2,-3,-4],`+
			`"finish_reasons":["stop","stop","stop","length"],`+c.row+`}`))[0]
		kept, reason := (&Encoder{Ties: c.ties}).compared(g)
		var cut []int
		for i, is := range kept.Cut {
			if is {
				cut = append(cut, i)
			}
		}
		got := fmt.Sprint(strings.Join(answers(kept), " "), " ", kept.Order, " ", kept.Ref, " ", cut)
		if reason != "" {
			got = reason
		}
		if got != c.want {
			t.Errorf("%s, ties %q: %s, want %s", c.row, c.ties, got, c.want)
		}
		if n := len(kept.Completions); kept.Scores != nil && reason == "" && c.ties != "" && (len(kept.Scores) != n || len(kept.Cut) != n || slices.ContainsFunc(kept.Scores, math.IsNaN)) {
			t.Errorf("%s: scores %v", c.row, kept.Scores)
		}
	}
}

// The first answer alone is the best there is, whatever it is tied with; one that nobody ranked is not.
func TestFirstIsTheBest(t *testing.T) {
	for row, want := range map[string]string{
		`"completions":["a","b"],"scores":[2,2]`:          "a 0 []",
		`"completions":["a","b"],"ranks":[null,1]`:        "b 0 []",
		`"completions":["","b"],"scores":[null,1]`:        "b 0 []",
		`"a":"a","b":"b","votes":[1,2,2]`:                 "b 0 []",
		`"completions":["a","b"],"scores":[null,null]`:    DropUnranked,
		`"completions":["a","a"],"ranks":[1,2]`:           "a 0 []",
		`"chosen":"a","rejected":"b","chosen_share":0.25`: "a 0 []",
	} {
		g := readAll(t, write(t, "a.jsonl", `{"prompt":"p",`+row+`}`))[0]
		g, got := (&Encoder{First: true, Ties: TiesDrop}).usable(g)
		if got == "" {
			got = fmt.Sprint(strings.Join(answers(g), " "), " ", g.Dissent, " ", g.places())
		}
		if got != want {
			t.Errorf("%s: %s, want %s", row, got, want)
		}
	}
}

// What is tied is what the data calls equal, and what it says nothing of.
func TestTied(t *testing.T) {
	for row, want := range map[string]string{
		`"completions":["a","b","c"],"ranks":[1,1,2]`:       "ab",
		`"completions":["a","b","c"],"ranks":[null,1,null]`: "ac",
		`"completions":["a","b","c"],"scores":[3,null,1]`:   "ab cb",
		`"completions":["a","b","c"],"scores":[3,1,1]`:      "bc",
		`"a":"a","b":"b","votes":[1,2]`:                     "ab",
		`"a":"a","b":"b","votes":[1,2,2]`:                   "",
		`"chosen":"a","rejected":"b"`:                       "",
	} {
		g := readAll(t, write(t, "a.jsonl", `{"prompt":"p",`+row+`}`))[0]
		var got []string
		for i, a := range g.Completions {
			for k := i + 1; k < len(g.Completions); k++ {
				if g.Tied(i, k) {
					got = append(got, a.String+g.Completions[k].String)
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", row, got, want)
		}
	}
}

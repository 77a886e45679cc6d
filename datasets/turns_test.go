package datasets

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// saidLines are the parts of what turns writes that the assistant says, with their end.
func saidLines(text string) (said [][2]int) {
	for _, m := range regexp.MustCompile(`\[assistant\]([^\n]*\n)`).FindAllStringSubmatchIndex(text, -1) {
		said = append(said, [2]int{m[2], m[3]})
	}
	return said
}

// scoredText shows an example of byteTokens: what is not scored in parentheses, and the prompt before a bar.
func scoredText(x Example) string {
	var b strings.Builder
	for _, id := range x.Prompt {
		b.WriteByte(byte(id))
	}
	b.WriteByte('|')
	for _, c := range x.Completions {
		open := false
		for i, id := range c.IDs {
			if silent := !c.Scores(i); silent != open {
				b.WriteByte("()"[map[bool]int{true: 0, false: 1}[silent]])
				open = silent
			}
			b.WriteByte(byte(id))
		}
		if open {
			b.WriteByte(')')
		}
	}
	return b.String()
}

// TestAllTurns holds what is scored of conversations where all turns of the assistant are: of a row that is one conversation all of them, of a
// prompt and an answer those of the answer; what truncation leaves of them; and what is dropped or refused.
func TestAllTurns(t *testing.T) {
	say := func(role, s string) Message { return Message{Role: role, Content: s} }
	user, hi, bye := say("user", "u"), say("assistant", "hi"), say("assistant", "bye")
	talk := func(m ...Message) Group {
		last := len(m) - 1
		return Group{Talk: true, Prompt: Text{Messages: m[:last]}, Completions: []Text{{Messages: m[last:]}}, File: "f", Row: 7}
	}
	answered := func(prompt, answer []Message) Group {
		return Group{Prompt: Text{Messages: prompt}, Completions: []Text{{Messages: answer}}, File: "f", Row: 7}
	}
	four := talk(user, hi, user, bye)
	for name, c := range map[string]struct {
		g         Group
		length    int
		keepStart bool
		want, err string
	}{
		"a conversation":               {four, 0, false, "[user]u<e>\n[assistant]|hi<e>\n([user]u<e>\n[assistant])bye<e>\n", ""},
		"one turn":                     {talk(user, bye), 0, false, "[user]u<e>\n[assistant]|bye<e>\n", ""},
		"the assistant begins":         {talk(hi, user, bye), 0, false, "[assistant]|hi<e>\n([user]u<e>\n[assistant])bye<e>\n", ""},
		"a special token as text":      {talk(say("user", "<e>"), say("assistant", "a<e>b"), user, bye), 0, false, "[user]<e><e>\n[assistant]|a<e>b<e>\n([user]u<e>\n[assistant])bye<e>\n", ""},
		"of the answer alone":          {answered([]Message{user, hi, user}, []Message{bye}), 0, false, "[user]u<e>\n[assistant]hi<e>\n[user]u<e>\n[assistant]|bye<e>\n", ""},
		"an answer of turns":           {answered([]Message{user}, []Message{hi, user, bye}), 0, false, "[user]u<e>\n[assistant]|hi<e>\n([user]u<e>\n[assistant])bye<e>\n", ""},
		"the answer begins with user":  {answered([]Message{hi}, []Message{user, bye}), 0, false, "[assistant]hi<e>\n[user]u<e>\n[assistant]|bye<e>\n", ""},
		"the answer ends with user":    {answered([]Message{user}, []Message{hi, user}), 0, false, "[user]u<e>\n[assistant]|hi<e>\n([user]u<e>\n)", ""},
		"cut within the last turn":     {four, 51, true, "[user]u<e>\n[assistant]|hi<e>\n([user]u<e>\n[assistant])b", ""},
		"cut between turns":            {four, 38, true, "[user]u<e>\n[assistant]|hi<e>\n([user]u<e>)", ""},
		"cut where a turn ends":        {four, 28, true, "[user]u<e>\n[assistant]|hi<e>\n", ""},
		"its prompt cut from the left": {four, 49, false, "]u<e>\n[assistant]|hi<e>\n([user]u<e>\n[assistant])bye<", ""},
		"cut before any":               {four, 22, true, "", "f: row 7: prompt fills max length"},
		"an answer without assistant":  {answered([]Message{user, hi}, []Message{user}), 0, false, "", "f: row 7: no assistant turn to score"},
		"strings":                      {Group{Prompt: Text{String: "a"}, Completions: []Text{{String: "b"}}, File: "f", Row: 7}, 0, false, "", "f: row 7: it is no conversation"},
	} {
		e := &Encoder{Tokenizer: chattyTokens{write: turns, said: saidLines}, Turns: TurnsAll, MaxLength: c.length, KeepStart: c.keepStart, MaxPromptLength: 17}
		x, err := e.Encode(c.g)
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		if got := scoredText(x); err != nil || got != c.want || !x.Completions[0].Sound() || x.Truncated != (c.length > 0) {
			t.Errorf("%s: %s, %v, truncated %v; want %s", name, got, err, x.Truncated, c.want)
		}
		if got, want := x.Completions[0].Scored(), strings.Count(mask(x), "1"); got != want {
			t.Errorf("%s: %d tokens counted, %d scored", name, got, want)
		}
	}
	// What the template writes otherwise once it is answered does no harm here: it is written once.
	dots := func(c Conversation) (string, error) {
		s, err := turns(c)
		return strings.Repeat("!", len(c.Messages)) + s, err
	}
	x, err := (&Encoder{Tokenizer: chattyTokens{write: dots, said: saidLines}, Turns: TurnsAll}).Encode(four)
	if got := scoredText(x); err != nil || got != "!!!![user]u<e>\n[assistant]|hi<e>\n([user]u<e>\n[assistant])bye<e>\n" {
		t.Errorf("%s, %v", got, err)
	}
	_, err = (&Encoder{Tokenizer: chattyTokens{write: turns}, Turns: TurnsAll}).Encode(four)
	var row *RowError
	if !errors.Is(err, errUnmarked) || errors.As(err, &row) || !strings.Contains(err.Error(), "row 7 of f") {
		t.Errorf("a template without marks: %v", err)
	}
}

func mask(x Example) string {
	var b strings.Builder
	for _, c := range x.Completions {
		for i := range c.IDs {
			b.WriteByte("01"[map[bool]int{true: 1}[c.Scores(i)]])
		}
	}
	return b.String()
}

// TestGaps holds that a token counts to the parts that it touches, of a character of several tokens all.
func TestGaps(t *testing.T) {
	for name, c := range map[string]struct {
		ends  []int
		begin int
		said  [][2]int
		want  [][2]int
	}{
		"all":                             {[]int{1, 2, 3}, 0, nil, nil},
		"between":                         {[]int{1, 2, 3, 4, 5}, 0, [][2]int{{0, 1}, {3, 4}}, [][2]int{{1, 3}, {4, 5}}},
		"tokens that span borders":        {[]int{2, 4, 6, 8}, 0, [][2]int{{1, 2}, {5, 7}}, [][2]int{{1, 2}}},
		"a character of three tokens":     {[]int{1, 5, 5, 5, 6}, 0, [][2]int{{0, 1}, {5, 6}}, [][2]int{{1, 4}}},
		"a part that ends with such":      {[]int{1, 5, 5, 5, 6}, 0, [][2]int{{0, 5}}, [][2]int{{4, 5}}},
		"parts that follow on each other": {[]int{1, 2, 3}, 0, [][2]int{{0, 1}, {1, 2}}, [][2]int{{2, 3}}},
	} {
		if got := gapsOf(c.ends, c.begin, c.said); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestCutCompletions holds, of drawn gaps, that cutting a completion or beginning it later changes what is scored as taking tokens away does,
// and leaves it sound.
func TestCutCompletions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scored := rapid.SliceOfN(rapid.Bool(), 2, 12).Draw(t, "scored")
		scored[0] = true
		c := Completion{IDs: make([]int32, len(scored))}
		for i, is := range scored {
			switch n := len(c.Gaps); {
			case is:
			case n > 0 && c.Gaps[n-1][1] == i:
				c.Gaps[n-1][1]++
			default:
				c.Gaps = append(c.Gaps, [2]int{i, i + 1})
			}
		}
		n, start := rapid.IntRange(1, len(scored)).Draw(t, "kept"), rapid.IntRange(0, 3).Draw(t, "start")
		c.cutTo(n)
		c.beginAt(start)
		count := 0
		for i := range c.IDs {
			want := scored[i] && i >= start
			if c.Scores(i) != want {
				t.Fatalf("token %d of %v cut to %d from %d: scored %v", i, scored, n, start, c.Scores(i))
			}
			if want {
				count++
			}
		}
		if c.Scored() != count || c.Start < len(c.IDs) && !c.Sound() {
			t.Fatalf("%v cut to %d from %d: %+v counts %d", scored, n, start, c, c.Scored())
		}
	})
}

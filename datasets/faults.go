package datasets

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A fault is something in data that a survey can tell of before any training. look says what was seen, "" where it was not.
type fault struct {
	name string
	look func(*Survey) (what, hint string)
}

// faults are all that are known. A row here is all that another one takes, and cases for it in the tests.
var faults = []fault{
	{"refused-rows", refusedRows},
	{"columns-aside", columnsAside},
	{"no-prompt", noPrompt},
	{"equal-answers", equalAnswers},
	{"nothing-to-score", nothingToScore},
	{"no-preference", noPreference},
	{"duplicates", duplicates},
	{"contradictions", contradictions},
	{"leaked-groups", leakedGroups},
	{"leaked-prompts", leakedPrompts},
	{"length-bias", lengthBias},
	{"cut-rows", cutRows},
	{"border-tokens", borderTokens},
}

const (
	// A twentieth of the rows is worth a word: fewer move a mean over rows by less than it is uncertain in data of some hundred rows, and
	// collections that people train on with success have as many.
	noticeable = 0.05
	// A hundredth is, where even a few rows are wrong by themselves: labels that contradict each other, and held-out rows that were trained on.
	contaminated = 0.01
	// Short prompts meet by chance: of made-up beginnings of film reviews one in twenty. A split by rows where it should be by prompts shares most.
	sharedPrompts = 0.1
	// Where prompts come from a list, a row of held-out data has one of those by design. Collections with a few pairs a prompt,
	// as of four answers six, have at most this many rows a prompt.
	rowsAPrompt = 8

	// In collections of human and AI preferences the longer answer is chosen in up to 63 % of pairs (Singhal et al. 2023, arXiv 2310.03716,
	// Table 2); two in three is beyond that.
	lopsided = 2.0 / 3
	// A sign test of healthy data exceeds 4 standard errors once in 16,000 times.
	beyondChance = 4
	// What is chosen differs in length by a tenth at least: of less, templates and single words make too much.
	lengthsApart = 1.1
)

// Warnings tells what was found, at most once of each kind, in a fixed order.
func (s *Survey) Warnings() []Warning {
	var out []Warning
	for _, f := range faults {
		if what, hint := f.look(s); what != "" {
			out = append(out, Warning{Name: f.name, What: what, Hint: hint})
		}
	}
	return out
}

// reaches reports whether n of all is a share or more; of none it is not.
func reaches(n, all int, share float64) bool { return n > 0 && float64(n) >= share*float64(all) }

// count writes "3 of 60 rows (5.0 %)".
func count(n, all int, of string) string {
	return fmt.Sprintf("%d of %d %s (%.*f %%)", n, all, of, decimals(n, all), 100*float64(n)/float64(all))
}

// decimals are those of a percentage: one below a tenth.
func decimals(n, all int) int {
	if 10*n < all {
		return 1
	}
	return 0
}

// dropped counts rows by some reasons, and writes them out.
func (s *Survey) dropped(reasons ...string) (n int, which string) {
	var parts []string
	for _, reason := range reasons {
		if k := s.drops[reason]; k > 0 {
			n += k
			parts = append(parts, fmt.Sprintf("%d %s", k, reason))
		}
	}
	return n, strings.Join(parts, ", ")
}

func refusedRows(s *Survey) (what, hint string) {
	n := 0
	for reason, k := range s.drops {
		if !slices.Contains(dropReasons, reason) {
			n += k
		}
	}
	if n == 0 {
		return "", ""
	}
	return fmt.Sprintf("%s cannot be used as they are written and are dropped, the first because %s", count(n, s.rows, "rows"), s.refused),
		"mend them; dpo-ort data validate names each with its reason, as run/dropped.jsonl of a training run does"
}

func columnsAside(s *Survey) (what, hint string) {
	if s.aside == 0 {
		return "", ""
	}
	return count(s.aside, s.rows, "rows") + " have a column system or tools beside texts, which is not read: only messages have a place for it",
		"give prompts as messages, or have them read so (of pairs: --columns instruction=prompt,prompt=); --columns system=,tools= ignores the columns without a word"
}

func noPrompt(s *Survey) (what, hint string) {
	if s.unasked == 0 {
		return "", ""
	}
	return count(s.unasked, s.rows, "pairs") + " have no prompt: there is no column for it, and chosen and rejected have no beginning in common, so one text is learnt to be likelier than the other whatever was asked",
		"name the column that holds the prompt (--columns prompt=NAME), or begin both texts with it"
}

func equalAnswers(s *Survey) (what, hint string) {
	n, _ := s.dropped(DropEqual)
	if !reaches(n, s.rows, noticeable) {
		return "", ""
	}
	return count(n, s.rows, "rows") + " have equal answers: their margin is 0 whatever is learnt, so they are dropped",
		"pair answers that differ; dpo-ort data validate names the rows"
}

func nothingToScore(s *Survey) (what, hint string) {
	n, which := s.dropped(DropEmpty, DropTruncated, DropPrompt, DropUnscored, DropSilent)
	if !reaches(n, s.rows, noticeable) {
		return "", ""
	}
	hint = "fill the empty answers, or leave their rows out; dpo-ort data validate names them"
	if s.drops[DropTruncated]+s.drops[DropPrompt] > s.drops[DropEmpty]+s.drops[DropUnscored]+s.drops[DropSilent] {
		hint = "raise --max-length, or cut the prompt first (--truncate prompt, with a lower --max-prompt-length)"
	}
	return fmt.Sprintf("%s have no token left to learn from (%s) and are dropped", count(n, s.rows, "rows"), which), hint
}

func noPreference(s *Survey) (what, hint string) {
	n, which := s.dropped(DropUncompared, DropUnranked, DropTied)
	if !reaches(n, s.rows, noticeable) {
		return "", ""
	}
	return fmt.Sprintf("%s prefer no answer (%s) and are dropped", count(n, s.rows, "rows"), which),
		"give two answers at least a rank or a score, and not the same"
}

func duplicates(s *Survey) (what, hint string) {
	if s.First || !reaches(s.repeats, s.rows, noticeable) {
		return "", ""
	}
	return count(s.repeats, s.rows, "rows") + " repeat an earlier row, with prompt and answers, so these count double",
		"leave the copies out, unless they are meant as weights"
}

func contradictions(s *Survey) (what, hint string) {
	if !reaches(s.reverse, s.rows, contaminated) {
		return "", ""
	}
	return count(s.reverse, s.rows, "rows") + " order the answers of an earlier row the other way round: labels that contradict each other cancel",
		"keep the order that is right, or give both as votes (columns a, b, votes)"
}

func leakedGroups(s *Survey) (what, hint string) {
	if !reaches(s.heldGroups, s.held, contaminated) {
		return "", ""
	}
	return count(s.heldGroups, s.held, "held-out rows") + " are in the training data too, with prompt and answers: what is measured on them is memory",
		"take them out of one of the two"
}

func leakedPrompts(s *Survey) (what, hint string) {
	if !reaches(s.heldPrompts, s.held, sharedPrompts) || s.taken > rowsAPrompt*len(s.prompts) {
		return "", ""
	}
	return count(s.heldPrompts, s.held, "held-out rows") + " have a prompt of the training data, with other answers",
		"split the data by prompt, not by row"
}

func lengthBias(s *Survey) (what, hint string) {
	n := s.longer + s.shorter
	if n == 0 || s.best == 0 || s.worst == 0 {
		return "", ""
	}
	share, word := float64(s.longer)/float64(n), "longer"
	if s.longer < s.shorter {
		share, word = 1-share, "shorter"
	}
	z := math.Abs(float64(s.longer-s.shorter)) / math.Sqrt(float64(n))
	ratio := float64(max(s.best, s.worst)) / float64(min(s.best, s.worst))
	if share < lopsided || z < beyondChance || ratio < lengthsApart || (word == "longer") != (s.best > s.worst) {
		return "", ""
	}
	rows := float64(s.ordered)
	return fmt.Sprintf("the %s answer is preferred in %s (sign test: %.1f standard errors), in the mean %.1f %s against %.1f: length alone tells most labels",
			word, count(max(s.longer, s.shorter), n, "rows whose answers differ in length"), z, float64(s.best)/rows, s.unit, float64(s.worst)/rows),
		"pair answers of like length, or take --loss ipo_mean, which divides by length, and watch how long the policy's answers get"
}

func cutRows(s *Survey) (what, hint string) {
	if !reaches(s.cut, s.taken, noticeable) {
		return "", ""
	}
	return fmt.Sprintf("%s exceed --max-length %d and are cut, %d of them at the end of an answer", count(s.cut, s.taken, "rows"), s.MaxLength, s.ends),
		"raise --max-length; dpo-ort data inspect --model shows how long rows are"
}

func borderTokens(s *Survey) (what, hint string) {
	if !reaches(s.border, s.answers, noticeable) {
		return "", ""
	}
	return count(s.border, s.answers, "answers") + " begin with a token that spans the border to the prompt: it is scored with the answer, and is not what the prompt alone ends with",
		"begin answers with the white space that now ends prompts, or with a newline, so that no token spans the border"
}

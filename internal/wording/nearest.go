package wording

import "strings"

// Suggest gives ": did you mean NAME?" for the known name nearest to what was written, or "" where none is near. Near is
// what differs in at most a quarter of its letters, - and _ being one, and what abbreviates the words written, as lr does
// learning-rate, or is abbreviated by them. The prefix stands before the name.
func Suggest(prefix, written string, known []string) string {
	word, best, least := plain(written), "", 0
	for _, name := range known {
		d := edits(word, plain(name))
		if name == initials(word) || len(word) > 1 && word == initials(plain(name)) {
			d = 0
		}
		if d <= max(len(word), len(name))/4 && (best == "" || d < least) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + prefix + best + "?"
}

func plain(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// initials are the first letters of the words of a name.
func initials(name string) string {
	var letters []byte
	for word := range strings.SplitSeq(name, "-") {
		letters = append(letters, word[:min(1, len(word))]...)
	}
	return string(letters)
}

// edits is how many letters must be put in, left out, replaced or swapped with their neighbour to make a into b (the distance
// of optimal string alignment).
func edits(a, b string) int {
	table := make([][]int, len(a)+1) // [i][j]: of the first i letters of a and j of b
	for i := range table {
		table[i] = make([]int, len(b)+1)
		for j := range table[i] {
			if i == 0 || j == 0 {
				table[i][j] = i + j
				continue
			}
			replaced := table[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			table[i][j] = min(replaced, table[i-1][j]+1, table[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				table[i][j] = min(table[i][j], table[i-2][j-2]+1)
			}
		}
	}
	return table[len(a)][len(b)]
}

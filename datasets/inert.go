package datasets

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Only the chat template may write special tokens. Those that the contents of messages spell
// are marked before rendering, with a character that Unicode keeps for such use inside of
// programs, and found by the marks in what was rendered.
const mark = '\uFDD0'

// markSpecials returns messages with a mark after the first character of each special token that they spell.
func markSpecials(messages []Message, specials []string) []Message {
	var marked []Message
	for i, m := range messages {
		is := Message{markText(m.Role, specials), markText(m.Content, specials), markJSON(m.Fields, specials)}
		if is == m {
			continue
		}
		if marked == nil {
			marked = slices.Clone(messages)
		}
		marked[i] = is
	}
	if marked == nil {
		return messages
	}
	return marked
}

func markText(text string, specials []string) string {
	if !slices.ContainsFunc(specials, func(s string) bool { return strings.Contains(text, s) }) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		b.WriteString(text[i : i+size])
		if slices.ContainsFunc(specials, func(s string) bool { return strings.HasPrefix(text[i:], s) }) {
			b.WriteRune(mark)
		}
		i += size
	}
	return b.String()
}

// unmarked is an offset in the text without marks.
func unmarked(text string, at int) int {
	return at - utf8.RuneLen(mark)*strings.Count(text[:at], string(mark))
}

// unmark takes the marks out and returns where the marked special tokens begin.
func unmark(text string) (clean string, inert []int) {
	if !strings.ContainsRune(text, mark) {
		return text, nil
	}
	var b strings.Builder
	before := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == mark {
			inert = append(inert, before)
		} else {
			before = b.Len()
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String(), inert
}

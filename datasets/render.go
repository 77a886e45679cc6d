package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Conversation is what a chat template is to write.
type Conversation struct {
	Messages         []Message
	Tools            string // JSON schemas of what the model may call, a list; "" for none
	GenerationPrompt bool   // with the beginning of the assistant's turn
}

// Writing is the text of a conversation.
type Writing struct {
	Text string
	// Said are the parts of the text that the template marks as the assistant's ({% generation %}), as offsets of first byte and end, in order.
	Said [][2]int
}

// A Renderer is a [Tokenizer] that writes conversations as its model's chat template has them.
type Renderer interface {
	// Render writes a conversation. An error that wraps ErrMessages concerns all conversations, any other this one.
	Render(Conversation) (Writing, error)
}

// ErrMessages is wrapped by the error of a row that holds messages where there is no chat template that can write them.
var ErrMessages = errors.New("the row holds chat messages, and there is no chat template to write them with: give the model's (--chat-template FILE), or prompt and answers as strings")

// renderer is the Renderer that a tokenizer is.
func renderer(tok Tokenizer) (Renderer, error) {
	if r, ok := tok.(Renderer); ok {
		return r, nil
	}
	return nil, ErrMessages
}

// texts writes a group's prompt with one of its answers. Its error is a *[DropError] where nothing of them is to be scored.
func (e *Encoder) texts(g Group, c Text) (w written, err error) {
	all := e.Turns == TurnsAll
	switch {
	case c.Messages != nil && all && g.Talk:
		w, err = writeBy(e.Tokenizer, conversation(e.Tokenizer, g.Prompt, c.Messages))
	case c.Messages != nil:
		w, err = rendered(e.Tokenizer, g.Prompt, c.Messages)
	case all:
		err = errors.New("it is no conversation, which alone has turns of the assistant (column messages, or messages in prompt and completion): leave out --assistant-turns all")
	default:
		w = written{text: g.Prompt.String + c.String, begin: len(g.Prompt.String)}
	}
	if err == nil && all && w.said == nil {
		err = errUnmarked
	}
	switch {
	case errors.Is(err, ErrMessages) || errors.Is(err, errUnmarked):
		return w, fmt.Errorf("row %d of %s: %w", g.Row, g.File, err)
	case err != nil:
		return w, &RowError{File: g.File, Row: g.Row, Line: g.Line, Err: err, Whole: true}
	case !all:
		w.said = nil
	case !w.scoreSaid():
		return w, e.drop(g, DropSilent)
	}
	return w, nil
}

// conversation is a prompt with the answer that follows, in which special tokens that are spelt are marked.
func conversation(tok Tokenizer, p Text, answer []Message) Conversation {
	specials := tok.Specials()
	return Conversation{Messages: markSpecials(slices.Concat(p.Messages, answer), specials), Tools: markJSON(p.Tools, specials)}
}

// writeBy has the tokenizer's template write a conversation, and takes the marks out.
func writeBy(tok Tokenizer, c Conversation) (w written, err error) {
	r, err := renderer(tok)
	if err != nil {
		return w, err
	}
	out, err := r.Render(c)
	if err != nil {
		return w, err
	}
	w.text, w.inert = unmark(out.Text)
	for _, part := range out.Said {
		w.said = append(w.said, [2]int{unmarked(out.Text, part[0]), unmarked(out.Text, part[1])})
	}
	return w, nil
}

// rendered writes a prompt with the answer that follows, and parts the two where the answer begins.
func rendered(tok Tokenizer, p Text, answer []Message) (written, error) {
	whole := conversation(tok, p, answer)
	w, err := writeBy(tok, whole)
	if err != nil || len(p.Messages) == 0 {
		if err == nil {
			err = checkWritten(w.text, answer)
		}
		return w, err
	}
	// Where the assistant goes on in its own turn, or the user speaks first, the template begins no new turn of the assistant.
	before := Conversation{Messages: whole.Messages[:len(p.Messages)], Tools: whole.Tools, GenerationPrompt: answer[0].Role == "assistant"}
	prompt, err := writeBy(tok, before)
	if err != nil {
		return w, err
	}
	w.begin = shared(prompt.text, w.text)
	if w.begin < len(prompt.text) {
		before.GenerationPrompt = false
		if err := checkParting(tok, before, prompt.text, w.text[:w.begin]); err != nil {
			return w, err
		}
	}
	return w, checkWritten(w.text[w.begin:], answer)
}

// checkWritten refuses a template that writes nothing of an answer, which would be taken for an empty one.
func checkWritten(text string, answer []Message) error {
	said := func(m Message) bool { return strings.TrimSpace(m.Content) != "" || m.Fields != "" }
	if text != "" || !slices.ContainsFunc(answer, said) {
		return nil
	}
	return errors.New("the chat template writes nothing of the answer: give another (--chat-template FILE), or prompt and answers as strings")
}

// shared is how much of two texts is the same, in whole characters.
func shared(a, b string) int {
	n, differ := common([]byte(a), []byte(b))
	if !differ {
		n = min(len(a), len(b))
	}
	for n > 0 && n < len(b) && !utf8.RuneStart(b[n]) {
		n--
	}
	return n
}

// checkParting refuses a template that writes the messages of the prompt otherwise when an answer follows: what is scored would not be
// the answer alone. That the beginning of the assistant's turn differs (it thinks aloud, or is told not to) is no harm.
func checkParting(tok Tokenizer, c Conversation, prompt, common string) error {
	plain, err := writeBy(tok, c)
	if err != nil {
		return err
	}
	if said := shared(plain.text, prompt); len(common) < said {
		return fmt.Errorf("the chat template writes the prompt otherwise when an answer follows, from byte %d on (%.40q): prompt and answer cannot be told apart; leave out what the template drops, or give a template that writes each turn alike (--chat-template FILE)",
			len(common), prompt[len(common):])
	}
	return nil
}

// EncodePrompt returns the ids of a prompt that an answer is to follow, without what the tokenizer adds at the end by itself.
// Messages are written by the chat template, with the beginning of the assistant's turn.
func EncodePrompt(tok Tokenizer, prompt Text) ([]int32, error) {
	if prompt.Messages != nil {
		return encodeMessages(tok, prompt)
	}
	ids, ends, err := tok.Encode(prompt.String)
	if err != nil {
		return nil, err
	}
	n := len(ids)
	for n > 0 && ends[n-1] < 0 && prompt.String != "" {
		n--
	}
	if n == 0 {
		return nil, errors.New("the prompt is empty, and the tokenizer puts no token before it")
	}
	return ids[:n], nil
}

func encodeMessages(tok Tokenizer, prompt Text) ([]int32, error) {
	if _, err := renderer(tok); err != nil {
		return nil, err
	}
	if len(prompt.Messages) == 0 {
		return nil, errors.New("the prompt has no messages")
	}
	if last := prompt.Messages[len(prompt.Messages)-1]; last.Role == "assistant" {
		return nil, errors.New("the prompt ends with the assistant's turn: the last is to be the user's, or a tool's")
	}
	c := conversation(tok, prompt, nil)
	c.GenerationPrompt = true
	w, err := writeBy(tok, c)
	if err != nil {
		return nil, err
	}
	ids, ends, err := tok.EncodeInert(w.text, w.inert)
	if err != nil {
		return nil, err
	}
	// The template wrote all special tokens, the first and the last among them.
	out := ids[:0]
	for i, id := range ids {
		if ends[i] >= 0 {
			out = append(out, id)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the chat template writes nothing of the prompt's messages")
	}
	return out, nil
}

// markJSON is markText for each string in a text of JSON.
func markJSON(text string, specials []string) string {
	if text == "" {
		return ""
	}
	var b []byte
	for i := 0; i < len(text); {
		if text[i] != '"' {
			b = append(b, text[i])
			i++
			continue
		}
		end := i + 1
		for text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		literal := text[i : end+1]
		var s string
		if err := json.Unmarshal([]byte(literal), &s); err == nil {
			if marked := markText(s, specials); marked != s {
				literal = string(appendQuoted(nil, marked))
			}
		}
		b = append(b, literal...)
		i = end + 1
	}
	return string(b)
}

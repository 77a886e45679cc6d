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

// A Renderer is a [Tokenizer] that writes conversations as its model's chat template has them.
type Renderer interface {
	// Render returns the text of a conversation. An error that wraps ErrMessages concerns all conversations, any other this one.
	Render(Conversation) (string, error)
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

// texts returns prompt and completion as strings, and where in the two together special tokens are spelt that are text.
func (e *Encoder) texts(g Group, c Text) (prompt, completion string, inert []int, err error) {
	if c.Messages == nil {
		return g.Prompt.String, c.String, nil, nil
	}
	prompt, completion, inert, err = rendered(e.Tokenizer, g.Prompt, c.Messages)
	switch {
	case errors.Is(err, ErrMessages):
		err = fmt.Errorf("row %d of %s: %w", g.Row, g.File, err)
	case err != nil:
		err = &RowError{File: g.File, Row: g.Row, Line: g.Line, Err: err, Whole: true}
	}
	return prompt, completion, inert, err
}

// rendered writes a prompt with the answer that follows, and parts the two where the answer begins.
func rendered(tok Tokenizer, p Text, answer []Message) (prompt, completion string, inert []int, err error) {
	r, err := renderer(tok)
	if err != nil {
		return "", "", nil, err
	}
	specials := tok.Specials()
	before, tools := markSpecials(p.Messages, specials), markJSON(p.Tools, specials)
	whole, err := r.Render(Conversation{Messages: slices.Concat(before, markSpecials(answer, specials)), Tools: tools})
	if err != nil {
		return "", "", nil, err
	}
	whole, inert = unmark(whole)
	if len(before) == 0 {
		return "", whole, inert, checkWritten(whole, answer)
	}
	// Where the assistant goes on in its own turn, or the user speaks first, the template begins no new turn of the assistant.
	begun := answer[0].Role == "assistant"
	if prompt, err = r.Render(Conversation{Messages: before, Tools: tools, GenerationPrompt: begun}); err != nil {
		return "", "", nil, err
	}
	prompt, _ = unmark(prompt)
	n := shared(prompt, whole)
	if n < len(prompt) {
		if err := checkParting(r, Conversation{Messages: before, Tools: tools}, prompt, whole[:n]); err != nil {
			return "", "", nil, err
		}
	}
	return whole[:n], whole[n:], inert, checkWritten(whole[n:], answer)
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
func checkParting(r Renderer, c Conversation, prompt, common string) error {
	plain, err := r.Render(c)
	if err != nil {
		return err
	}
	plain, _ = unmark(plain)
	if said := shared(plain, prompt); len(common) < said {
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
	r, err := renderer(tok)
	if err != nil {
		return nil, err
	}
	if len(prompt.Messages) == 0 {
		return nil, errors.New("the prompt has no messages")
	}
	if last := prompt.Messages[len(prompt.Messages)-1]; last.Role == "assistant" {
		return nil, errors.New("the prompt ends with the assistant's turn: the last is to be the user's, or a tool's")
	}
	specials := tok.Specials()
	text, err := r.Render(Conversation{Messages: markSpecials(prompt.Messages, specials), Tools: markJSON(prompt.Tools, specials), GenerationPrompt: true})
	if err != nil {
		return nil, err
	}
	text, inert := unmark(text)
	ids, ends, err := tok.EncodeInert(text, inert)
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

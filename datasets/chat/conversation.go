package chat

import "maps"

// Conversation is what a chat template is asked to write, as transformers' apply_chat_template gives it.
type Conversation struct {
	Messages         any // a list of objects with role and content, as Values makes them
	Tools            any // a list of JSON schemas; nil for none
	GenerationPrompt bool
	Tokens           map[string]string // bos_token, eos_token and others by the names that templates know
	More             map[string]any    // variables beside those, such as enable_thinking
}

// Variables are what the template finds by name. A field of a message that is null is left out, and what a message
// calls thinking or reasoning is there as reasoning_content too.
func (c Conversation) Variables() map[string]any {
	vars := map[string]any{"messages": c.messages(), "tools": c.Tools, "documents": nil, "add_generation_prompt": c.GenerationPrompt}
	for name, text := range c.Tokens {
		vars[name] = text
	}
	maps.Copy(vars, c.More)
	return vars
}

func (c Conversation) messages() any {
	all, ok := c.Messages.(list)
	if !ok {
		return c.Messages
	}
	out := make(list, len(all))
	for i, m := range all {
		if out[i] = m; kindOf(m) == "dict" {
			out[i] = reasoned(m.(*Dict))
		}
	}
	return out
}

func reasoned(m *Dict) *Dict {
	present := &Dict{}
	for i, k := range m.keys {
		if m.values[i] != nil {
			present.set(k, m.values[i])
		}
	}
	for _, name := range []string{"reasoning_content", "thinking", "reasoning"} {
		said, ok := present.get(name)
		if !ok {
			continue
		}
		out := &Dict{}
		out.set("thinking", said)
		for i, k := range present.keys {
			out.set(k, present.values[i])
		}
		out.set("reasoning_content", said)
		return out
	}
	return present
}

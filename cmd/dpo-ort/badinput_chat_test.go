package main

import "strings"

const (
	chatRow   = `{"prompt": [{"role": "user", "content": "the cat"}], "chosen": [{"role": "assistant", "content": "sat"}], "rejected": [{"role": "assistant", "content": "ran"}]}` + "\n"
	plainChat = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)

// badChats are messages and chat templates that do not go together, or do not go at all.
func badChats() []badCase {
	with := func(name, template, rows string) badCase {
		return badCase{"chat " + name, func(w *work) {
			w.write("pairs.jsonl", rows)
			w.write("chat.jinja", template)
		}, train + " --chat-template chat.jinja", 1, 0, ""}
	}
	own := func(name, field string) badCase {
		return badCase{"chat " + name, func(w *work) {
			w.write("pairs.jsonl", chatRow)
			w.field("model/tokenizer_config.json", "chat_template", field)
		}, train, 1, 0, ""}
	}
	const talk = `{"messages": [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat"}]}` + "\n"
	const marking = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
	turns := func(name, template, rows, more string, code int) badCase {
		return badCase{"chat all turns " + name, func(w *work) {
			w.write("pairs.jsonl", rows)
			w.write("chat.jinja", template)
		}, "sft --model model --data pairs.jsonl --out out --quiet --batch 8 --steps 1 --chat-template chat.jinja --assistant-turns " + more, code, 0, ""}
	}
	row := func(old, new string) string { return strings.Replace(chatRow, old, new, 1) }
	return []badCase{
		turns("without marks", plainChat, talk, "all", 1),
		turns("of strings", marking, `{"prompt": "a", "completion": " b"}`, "all", 1),
		turns("of another name", marking, talk, "every", exitUsage),
		turns("where there are none", marking, strings.Replace(talk, `"sat"`, `""`, 1), "all", 1),
		turns("cut away", marking, talk, "all --max-length 2 --max-prompt-length 1", 1),
		{"chat all turns of preferences", func(w *work) { w.write("run.yaml", "assistant-turns: all\n") }, train + " --config run.yaml", exitUsage, 0, ""},
		{"chat without template", func(w *work) { w.write("pairs.jsonl", chatRow) }, train, 1, 0, ""},
		{"chat without template, scored", func(w *work) { w.write("pairs.jsonl", chatRow) }, "score --model model --data pairs.jsonl --out scored.parquet", 1, 0, ""},
		{"chat template of no end", nil, train + " --chat-template /dev/zero", 1, 0, ""},
		{"chat template missing", nil, train + " --chat-template nowhere.jinja", 1, 0, ""},
		with("template cut", plainChat[:60], chatRow),
		with("template of nothing", "", chatRow),
		with("template of one text", "{{ messages[:0] }}", chatRow),
		with("template with a strange filter", "{{ messages | nosuch }}", chatRow),
		with("template that loops", "{% for a in messages %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endfor %}", chatRow),
		with("template that recurses", "{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}{{ messages }}", chatRow),
		with("template that doubles", "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ messages }}", chatRow),
		with("template that looks behind", "{{ messages.__class__.__mro__ }}", chatRow),
		with("template that includes", "{% include '/etc/passwd' %}", chatRow),
		with("template that asks the time", "{{ strftime_now('%Y') }}{{ messages }}", chatRow),
		with("template without the prompt", "{% for m in messages %}{{ loop.length }}{{ m.content }}{% endfor %}", chatRow),
		with("roles out of order", "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('user and assistant must take turns') }}{% endif %}{{ m.content }}{% endfor %}",
			row(`"content": "the cat"}`, `"content": "a"}, {"role": "user", "content": "b"}`)),
		with("tools without a template for them", plainChat, row(`"chosen"`, `"tools": [{"type": "function", "function": {"name": "f"}}], "chosen"`)),
		with("tools that are no list", plainChat, row(`"chosen"`, `"tools": "f(x)", "chosen"`)),
		with("tool calls without a template for them", plainChat, row(`"content": "sat"`, `"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]`)),
		with("content that is missing", plainChat[:23]+"{{ m.content + '!' }}{% endfor %}", row(`"content": "the cat"`, `"content": null`)),
		own("own template broken", "{% if %}"),
		{"chat own template a number", func(w *work) {
			w.write("pairs.jsonl", chatRow)
			w.field("model/tokenizer_config.json", "chat_template", 7)
		}, train, 1, 0, ""},
		{"chat prompt of the assistant", func(w *work) {
			w.write("pairs.jsonl", `{"prompt": [{"role": "assistant", "content": "a"}]}`+"\n")
			w.write("chat.jinja", plainChat)
		}, generate + " --strict --chat-template chat.jinja", 1, 0, ""},
		{"chat messages without an answer", func(w *work) {
			w.write("pairs.jsonl", `{"messages": [{"role": "user", "content": "a"}]}`+"\n")
			w.write("chat.jinja", plainChat)
		}, "sft --model model --data pairs.jsonl --out out --quiet --batch 8 --steps 1 --chat-template chat.jinja", 1, 0, ""},
	}
}

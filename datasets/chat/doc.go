// Package chat renders the chat templates of Hugging Face models: Jinja as transformers sets it up, over plain values, within limits.
//
//	t, err := chat.Parse(source)
//	out, err := t.Render(map[string]any{"messages": messages, "add_generation_prompt": true}, chat.Options{})
//	fmt.Println(out.Text)
//
// [Values] makes values of JSON whose objects keep their order, which tojson shows. A [Renderer] has the templates of a model and writes
// conversations of package datasets.
//
// # What is understood
//
// The statements if, for (with else, if, recursive and tuples), set (with blocks and namespaces), macro, call, filter, with, raw, break,
// continue and generation; all expressions; the filters, tests and methods of strings, lists and objects that have a meaning for
// text; range, dict, namespace, joiner, cycler and raise_exception. Blocks take the newline behind them and the blanks before them on
// their line away, as transformers asks of Jinja (trim_blocks, lstrip_blocks). What is not known is an error that names it.
//
// # A sandbox
//
// A template came with a model, so it is a stranger's program. It sees values of JSON and the functions above and nothing else: no
// value of Go is looked into, an attribute is a key of an object or a row of a fixed table, and there is neither file, clock nor chance.
// Each piece of work counts against [Limits], which end loops, recursion and growth with an [Error] of kind [Limit].
//
// # Caveats
//
// Whole numbers are computed with in 64 bits; longer ones are written as they came. Case is changed letter by letter but for ß. What Python prints of functions and generators
// is an error here.
package chat

package hostile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

func init() {
	register("onnx", onnxCases)
	register("artifact", artifactCases)
}

// message is a protobuf message that is written field by field, so that it may be wrong in any way.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) number(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

func (m message) under(field protowire.Number, sub ...message) message {
	for _, s := range sub {
		m = protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), s)
	}
	return m
}

// tensor is a TensorProto of raw bytes.
func tensor(name string, typ int64, n int, dims ...int64) message {
	var m message
	for _, d := range dims {
		m = m.number(1, d)
	}
	m = m.number(2, typ).text(8, name)
	return m.under(9, make([]byte, n))
}

// node is a NodeProto; attributes come behind.
func node(op string, inputs, outputs []string, attributes ...message) message {
	var m message
	for _, s := range inputs {
		m = m.text(1, s)
	}
	for _, s := range outputs {
		m = m.text(2, s)
	}
	return m.text(3, "n").text(4, op).under(5, attributes...)
}

func in(names ...string) []string { return names }

// value is a ValueInfoProto.
func value(name string, typ int64, dims ...int64) message {
	var shape message
	for _, d := range dims {
		shape = shape.under(1, message{}.number(1, d))
	}
	return message{}.text(1, name).under(2, message{}.under(1, message{}.number(1, typ).under(2, shape)))
}

// The fields of a GraphProto.
const (
	graphNode, graphName, graphInitializer, graphInput, graphOutput, graphInfo, graphSparse = 1, 2, 5, 11, 12, 13, 15
)

// modelOf is a ModelProto with a graph.
func modelOf(graph message) message {
	return message{}.number(1, 10).under(8, message{}.number(2, 21)).under(7, graph)
}

// graphOf is a graph x[2] → y[2] with these parts besides.
func graphOf(parts ...message) message {
	g := message{}.text(graphName, "g").under(graphInput, value("x", 1, 2)).under(graphOutput, value("y", 1, 2))
	for _, p := range parts {
		g = append(g, p...)
	}
	return g
}

func nodes(list ...message) message        { return message{}.under(graphNode, list...) }
func initializers(list ...message) message { return message{}.under(graphInitializer, list...) }

// attribute is an AttributeProto of a type, whose value is a field.
func attribute(name string, typ int64, value message) message {
	return append(message{}.text(1, name).number(20, typ), value...)
}

// external is a tensor whose bytes lie elsewhere.
func external(pairs ...string) message {
	m := message{}.number(1, 2).number(2, 1).text(8, "w")
	for i := 0; i < len(pairs); i += 2 {
		m = m.under(13, message{}.text(1, pairs[i]).text(2, pairs[i+1]))
	}
	return m.number(14, 1)
}

func onnxCases() []Case {
	l := list{file: "model.onnx"}
	graph := func(name string, parts ...message) { l.add(name, modelOf(graphOf(parts...))) }
	add := node("Add", in("x", "w"), in("y"))
	relu := nodes(node("Relu", in("x"), in("y")))
	whole := modelOf(graphOf(nodes(add), initializers(tensor("w", 1, 8, 2))))
	l.cuts(whole, 0, 1, 3, 10, 30, -1, -9)
	l.text("text", "this is no model")
	l.text("a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n")
	l.add("zeros", make([]byte, 64))
	l.add("ones", []byte(strings.Repeat("\xff", 64)))
	l.add("length of 2 to the 63", append(protowire.AppendTag(nil, 7, protowire.BytesType), 255, 255, 255, 255, 255, 255, 255, 255, 127))
	l.add("length just over the file", append(protowire.AppendTag(nil, 7, protowire.BytesType), 5, 1, 2, 3, 4))
	l.add("a group that does not end", protowire.AppendTag(nil, 99, protowire.StartGroupType))
	l.add("groups nest deep", []byte(strings.Repeat(string(protowire.AppendTag(nil, 99, protowire.StartGroupType)), 100_000)))
	l.add("field number zero", []byte{0, 1})
	l.add("no graph", message{}.number(1, 10))
	l.add("graph is a number", message{}.number(7, 1))
	l.add("graph's name is no UTF-8", modelOf(message{}.text(graphName, "\xff")))
	l.add("a function", append(modelOf(graphOf(relu)), message{}.under(25, message{}.text(1, "f"))...))
	l.add("version of operators twice", append(modelOf(graphOf(relu)), message{}.under(8, message{}.number(2, 13))...))
	l.add("version of operators is missing", message{}.number(1, 10).under(7, graphOf(relu)))
	l.add("version of operators of minus one", message{}.number(1, 10).under(8, message{}.number(2, -1)).under(7, graphOf(relu)))
	l.add("version of operators of the future", message{}.number(1, 10).under(8, message{}.number(2, 1<<40)).under(7, graphOf(relu)))

	graph("output that nothing computes")
	graph("input that is not defined", nodes(node("Add", in("x", "nowhere"), in("y"))))
	graph("nodes in the wrong order", nodes(node("Relu", in("t"), in("y")), node("Neg", in("x"), in("t"))))
	graph("a cycle of one node", nodes(node("Add", in("x", "y"), in("y"))))
	graph("a cycle of two nodes", nodes(node("Add", in("x", "b"), in("a")), node("Relu", in("a"), in("b")), node("Relu", in("b"), in("y"))))
	graph("a name defined twice by nodes", nodes(node("Relu", in("x"), in("y")), node("Neg", in("x"), in("y"))))
	graph("a node that gives one name twice", nodes(node("Split", in("x"), in("y", "y"))))
	graph("a name defined by a node and an initializer", relu, initializers(tensor("y", 1, 8, 2)))
	graph("an input listed twice", relu, message{}.under(graphInput, value("x", 1, 2)))
	graph("an output listed twice", relu, message{}.under(graphOutput, value("y", 1, 2)))
	graph("an initializer listed twice", nodes(add), initializers(tensor("w", 1, 8, 2), tensor("w", 1, 8, 2)))
	graph("an initializer without a name", relu, initializers(tensor("", 1, 8, 2)))
	graph("an input without a name", relu, message{}.under(graphInput, value("", 1, 2)))
	graph("a node without an operator", nodes(node("", in("x"), in("y"))))
	graph("a node without an output", nodes(node("Relu", in("x"), nil)))
	graph("a node that lacks an input", nodes(node("Add", in("x"), in("y"))))
	graph("a node whose input is left out", nodes(node("Add", in("x", ""), in("y"))))
	graph("shapes that do not broadcast", nodes(add), initializers(tensor("w", 1, 12, 3)))
	graph("types that differ", nodes(add), initializers(tensor("w", 11, 16, 2)))
	graph("sparse weights", relu, message{}.under(graphSparse, message{}))
	graph("declared shape that another is", nodes(node("Relu", in("x"), in("t")), node("Neg", in("t"), in("y"))), message{}.under(graphInfo, value("t", 1, 3)))
	graph("declared type that another is", nodes(node("Relu", in("x"), in("t")), node("Neg", in("t"), in("y"))), message{}.under(graphInfo, value("t", 11, 2)))
	graph("input of an unknown type", nodes(node("Relu", in("x"), in("y"))), message{}.under(graphInput, value("z", 99, 2)))
	graph("input of a size of 2 to the 62", relu, message{}.under(graphInput, value("z", 1, 1<<62, 1<<62)))

	weight := func(name string, t message) { graph(name, nodes(add), initializers(t)) }
	weight("weight with fewer bytes than its shape", tensor("w", 1, 7, 2))
	weight("weight with more bytes than its shape", tensor("w", 1, 9, 2))
	weight("weight without bytes", tensor("w", 1, 0, 2))
	weight("weight of a negative size", tensor("w", 1, 8, -2))
	weight("weight of two negative sizes", tensor("w", 1, 8, -1, -2))
	weight("weight whose product wraps to what is there", tensor("w", 1, 8, 1<<32, 1<<32, 2))
	weight("weight just below 2 to the 63", tensor("w", 1, 8, math.MaxInt64))
	weight("weight whose product overflows before a zero", tensor("w", 1, 0, math.MaxInt64, math.MaxInt64, 0))
	weight("weight of a thousand dimensions", tensor("w", 1, 8, make([]int64, 1000)...))
	weight("weight of no type", tensor("w", 0, 8, 2))
	weight("weight of an unknown type", tensor("w", 99, 8, 2))
	weight("weight of a negative type", tensor("w", -1, 8, 2))
	weight("weight of four bits", tensor("w", 22, 1, 2))
	weight("weight of text", tensor("w", 8, 8, 2))
	weight("weight in a segment", append(tensor("w", 1, 8, 2), message{}.under(3, message{}.number(1, 0).number(2, 8))...))
	weight("weight in both ways", append(tensor("w", 1, 8, 2), message{}.under(4, []byte{0, 0, 0x80, 0x3f})...))
	weight("weight in the list of another type", message{}.number(1, 2).number(2, 1).text(8, "w").under(7, []byte{1, 2}))
	weight("weight's list is cut", message{}.number(1, 2).number(2, 1).text(8, "w").under(4, []byte{0, 0, 0}))

	with := func(name, op string, a message) {
		graph(name, nodes(node(op, in("x"), in("y"), a)))
	}
	with("attribute of no type", "Softmax", attribute("axis", 0, message{}.number(3, 0)))
	with("attribute of an unknown type", "Softmax", attribute("axis", 77, message{}.number(3, 0)))
	with("attribute that is a function's", "Softmax", attribute("axis", 2, message{}.text(21, "a")))
	with("attribute without a name", "Softmax", attribute("", 2, message{}.number(3, 0)))
	with("attribute that says number and holds text", "Softmax", attribute("axis", 2, message{}.text(4, "last")))
	with("axis is a text", "Softmax", attribute("axis", 3, message{}.text(4, "last")))
	with("axis outside the shape", "Softmax", attribute("axis", 2, message{}.number(3, 7)))
	with("attribute that holds no tensor", "Constant", attribute("value", 4, nil))
	with("attribute that holds no graph", "If", attribute("then_branch", 5, nil))
	with("attribute whose tensor is wrong", "Identity", attribute("t", 4, message{}.under(5, tensor("t", 1, 3, 2))))
	graph("attribute twice", nodes(node("Softmax", in("x"), in("y"), attribute("axis", 2, message{}.number(3, 0)), attribute("axis", 2, message{}.number(3, -1)))))
	graph("constant without a value", nodes(node("Constant", nil, in("c")), node("Relu", in("x"), in("y"))))
	graph("constant with two values", nodes(node("Constant", nil, in("c"), attribute("value_int", 2, message{}.number(3, 1)), attribute("value_float", 1, nil)), node("Relu", in("x"), in("y"))))
	inner := message{}.text(graphName, "i").under(graphNode, node("Relu", in("x"), in("o"))).under(graphOutput, value("o", 1, 2))
	for range 40 {
		inner = message{}.text(graphName, "i").under(graphNode, node("If", in("x"), in("o"), attribute("then_branch", 5, message{}.under(6, inner)))).under(graphOutput, value("o", 1, 2))
	}
	with("graphs nest deep", "If", attribute("then_branch", 5, message{}.under(6, inner)))
	permute := func(name string, perm ...int64) {
		var p message
		for _, i := range perm {
			p = p.number(8, i)
		}
		with(name, "Transpose", attribute("perm", 7, p))
	}
	permute("permutation of other axes", 3)
	permute("permutation of too many", 0, 0)
	shaped := func(name, op string, shape ...int64) {
		data := []byte{}
		for _, d := range shape {
			data = binary.LittleEndian.AppendUint64(data, uint64(d))
		}
		t := message{}.number(1, int64(len(shape))).number(2, 7).text(8, "s").under(9, data)
		graph(name, nodes(node(op, in("x", "s"), in("y"))), initializers(t))
	}
	shaped("reshape to another size", "Reshape", 3)
	shaped("reshape to two unknown sizes", "Reshape", -1, -1)
	shaped("reshape to a size of minus two", "Reshape", -2)
	shaped("reshape whose product overflows", "Reshape", 1<<32, 1<<32)
	shaped("reshape to a size that does not divide", "Reshape", 3, -1)
	shaped("expand to another size", "Expand", 3)
	shaped("unsqueeze at an axis outside", "Unsqueeze", 9)
	shaped("unsqueeze at an axis twice", "Unsqueeze", 0, 0)
	shaped("squeeze at an axis of two", "Squeeze", 0)

	for _, e := range []struct{ name, location string }{
		{"data above the folder", "../data"}, {"data at an absolute path", "/etc/passwd"}, {"data above, and below again", "a/../../data"}, {"data nowhere", ""},
		{"data that is not there", "missing"}, {"data in the folder itself", "."}, {"data with a NUL in its path", "da\x00ta"}, {"data at a path of Windows", `..\data`},
		{"data by another way to the same", "./data"},
	} {
		l.with(e.name, modelOf(graphOf(nodes(add), initializers(external("location", e.location)))), map[string][]byte{"data": make([]byte, 8)})
	}
	for _, e := range []struct {
		name  string
		pairs []string
	}{
		{"data from a negative place", []string{"offset", "-1"}},
		{"data from behind the file", []string{"offset", "100"}},
		{"data from just below 2 to the 63", []string{"offset", "9223372036854775807"}},
		{"data from 2 to the 64", []string{"offset", "18446744073709551616"}},
		{"data from a word", []string{"offset", "start"}},
		{"data of another length", []string{"length", "4"}},
		{"data of a negative length", []string{"length", "-8"}},
		{"data of 2 to the 63 bytes", []string{"length", "9223372036854775808"}},
		{"data that ends behind the file", []string{"offset", "4"}},
		{"data with its place twice", []string{"location", "other"}},
		{"data without a location's pair", []string{"offset", ""}},
	} {
		l.with(e.name, modelOf(graphOf(nodes(add), initializers(external(append([]string{"location", "data"}, e.pairs...)...)))), map[string][]byte{"data": make([]byte, 8)})
	}
	l.with("data in both ways", modelOf(graphOf(nodes(add), initializers(append(external("location", "data"), message{}.under(9, make([]byte, 8))...)))), map[string][]byte{"data": make([]byte, 8)})
	huge := message{}.number(1, 1<<30).number(2, 1).text(8, "w").under(13, message{}.text(1, "location").text(2, "data")).number(14, 1)
	l.with("data of 4 GB that is not there", modelOf(graphOf(nodes(add), initializers(huge))), map[string][]byte{"data": make([]byte, 8)})
	linked := func(name, location string, links map[string]string) {
		l.cases = append(l.cases, Case{Name: name, Links: links, Files: map[string][]byte{"elsewhere/data": make([]byte, 8),
			"model.onnx": modelOf(graphOf(nodes(add), initializers(external("location", location))))}})
	}
	linked("data behind a link", "link", map[string]string{"link": "elsewhere/data"})
	linked("data behind a link to outside", "link", map[string]string{"link": "/etc/hostname"})
	linked("data in a folder that is a link", "folder/data", map[string]string{"folder": "elsewhere"})
	linked("data behind a link that leads nowhere", "link", map[string]string{"link": "nowhere"})
	linked("data behind a link to itself", "link", map[string]string{"link": "link"})
	return l.cases
}

// manifest is what an artifact's manifest.json says of one graph x, w → y.
func manifest(graph []byte, other fields) []byte {
	sum := sha256.Sum256(graph)
	return object(fields{"format": 2, "architecture": "LlamaForCausalLM", "compute": "float32", "weights": "float32", "opset": 21, "dims": raw(`{"hidden":2}`),
		"stages": raw(`[{"name":"a","graph":"add","params":{"w":{"tensor":"t"}},"inputs":["x"]}]`), "aliases": raw(`{"add":{"y":"x"}}`),
		"files": raw(fmt.Sprintf(`{"add.onnx":%q}`, hex.EncodeToString(sum[:])))}, other)
}

func artifactCases() []Case {
	good := modelOf(message{}.text(graphName, "g").under(graphInput, value("x", 1, 2), value("w", 1, 2)).under(graphOutput, value("y", 1, 2)).under(graphNode, node("Add", in("x", "w"), in("y"))))
	l := list{file: "manifest.json", beside: map[string][]byte{"add.onnx": good}}
	whole := manifest(good, nil)
	l.cuts(whole, 0, 1, 40, -2, -1)
	set := func(name, field, text string) { l.add(name, manifest(good, fields{field: raw(text)})) }
	for _, f := range [][2]string{{"a list", `[]`}, {"null", `null`}, {"an empty object", `{}`}, {"more after the end", string(whole) + "{}"},
		{"format twice", `{"format":2,` + string(whole[1:])}, {"an unknown field", `{"version":2,` + string(whole[1:])}, {"no UTF-8", "{\"note\":\"\xff\"," + string(whole[1:])},
		{"nests deep", `{"rotary":` + deep("[", "", "]", 20_000) + "," + string(whole[1:])}} {
		l.text(f[0], f[1])
	}
	for _, f := range [][3]string{
		{"format of the past", "format", `1`}, {"format of the future", "format", `3`}, {"format is text", "format", `"2"`}, {"format of 2 to the 63", "format", `9223372036854775808`},
		{"a size is negative", "dims", `{"hidden":-2}`}, {"a size of zero", "dims", `{"hidden":0}`}, {"a size is a fraction", "dims", `{"hidden":2.5}`},
		{"a size of 2 to the 63", "dims", `{"hidden":9223372036854775808}`}, {"a size twice", "dims", `{"hidden":2,"hidden":3}`}, {"sizes are a list", "dims", `[2]`},
		{"stages are an object", "stages", `{}`}, {"a stage's graph is missing", "stages", `[{"name":"a","graph":"mul","params":{},"inputs":[]}]`},
		{"a stage's input is not in its graph", "stages", `[{"name":"a","graph":"add","params":{"w":{"tensor":"t"}},"inputs":["z"]}]`},
		{"a stage's parameter is not in its graph", "stages", `[{"name":"a","graph":"add","params":{"v":{"tensor":"t"}},"inputs":["x"]}]`},
		{"a stage's parameter has no tensor", "stages", `[{"name":"a","graph":"add","params":{"w":{}},"inputs":["x"]}]`},
		{"a stage without a name", "stages", `[{"graph":"add","params":{"w":{"tensor":"t"}},"inputs":["x"]}]`},
		{"two stages of one name", "stages", `[{"name":"a","graph":"add","params":{"w":{"tensor":"t"}},"inputs":["x"]},{"name":"a","graph":"add","params":{"w":{"tensor":"u"}},"inputs":["x"]}]`},
		{"a parameter twice", "stages", `[{"name":"a","graph":"add","params":{"w":{"tensor":"t"},"w":{"tensor":"u"}},"inputs":["x"]}]`},
		{"an alias of a graph that is missing", "aliases", `{"mul":{"y":"x"}}`}, {"an alias of an output that is missing", "aliases", `{"add":{"z":"x"}}`},
		{"an alias of an input that is missing", "aliases", `{"add":{"y":"z"}}`}, {"an alias of an output to itself", "aliases", `{"add":{"y":"y"}}`}, {"aliases are a list", "aliases", `[]`},
		{"no file", "files", `{}`}, {"files are a list", "files", `["add.onnx"]`}, {"a file that is missing", "files", `{"mul.onnx":"00"}`}, {"a file above the folder", "files", `{"../add.onnx":"00"}`},
		{"a file below", "files", `{"a/add.onnx":"00"}`}, {"a file at an absolute path", "files", `{"/add.onnx":"00"}`}, {"a file that is no graph", "files", `{"add.txt":"00"}`},
		{"a file without a name", "files", `{".onnx":"00"}`}, {"a digest of another file", "files", `{"add.onnx":"00"}`}, {"a digest that is a number", "files", `{"add.onnx":0}`}, {"a digest that is empty", "files", `{"add.onnx":""}`},
		{"an unknown type to compute in", "compute", `"float99"`}, {"opset of minus one", "opset", `-1`},
	} {
		set(f[0], f[1], f[2])
	}
	cut := good[:len(good)-5]
	l.with("a graph that is cut, with its digest", manifest(cut, nil), map[string][]byte{"add.onnx": cut})
	l.with("a graph that was changed", whole, map[string][]byte{"add.onnx": cut})
	l.with("a graph of nothing, with its digest", manifest(nil, nil), map[string][]byte{"add.onnx": nil})
	shared := modelOf(message{}.text(graphName, "g").under(graphInput, value("x", 1, 2), value("w", 1, 2)).under(graphOutput, value("y", 1, 2), value("z", 1, 2)).
		under(graphNode, node("Add", in("x", "w"), in("y")), node("Mul", in("x", "w"), in("z"))))
	l.with("an alias that is read after it is written", manifest(shared, nil), map[string][]byte{"add.onnx": shared})
	l.with("two outputs share an input", manifest(shared, fields{"aliases": raw(`{"add":{"y":"x","z":"x"}}`)}), map[string][]byte{"add.onnx": shared})
	wide := modelOf(message{}.text(graphName, "g").under(graphInput, value("x", 1, 1), value("w", 1, 2)).under(graphOutput, value("y", 1, 2)).under(graphNode, node("Add", in("x", "w"), in("y"))))
	l.with("an alias of another shape", manifest(wide, nil), map[string][]byte{"add.onnx": wide})
	l.cases = append(l.cases, Case{Name: "a graph behind a link", Files: map[string][]byte{"manifest.json": whole, "elsewhere/add.onnx": good}, Links: map[string]string{"add.onnx": "elsewhere/add.onnx"}})
	return l.cases
}

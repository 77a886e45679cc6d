package chat

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	tokenData tokenKind = iota
	tokenVariable
	tokenVariableEnd
	tokenBlock
	tokenBlockEnd
	tokenName
	tokenString
	tokenInteger
	tokenFloat
	tokenOperator
	tokenEOF
)

type token struct {
	kind   tokenKind
	text   string // of data, names, strings and operators
	number any    // int64 or float64
	line   int
}

// String names a token in an error.
func (t token) String() string {
	switch t.kind {
	case tokenEOF:
		return "the end of the template"
	case tokenVariableEnd:
		return "}}"
	case tokenBlockEnd:
		return "%}"
	case tokenVariable, tokenBlock, tokenData:
		return "text"
	case tokenString:
		return strconv.Quote(t.text)
	case tokenInteger, tokenFloat:
		return "a number"
	}
	return t.text
}

// A lexer cuts a template into tokens, with Jinja's rules of white space: trim_blocks and lstrip_blocks are on, one newline at
// the end of the template is left out.
type lexer struct {
	src         string
	pos, line   int
	lineStart   bool // the last token ended with a newline, so that blanks before a block are the whole line's
	tokens      []token
	parentheses []byte // that are open within a tag
}

func lex(source string, line *int) []token {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	l := &lexer{src: strings.TrimSuffix(source, "\n"), line: 1, lineStart: true}
	defer func() { *line = l.line }()
	for l.pos < len(l.src) {
		l.data()
	}
	l.add(token{kind: tokenEOF})
	return l.tokens
}

func (l *lexer) add(t token) {
	t.line = l.line
	l.tokens = append(l.tokens, t)
}

// advance passes over n bytes.
func (l *lexer) advance(n int) {
	passed := l.src[l.pos : l.pos+n]
	l.line += strings.Count(passed, "\n")
	l.lineStart = strings.HasSuffix(passed, "\n")
	l.pos += n
}

// data takes the text before the next tag, and the tag.
func (l *lexer) data() {
	rest := l.src[l.pos:]
	at := strings.IndexByte(rest, '{')
	for at >= 0 && (at+1 == len(rest) || !strings.ContainsRune("{%#", rune(rest[at+1]))) {
		next := strings.IndexByte(rest[at+1:], '{')
		if next < 0 {
			at = -1
			break
		}
		at += 1 + next
	}
	if at < 0 {
		l.add(token{kind: tokenData, text: rest})
		l.advance(len(rest))
		return
	}
	opener := rest[at : at+2]
	if text := stripped(rest[:at], sign(rest[at+2:]), opener == "{{", l.lineStart); text != "" {
		l.add(token{kind: tokenData, text: text})
	}
	if m := rawBegin.FindString(rest[at:]); m != "" {
		l.advance(at + len(m))
		l.raw()
		return
	}
	l.advance(at + 2 + len(sign(rest[at+2:])))
	switch opener {
	case "{#":
		l.comment()
	case "{{":
		l.add(token{kind: tokenVariable})
		l.tag(tokenVariableEnd)
	default:
		l.add(token{kind: tokenBlock})
		l.tag(tokenBlockEnd)
	}
}

// sign is the - or + behind the opening of a tag, or before its end.
func sign(text string) string {
	if text != "" && (text[0] == '-' || text[0] == '+') {
		return text[:1]
	}
	return ""
}

// stripped is the text before a tag without what the tag takes away.
func stripped(text, sign string, variable, lineStart bool) string {
	switch {
	case sign == "-":
		return strings.TrimRightFunc(text, isSpace)
	case sign == "+" || variable:
		return text
	}
	start := strings.LastIndexByte(text, '\n') + 1
	if (start > 0 || lineStart) && strings.TrimFunc(text[start:], isSpace) == "" {
		return text[:start]
	}
	return text
}

var (
	rawBegin = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(?:-%\}\s*|%\})`)
	rawEnd   = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*(?:\+%\}|-%\}\s*|%\}\n?)`)
)

func (l *lexer) raw() {
	rest := l.src[l.pos:]
	m := rawEnd.FindStringSubmatchIndex(rest)
	if m == nil {
		l.fail("a raw block is not ended: {%% endraw %%} is needed")
	}
	if text := stripped(rest[:m[0]], rest[m[2]:m[3]], false, l.lineStart); text != "" {
		l.add(token{kind: tokenData, text: text})
	}
	l.advance(m[1])
}

func (l *lexer) comment() {
	end := strings.Index(l.src[l.pos:], "#}")
	if end < 0 {
		l.fail("a comment is not ended: #} is needed")
	}
	before := ""
	if end > 0 {
		before = sign(l.src[l.pos+end-1:])
	}
	l.advance(end + 2)
	l.closed(before)
}

// closed takes the white space behind the end of a block or comment.
func (l *lexer) closed(sign string) {
	rest := l.src[l.pos:]
	switch {
	case sign == "-":
		if n := len(rest) - len(strings.TrimLeftFunc(rest, isSpace)); n > 0 {
			l.advance(n)
		}
	case sign == "" && strings.HasPrefix(rest, "\n"):
		l.advance(1)
	}
}

// tag takes what stands within a tag, and its end.
func (l *lexer) tag(end tokenKind) {
	closer := map[tokenKind]string{tokenVariableEnd: "}}", tokenBlockEnd: "%}"}[end]
	l.parentheses = l.parentheses[:0]
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		if len(l.parentheses) == 0 {
			before := ""
			if s := sign(rest); s == "-" || s == "+" && end == tokenBlockEnd {
				before = s
			}
			if strings.HasPrefix(rest[len(before):], closer) {
				l.advance(len(before) + 2)
				l.add(token{kind: end})
				if end == tokenBlockEnd || before == "-" {
					l.closed(before)
				}
				return
			}
		}
		l.within(rest)
	}
	l.fail("a tag is not ended: %s is needed", closer)
}

var (
	floats    = regexp.MustCompile(`^(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?[eE][+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)`)
	integers  = regexp.MustCompile(`^(?:0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|[1-9](?:_?\d)*|0(?:_?0)*)`)
	literals  = regexp.MustCompile(`^(?s:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")`)
	operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}
)

// within takes one token of a tag.
func (l *lexer) within(rest string) {
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case isSpace(r):
		l.advance(size)
		return
	case '0' <= r && r <= '9':
		l.number(rest)
		return
	case r == '_' || unicode.IsLetter(r):
		n := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		})
		if n < 0 {
			n = len(rest)
		}
		l.add(token{kind: tokenName, text: rest[:n]})
		l.advance(n)
		return
	case r == '"' || r == '\'':
		m := literals.FindString(rest)
		if m == "" {
			l.fail("a string is not ended")
		}
		l.add(token{kind: tokenString, text: l.unescape(m[1 : len(m)-1])})
		l.advance(len(m))
		return
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.balance(op)
			l.add(token{kind: tokenOperator, text: op})
			l.advance(len(op))
			return
		}
	}
	l.fail("unexpected character %q", r)
}

func (l *lexer) number(rest string) {
	afterDot := l.pos > 0 && l.src[l.pos-1] == '.'
	if m := floats.FindString(rest); m != "" && !afterDot {
		f, err := strconv.ParseFloat(strings.ReplaceAll(m, "_", ""), 64)
		if err != nil {
			l.fail("%s is beyond a float64", m)
		}
		l.add(token{kind: tokenFloat, number: f})
		l.advance(len(m))
		return
	}
	m := integers.FindString(rest)
	i, err := strconv.ParseInt(strings.ReplaceAll(m, "_", ""), 0, 64)
	if err != nil {
		l.fail("%.40s is beyond 64 bits", m)
	}
	l.add(token{kind: tokenInteger, number: i})
	l.advance(len(m))
}

func (l *lexer) balance(op string) {
	switch op {
	case "(":
		l.parentheses = append(l.parentheses, ')')
	case "[":
		l.parentheses = append(l.parentheses, ']')
	case "{":
		l.parentheses = append(l.parentheses, '}')
	case ")", "]", "}":
		n := len(l.parentheses)
		if n == 0 {
			l.fail("unexpected %s", op)
		}
		if want := l.parentheses[n-1]; want != op[0] {
			l.fail("unexpected %s, expected %c", op, want)
		}
		l.parentheses = l.parentheses[:n-1]
	}
	if len(l.parentheses) > maxNesting {
		fail(Limit, "parentheses nest more than %d deep", maxNesting)
	}
}

// unescape reads a string as Python's unicode-escape does: an unknown escape stays as it is.
func (l *lexer) unescape(s string) string {
	if !strings.ContainsRune(s, '\\') {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; {
		case c == '\n':
		case c == '\\' || c == '\'' || c == '"':
			b.WriteByte(c)
		case strings.IndexByte("abfnrtv", c) >= 0:
			b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
		case '0' <= c && c <= '7':
			n := 1
			for n < 3 && i+n < len(s) && '0' <= s[i+n] && s[i+n] <= '7' {
				n++
			}
			b.WriteRune(l.codePoint(s[i:i+n], 8))
			i += n - 1
		case c == 'x' || c == 'u' || c == 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if i+n >= len(s) {
				l.fail(`the escape \%c needs %d hexadecimal digits`, c, n)
			}
			b.WriteRune(l.codePoint(s[i+1:i+1+n], 16))
			i += n
		case c == 'N':
			fail(Unsupported, `characters by name (\N{...}) are not known: write the character itself`)
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (l *lexer) codePoint(digits string, base int) rune {
	r, err := strconv.ParseUint(digits, base, 32)
	if err != nil || !utf8.ValidRune(rune(r)) {
		l.fail("the escape of %s is no character", digits)
	}
	return rune(r)
}

func (l *lexer) fail(format string, args ...any) { fail(Syntax, format, args...) }

// isSpace is Python's str.isspace.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

package report

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"image/color"
	"regexp"
	"strings"
)

// The colours of plots. Plots are drawn in those of the light theme; on the page each is a CSS variable, which has another value
// where the reader's theme is dark. So no two may be equal, nor may one be black, which the library leaves out as a fill.
var (
	paper     = color.RGBA{0xff, 0xff, 0xff, 0xff}
	ink       = color.RGBA{0x1d, 0x1f, 0x24, 0xff}
	rule      = color.RGBA{0x8a, 0x8f, 0x98, 0xff}
	faintRule = color.RGBA{0xe4, 0xe6, 0xea, 0xff}

	darkPaper = color.RGBA{0x16, 0x18, 0x1d, 0xff}
)

// tint is a colour of series, in full and pale.
type tint struct{ full, pale, dark, darkPale color.RGBA }

// tints are told apart by those who see few colours, as far as eight can be, and stand out from the paper (3:1 at least).
var tints = []tint{
	newTint(0x0066a8, 0x5ab4f0), newTint(0xc94f00, 0xff9a5c), newTint(0x00805f, 0x35cfa2), newTint(0xa63d80, 0xf29ccb),
	newTint(0x7d6300, 0xe2c549), newTint(0x6a45b8, 0xb9a1f5), newTint(0x5a6270, 0xaab1bf), newTint(0x8c3b2e, 0xe08f7f),
}

func newTint(light, dark uint32) tint {
	full, dim := rgb(light), rgb(dark)
	return tint{full, mix(full, paper), dim, mix(dim, darkPaper)}
}

func rgb(v uint32) color.RGBA { return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 0xff} }

// mix is two fifths of a colour on another.
func mix(c, on color.RGBA) color.RGBA {
	part := func(a, b uint8) uint8 { return uint8((2*int(a) + 3*int(b)) / 5) }
	return color.RGBA{part(c.R, on.R), part(c.G, on.G), part(c.B, on.B), 0xff}
}

// variable is a colour's name in CSS, and its values.
type variable struct {
	name        string
	light, dark color.RGBA
}

func variables() []variable {
	all := []variable{
		{"paper", paper, darkPaper},
		{"ink", ink, color.RGBA{0xe8, 0xea, 0xee, 0xff}},
		{"rule", rule, color.RGBA{0x75, 0x7b, 0x86, 0xff}},
		{"faint", faintRule, color.RGBA{0x2b, 0x2f, 0x37, 0xff}},
	}
	for i, t := range tints {
		all = append(all, variable{fmt.Sprintf("c%d", i), t.full, t.dark}, variable{fmt.Sprintf("p%d", i), t.pale, t.darkPale})
	}
	return all
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

// themes is the CSS that gives the variables their values: light, dark where the reader's theme is, and light again on paper.
func themes() template.CSS {
	var light, dark strings.Builder
	for _, v := range variables() {
		fmt.Fprintf(&light, "--%s:%s;", v.name, hex(v.light))
		fmt.Fprintf(&dark, "--%s:%s;", v.name, hex(v.dark))
	}
	return template.CSS(fmt.Sprintf(":root{color-scheme:light dark;%s}\n@media screen and (prefers-color-scheme:dark){:root{%s}}\n", light.String(), dark.String()))
}

var (
	drawnColour = regexp.MustCompile(`(fill|stroke):(#[0-9A-F]{6})`)
	drawnFont   = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;`)
	drawnHead   = regexp.MustCompile(`(?s)^.*?<svg [^>]*>`)
)

// onPage is the plot as a part of the page: with its title and description, the page's font, and variables for colours.
func (f figure) onPage() (template.HTML, error) {
	var b bytes.Buffer
	if err := f.svg(&b); err != nil {
		return "", err
	}
	names := map[string]string{}
	for _, v := range variables() {
		names[hex(v.light)] = v.name
	}
	text := drawnFont.ReplaceAllString(b.String(), "")
	text = drawnColour.ReplaceAllStringFunc(text, func(found string) string {
		property, colour, _ := strings.Cut(found, ":")
		if name, ok := names[colour]; ok {
			return property + ":var(--" + name + ")"
		}
		return found
	})
	w, h := f.size()
	head := fmt.Sprintf(`<svg viewBox="0 0 %g %g" role="img" aria-labelledby="%[3]s-title %[3]s-text"><title id="%[3]s-title">%[4]s</title><desc id="%[3]s-text">%[5]s</desc>`,
		float64(w), float64(h), f.id, html.EscapeString(f.title), html.EscapeString(f.text))
	return template.HTML(drawnHead.ReplaceAllLiteralString(text, head)), nil
}

// onDisk is the plot as a file of its own: fonts that stand in for the library's are named.
func (f figure) onDisk() ([]byte, error) {
	var b bytes.Buffer
	if err := f.svg(&b); err != nil {
		return nil, err
	}
	return drawnFont.ReplaceAll(b.Bytes(), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil
}

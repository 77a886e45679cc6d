package report

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes in points of print. A phone is about as wide as a plot, so that text keeps its size there.
const (
	plotWidth   = vg.Length(400)
	plotHeight  = vg.Length(230) // without the legend
	textSize    = vg.Length(11)
	legendLine  = vg.Length(15)
	thumbWidth  = vg.Length(24)
	legendSpace = vg.Length(12) // between entries
	glyphRadius = vg.Length(3)
	pngDPI      = 192
)

var (
	sans   = font.Font{Typeface: "Liberation", Variant: "Sans"}
	dashes = [][]vg.Length{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}}
	glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.CrossGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}}
)

// writing is how text of a colour looks.
func writing(c color.Color) text.Style {
	return text.Style{Color: c, Font: font.From(sans, textSize), Handler: plot.DefaultTextHandler}
}

// size is that of the plot with its legend.
func (f figure) size() (w, h vg.Length) {
	return plotWidth, plotHeight + legendLine*vg.Length(len(f.legend())) + 4
}

// svg writes the plot in the colours of the light theme.
func (f figure) svg(w io.Writer) error {
	c := vgsvg.NewWith(vgsvg.UseWH(f.size()))
	if err := f.draw(c); err != nil {
		return err
	}
	_, err := c.WriteTo(w)
	return err
}

// png writes the plot as an image of 1067 pixels' width.
func (f figure) png(w io.Writer) error {
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(f.size()), vgimg.UseDPI(pngDPI))}
	if err := f.draw(c); err != nil {
		return err
	}
	_, err := c.WriteTo(w)
	return err
}

func (f figure) draw(on vg.CanvasSizer) error {
	p, err := f.plot()
	if err != nil {
		return fmt.Errorf("drawing %s: %w", f.title, err)
	}
	c := draw.New(on)
	c.SetColor(paper)
	c.Fill(c.Path())
	rows := f.legend()
	p.Draw(draw.Crop(c, 2, -8, 2, -legendLine*vg.Length(len(rows))-4))
	for i, row := range rows {
		f.drawLegend(c, row, c.Max.Y-legendLine*(vg.Length(i)+0.5)-2)
	}
	return nil
}

// legend breaks the entries into rows; there is none where one series needs no name.
func (f figure) legend() (rows [][]int) {
	if len(f.series) == 1 && f.series[0].title == "training" {
		return nil
	}
	left := vg.Length(0)
	for i, s := range f.series {
		if s.title == "" {
			continue
		}
		w := thumbWidth + 4 + writing(ink).Width(s.title) + legendSpace
		if len(rows) == 0 || w > left {
			rows, left = append(rows, nil), plotWidth-8
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], i)
		left -= w
	}
	return rows
}

// drawLegend draws entries around a height.
func (f figure) drawLegend(c draw.Canvas, row []int, y vg.Length) {
	x := c.Min.X + 6
	style := writing(ink)
	style.YAlign = draw.YCenter
	for _, i := range row {
		s := f.series[i]
		if s.line {
			c.StrokeLine2(s.stroke(), x, y, x+thumbWidth, y)
		}
		if s.dots {
			c.DrawGlyphNoClip(s.spot(), vg.Point{X: x + thumbWidth/2, Y: y})
		}
		c.FillText(style, vg.Point{X: x + thumbWidth + 4, Y: y}, s.title)
		x += thumbWidth + 4 + style.Width(s.title) + legendSpace
	}
}

// stroke is a series' line.
func (l look) stroke() draw.LineStyle {
	s := draw.LineStyle{Color: tints[l.colour%len(tints)].full, Width: 1.6, Dashes: dashes[l.dash%len(dashes)]}
	if l.faint {
		s.Width = 0.8
	}
	return s
}

// pale is the line of points whose mean is drawn over them.
func (l look) pale() draw.LineStyle {
	s := l.stroke()
	s.Color, s.Width, s.Dashes = tints[l.colour%len(tints)].pale, 0.8, nil
	return s
}

// spot is a series' glyph.
func (l look) spot() draw.GlyphStyle {
	return draw.GlyphStyle{Color: tints[l.colour%len(tints)].full, Radius: glyphRadius, Shape: glyphs[l.glyph%len(glyphs)]}
}

// plot is the figure without its legend.
func (f figure) plot() (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = nil
	dress(&p.X, f.x)
	dress(&p.Y, f.y)
	grid := plotter.NewGrid()
	grid.Horizontal, grid.Vertical = draw.LineStyle{Color: faintRule, Width: 0.5}, draw.LineStyle{Color: faintRule, Width: 0.5}
	p.Add(grid)
	for _, layer := range []func(series) ([]plot.Plotter, error){series.under, series.over} {
		for _, s := range f.series {
			drawn, err := layer(s)
			if err != nil {
				return nil, err
			}
			p.Add(drawn...)
		}
	}
	widen(&p.X)
	widen(&p.Y)
	return p, nil
}

// dress gives an axis its label and looks.
func dress(a *plot.Axis, label string) {
	a.Label.Text, a.Label.Padding, a.Padding = label, 3, 3
	a.Label.TextStyle.Font, a.Label.TextStyle.Color = font.From(sans, textSize), ink
	a.Tick.Label.Font, a.Tick.Label.Color = font.From(sans, textSize-1), ink
	a.Tick.Marker, a.Tick.Length, a.Color = ticks{}, 0, rule
}

// under are a series' error bars, and its points where their mean is drawn.
func (s series) under() (drawn []plot.Plotter, err error) {
	if s.mean != nil {
		return lines(s.points, s.pale(), s.spot())
	}
	if s.bars {
		for _, part := range segments(s.points) {
			x, err := plotter.NewXErrorBars(bars(part))
			if err != nil {
				return nil, err
			}
			y, err := plotter.NewYErrorBars(bars(part))
			if err != nil {
				return nil, err
			}
			thin := draw.LineStyle{Color: s.spot().Color, Width: 0.8}
			x.LineStyle, y.LineStyle = thin, thin
			drawn = append(drawn, x, y)
		}
	}
	return drawn, nil
}

// over are a series' line and glyphs.
func (s series) over() (drawn []plot.Plotter, err error) {
	shown := s.points
	if s.mean != nil {
		shown = s.mean
	}
	if s.line {
		drawn, err = lines(shown, s.stroke(), s.spot())
	}
	if s.dots && err == nil {
		for _, part := range segments(shown) {
			var dots *plotter.Scatter
			if dots, err = plotter.NewScatter(bars(part)); err != nil {
				break
			}
			dots.GlyphStyle = s.spot()
			drawn = append(drawn, dots)
		}
	}
	return drawn, err
}

// lines draws each stretch between gaps; one of a single point is a glyph.
func lines(marks []mark, style draw.LineStyle, spot draw.GlyphStyle) (drawn []plot.Plotter, err error) {
	for _, part := range segments(marks) {
		if len(part) == 1 {
			dot, err := plotter.NewScatter(bars(part))
			if err != nil {
				return nil, err
			}
			spot.Color, spot.Radius = style.Color, style.Width
			dot.GlyphStyle = spot
			drawn = append(drawn, dot)
			continue
		}
		line, err := plotter.NewLine(bars(part))
		if err != nil {
			return nil, err
		}
		line.LineStyle = style
		drawn = append(drawn, line)
	}
	return drawn, nil
}

// bars are marks as the plotters want them.
type bars []mark

// Len is the number of marks.
func (b bars) Len() int { return len(b) }

// XY is the place of a mark.
func (b bars) XY(i int) (x, y float64) { return b[i].x, b[i].y }

// XError is how far the bar of a mark reaches to the left and to the right.
func (b bars) XError(i int) (left, right float64) { return b[i].left, b[i].right }

// YError is how far the bar of a mark reaches down and up.
func (b bars) YError(i int) (low, high float64) { return b[i].low, b[i].high }

// widen makes room around values that are all nearly equal; ticks less than a millionth of the values apart could not be told apart.
func widen(a *plot.Axis) {
	size := max(math.Abs(a.Min), math.Abs(a.Max))
	if a.Max-a.Min < 1e-6*size {
		a.Min -= 0.05 * size
		a.Max += 0.05 * size
	}
}

// ticks are the library's, labelled as the tables are.
type ticks struct{}

// Ticks gives the ticks of an axis.
func (ticks) Ticks(least, most float64) []plot.Tick {
	marks := plot.DefaultTicks{}.Ticks(least, most)
	for i := range marks {
		if !marks[i].IsMinor() {
			marks[i].Label = number(marks[i].Value)
		}
	}
	return marks
}

package main

import (
	"fmt"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// palette is Okabe and Ito's, which people who are colour blind can tell apart.
var palette = []color.Color{
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0x99, 0x99, 0x99, 0xff},
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0x33, 0x33, 0x33, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
}

// newPlot has the legend above the drawing.
func newPlot(title, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Y.Label.Text = y
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = vg.Points(8)
	p.Add(plotter.NewGrid())
	return p
}

// learning is the paper's Fig. 3: a line for each curve, with the spread of its blocks.
func learning(r *evaluation.Results) (*plot.Plot, error) {
	if len(r.Curves) == 0 {
		return nil, nil
	}
	p := newPlot("Feasibility: normal units flagged after learning from so many (the paper's Fig. 3)", "false positives, mean of up to five blocks, %")
	p.X.Label.Text = "units learnt from"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, sizes(r)
	p.Y.Min, p.Y.Max = 0, 105
	p.Legend.YOffs = -vg.Points(90) // between what holds and what does not
	for i, c := range r.Curves {
		var line plotter.XYs
		spread := spread{color: palette[i%len(palette)]}
		for _, point := range c.Points {
			if point.Blocks == 0 {
				continue
			}
			line = append(line, plotter.XY{X: float64(point.Units), Y: 100 * *point.Mean})
			spread.of = append(spread.of, [3]float64{float64(point.Units), 100 * *point.Least, 100 * *point.Most})
		}
		l, s, err := plotter.NewLinePoints(line)
		if err != nil {
			return nil, err
		}
		l.Color, s.Color = palette[i%len(palette)], palette[i%len(palette)]
		l.Width = vg.Points(1.5)
		s.Shape = draw.CircleGlyph{}
		p.Add(l, s, spread)
		p.Legend.Add(fmt.Sprintf("%s, set %s, method %s", c.Data, c.Set, c.Method), l, s)
	}
	return p, nil
}

// sizes are the ticks of learning.
func sizes(r *evaluation.Results) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, point := range r.Curves[0].Points {
		ticks = append(ticks, plot.Tick{Value: float64(point.Units), Label: fmt.Sprint(point.Units)})
	}
	return ticks
}

// spread draws a line from the least to the most at each place.
type spread struct {
	of    [][3]float64
	color color.Color
}

// Plot implements plot.Plotter.
func (s spread) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, v := range s.of {
		c.StrokeLine2(draw.LineStyle{Color: s.color, Width: vg.Points(1)}, x(v[0]), y(v[1]), x(v[0]), y(v[2]))
	}
}

// effectiveness is the paper's Fig. 4: groups of bars, F by unit.
func effectiveness(strength string) func(*evaluation.Results) (*plot.Plot, error) {
	return func(r *evaluation.Results) (*plot.Plot, error) {
		var names []string
		for _, a := range r.Arms {
			for _, s := range a.Result.Scenarios {
				if name, ok := strings.CutPrefix(s.Name, strength+"-"); ok && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		if len(names) == 0 {
			return nil, nil
		}
		p := newPlot("Effectiveness, "+strength+" attacks (the paper's Fig. 4.a)", "F-measure by unit")
		p.Y.Min, p.Y.Max = 0, 1.4 // room for the legend
		p.Y.Tick.Marker = tenths()
		width := vg.Points(9)
		for i, a := range r.Arms {
			values := make(plotter.Values, len(names))
			for _, s := range a.Result.Scenarios {
				if at := slices.Index(names, strings.TrimPrefix(s.Name, strength+"-")); at >= 0 && strings.HasPrefix(s.Name, strength) {
					values[at] = s.FMeasure
				}
			}
			bars, err := plotter.NewBarChart(values, width)
			if err != nil {
				return nil, err
			}
			bars.Color, bars.LineStyle.Width = palette[i%len(palette)], 0
			bars.Offset = width * vg.Length(float64(i)-float64(len(r.Arms)-1)/2)
			p.Add(bars)
			p.Legend.Add(label(a), bars)
		}
		p.NominalX(names...)
		p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
		return p, nil
	}
}

func label(a evaluation.Arm) string {
	what := map[string]string{
		evaluation.SetPaper: "selected probes", evaluation.SetCounts: "all probes", evaluation.SetSyscalls: "system calls", evaluation.SetDefault: "default set",
	}[a.Set]
	method := "default"
	if a.Method == model.MethodPaper {
		method = "the paper's"
	}
	return what + ", method: " + method
}

func tenths() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for i := range 6 {
		ticks = append(ticks, plot.Tick{Value: float64(i) / 5, Label: fmt.Sprintf("%.1f", float64(i)/5)})
	}
	return ticks
}

// ablation has the least F by sequence of each variant on each corpus.
func ablation(r *evaluation.Results) (*plot.Plot, error) {
	if len(r.Ablation) == 0 || len(r.Ablation[0].Results) == 0 {
		return nil, nil
	}
	p := newPlot("Ablation: the least of eight scenarios' F-measures", "F-measure by sequence")
	p.Y.Min, p.Y.Max = 0, 1.25
	p.Y.Tick.Marker = tenths()
	width := vg.Points(8)
	corpora := r.Ablation[0].Results
	for i, c := range corpora {
		values := make(plotter.Values, len(r.Ablation))
		for k, a := range r.Ablation {
			if i < len(a.Results) && a.Results[i].Result.MinSequenceFMeasure != nil {
				values[k] = *a.Results[i].Result.MinSequenceFMeasure
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = palette[i%len(palette)], 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(corpora)-1)/2)
		p.Add(bars)
		p.Legend.Add(c.Corpus, bars)
	}
	names := make([]string, len(r.Ablation))
	for k, a := range r.Ablation {
		names[k] = strings.Trim(a.Name, "*")
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	p.X.Tick.Label.Rotation = 0.6
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	p.X.Tick.Label.Font.Size = vg.Points(7)
	return p, nil
}

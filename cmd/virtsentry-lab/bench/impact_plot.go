package bench

import (
	"fmt"
	"image/color"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// colours are Okabe and Ito's, which people who are colour blind can tell apart.
var colours = []color.Color{
	color.RGBA{0x99, 0x99, 0x99, 0xff}, color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
}

// PlotImpact draws what observing costs, as the paper's Fig. 6 has it: into figures, from the results in dir. Where there are none it draws nothing.
func PlotImpact(dir, figures string) error {
	f, ok, err := Read[Impact](dir, ImpactName)
	if !ok || err != nil {
		return err
	}
	for _, figure := range []struct {
		name, title, of string
		quantity        func(ImpactCost) float64
	}{
		{"impact-cpu", "What observing costs a guest: by QEMU's CPU time (the paper's Fig. 6)", "lost of the work for each second of QEMU's CPU time, %", cpuOf},
		{"impact-time", "What observing costs a guest: by time (the paper's Fig. 6)", "lost of the work for each second, %", secondsOf},
	} {
		p := plot.New()
		p.Title.Text, p.Y.Label.Text = figure.title, figure.of
		p.Legend.Top = true
		p.Legend.Left = true
		p.Add(plotter.NewGrid())
		if err := impactBars(p, f.Result.Workloads, figure.quantity); err != nil {
			return err
		}
		if err := p.Save(24*vg.Centimeter, 12*vg.Centimeter, filepath.Join(figures, figure.name+".svg")); err != nil {
			return fmt.Errorf("draw %s: %w", figure.name, err)
		}
	}
	return nil
}

// impactBars adds a group of bars for each workload, with the intervals.
func impactBars(p *plot.Plot, workloads []ImpactWorkload, of func(ImpactCost) float64) error {
	var names []string
	for _, w := range workloads {
		names = append(names, w.Name)
	}
	width := vg.Points(18)
	for i, arm := range ImpactArms {
		var values plotter.Values
		whiskers := whiskers{colour: color.Black, offset: width * vg.Length(float64(i)-float64(len(ImpactArms)-1)/2)}
		for k, w := range workloads {
			c, _, _, err := w.cost(arm, of)
			if err != nil {
				return err
			}
			values = append(values, 100*c.Median)
			whiskers.of = append(whiskers.of, [3]float64{float64(k), 100 * c.Low, 100 * c.High})
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width, bars.Offset = colours[i], 0, whiskers.offset
		p.Add(bars, whiskers)
		p.Legend.Add(arm, bars)
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	return nil
}

// whiskers draws a line from a low to a high value beside each place.
type whiskers struct {
	of     [][3]float64
	colour color.Color
	offset vg.Length
}

// Plot implements plot.Plotter.
func (w whiskers) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, v := range w.of {
		c.StrokeLine2(draw.LineStyle{Color: w.colour, Width: vg.Points(1)}, x(v[0])+w.offset, y(v[1]), x(v[0])+w.offset, y(v[2]))
	}
}

// DataRange implements plot.DataRanger.
func (w whiskers) DataRange() (xmin, xmax, ymin, ymax float64) {
	for i, v := range w.of {
		if i == 0 {
			xmin, xmax, ymin, ymax = v[0], v[0], v[1], v[2]
		}
		xmin, xmax, ymin, ymax = min(xmin, v[0]), max(xmax, v[0]), min(ymin, v[1]), max(ymax, v[2])
	}
	return xmin, xmax, ymin, ymax
}

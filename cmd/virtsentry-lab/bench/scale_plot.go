package bench

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// scaleColours are Okabe and Ito's, which people who are colour blind can tell apart.
var scaleColours = []color.Color{
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x33, 0x33, 0x33, 0xff},
	color.RGBA{0x00, 0x9e, 0x73, 0xff},
}

// DrawScale draws dir/scale-cpu.svg and dir/scale-memory.svg: what is taken for each domain, by the number of domains.
func DrawScale(s Scale, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	steady := s.web()
	type curve struct {
		name  string
		value func(ScalePoint) float64
	}
	ms := func(f func(ScalePoint) Usage) func(ScalePoint) float64 {
		return func(p ScalePoint) float64 { return p.Each(f(p)).Seconds() * 1e3 }
	}
	mib := func(f func(ScalePoint) Usage) func(ScalePoint) float64 {
		return func(p ScalePoint) float64 { return float64(f(p).PSS) / (1 << 20) }
	}
	for _, f := range []struct {
		name, title, y string
		curves         []curve
	}{
		{"scale-cpu.svg", "CPU time for each domain and unit of two seconds", "ms",
			[]curve{{"lttng-sessiond", ms(sessiondOf)}, {"lttng-consumerd", ms(consumerdOf)}, {"virtsentryd", ms(daemonOf)}, {"all", func(p ScalePoint) float64 { return p.All().Seconds() * 1e3 }}}},
		{"scale-memory.svg", "Memory of the daemons", "MiB",
			[]curve{{"lttng-sessiond", mib(sessiondOf)}, {"lttng-consumerd", mib(consumerdOf)}, {"virtsentryd", func(p ScalePoint) float64 { return float64(p.Daemon.RSS) / (1 << 20) }},
				{"virtsentryd may take", func(p ScalePoint) float64 { return float64(mostMemory+memoryEach*p.Domains) / (1 << 20) }}}},
	} {
		p := plot.New()
		p.Title.Text, p.Y.Label.Text, p.X.Label.Text = f.title, f.y, "domains"
		p.X.Scale, p.Y.Min = plot.LogScale{}, 0
		p.Legend.Top, p.Legend.Left = true, f.name != "scale-cpu.svg"
		p.Legend.TextStyle.Font.Size = vg.Points(8)
		p.Add(plotter.NewGrid())
		var ticks plot.ConstantTicks
		for _, at := range steady {
			ticks = append(ticks, plot.Tick{Value: float64(at.Domains), Label: fmt.Sprint(at.Domains)})
		}
		p.X.Tick.Marker = ticks
		for i, c := range f.curves {
			if err := addCurve(p, c.name, scaleColours[i], steady, c.value); err != nil {
				return fmt.Errorf("draw %s: %w", f.name, err)
			}
		}
		if f.name == "scale-cpu.svg" && len(s.Guests) > 0 {
			if err := addCurve(p, "all, real guests", scaleColours[4], s.Guests, func(p ScalePoint) float64 { return p.All().Seconds() * 1e3 }); err != nil {
				return fmt.Errorf("draw %s: %w", f.name, err)
			}
		}
		if err := p.Save(16*vg.Centimeter, 10*vg.Centimeter, filepath.Join(dir, f.name)); err != nil {
			return fmt.Errorf("draw %s: %w", f.name, err)
		}
	}
	return nil
}

func addCurve(p *plot.Plot, name string, c color.Color, points []ScalePoint, value func(ScalePoint) float64) error {
	var line plotter.XYs
	for _, at := range points {
		line = append(line, plotter.XY{X: float64(at.Domains), Y: value(at)})
	}
	l, s, err := plotter.NewLinePoints(line)
	if err != nil {
		return err
	}
	l.Color, s.Color, l.Width, s.Shape = c, c, vg.Points(1.5), draw.CircleGlyph{}
	p.Add(l, s)
	p.Legend.Add(name, l, s)
	return nil
}

package bench

import (
	"fmt"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// PlotUnits draws what it takes to obtain a unit, as the paper's Fig. 5 has it: into figures, from the results in dir. Where there are none it draws nothing.
func PlotUnits(dir, figures string) error {
	f, ok, err := Read[Units](dir, UnitsName)
	if !ok || err != nil {
		return err
	}
	for _, figure := range []struct {
		name, title, of string
		quantity        func(UnitsTrial) float64
	}{
		{"units-cpu", "CPU time to obtain one unit (the paper's Fig. 5)", "CPU time of all that observes, for a unit of all guests, ms", unitCPU},
		{"units-elapsed", "Time to obtain one unit (the paper's Fig. 5)", "from a unit's end until it is there of all guests, ms", unitElapsed},
	} {
		p := plot.New()
		p.Title.Text, p.Y.Label.Text, p.X.Label.Text = figure.title, figure.of, "guests"
		p.Y.Min = 0
		p.Legend.Top, p.Legend.Left = true, true
		p.Add(plotter.NewGrid())
		if err := unitLines(p, f.Result, figure.quantity); err != nil {
			return err
		}
		if err := p.Save(24*vg.Centimeter, 12*vg.Centimeter, filepath.Join(figures, figure.name+".svg")); err != nil {
			return fmt.Errorf("draw %s: %w", figure.name, err)
		}
	}
	return nil
}

// unitLines adds a line for each way to observe, with the least and the most.
func unitLines(p *plot.Plot, u Units, of func(UnitsTrial) float64) error {
	for i, way := range UnitsWays {
		colour := colours[[]int{1, 3, 4}[i]] // as the same ways have in PlotImpact
		var line plotter.XYs
		whiskers := whiskers{colour: colour}
		for _, n := range u.counts() {
			if s, ok := u.spread(way, n, of); ok {
				line = append(line, plotter.XY{X: float64(n), Y: s[0]})
				whiskers.of = append(whiskers.of, [3]float64{float64(n), s[1], s[2]})
			}
		}
		if len(line) == 0 {
			continue
		}
		l, points, err := plotter.NewLinePoints(line)
		if err != nil {
			return err
		}
		l.Color, points.Color, l.Width = colour, colour, vg.Points(1.5)
		points.Shape = draw.CircleGlyph{}
		p.Add(l, points, whiskers)
		p.Legend.Add(wayWords[way], l, points)
	}
	return nil
}

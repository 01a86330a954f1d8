package evaluation

import (
	"fmt"

	"github.com/virtsentry/virtsentry/model"
)

// Curve is a learning curve: the paper's Fig. 3.
type Curve struct {
	Data   string // what was learnt from
	Set    string
	Method model.Method
	Units  int // judged
	Points []model.CurvePoint
}

// curveSizes are the numbers of units that are learnt from, and all of them.
var curveSizes = []int{10, 30, 50, 100, 200, 300}

// curve adds the learning curves of a set and a method.
func (d *Data) curve(r *Results, set string, method model.Method, paper *model.PaperParameters) error {
	if set != SetDefault && set != SetPaper {
		return nil
	}
	if err := addCurve(d.Engine, r, "plan", set, method, d.recordings(set, "train"), d.recordings(set, "normal"), paper); err != nil {
		return err
	}
	if train, normal := d.Swing.of("normal-1"), d.Swing.of("normal-2"); set == SetDefault && len(train) > 0 && len(normal) > 0 {
		return addCurve(d.Engine, r, "swing", set, method, train, normal, nil)
	}
	return nil
}

func addCurve(e model.Engine, r *Results, name, set string, method model.Method, train, normal []model.Recording, paper *model.PaperParameters) error {
	sizes := append([]int(nil), curveSizes...)
	all := whole(train)
	for len(sizes) > 0 && sizes[len(sizes)-1] >= all {
		sizes = sizes[:len(sizes)-1]
	}
	points, err := model.LearningCurve(e, method, train, normal, append(sizes, all), model.EvalOptions{Paper: paper})
	if err != nil {
		return fmt.Errorf("learning curve of %s: %w", name, err)
	}
	r.Curves = append(r.Curves, Curve{Data: name, Set: set, Method: method, Units: judged(normal), Points: points})
	return nil
}

// whole is the number of units that may be learnt from.
func whole(recordings []model.Recording) int {
	n := 0
	for _, r := range recordings {
		for _, u := range r.Units {
			if !u.Partial && !u.Lossy {
				n++
			}
		}
	}
	return n
}

// judged is the number of units that are judged.
func judged(recordings []model.Recording) int {
	n := 0
	for _, r := range recordings {
		for _, u := range r.Units {
			if !u.Partial {
				n++
			}
		}
	}
	return n
}

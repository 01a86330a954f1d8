package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/virtsentry/virtsentry/model"
)

// writeEvaluation writes the report for people.
func writeEvaluation(w io.Writer, r evalReport) error {
	e := r.Evaluation
	low, high := model.BinomialInterval(e.FalsePositives, e.NormalUnits, model.Confidence)
	method := string(e.Method)
	if e.Paper != nil {
		method = fmt.Sprintf("%s (nu %.2f, gamma %.2f, %s of held-out training units outside)", method, e.Paper.Nu, e.Paper.Gamma, percent(e.Paper.FalsePositiveRate))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	line("Method\t%s", method)
	line("Learnt from\t%d units", e.TrainingUnits)
	line("Normal\t%d of %d units judged anomalous: %s (95 %% interval %s to %s); %s of them in state anomalous, false alarms: %d",
		e.FalsePositives, e.NormalUnits, percent(e.FalsePositiveRate), percent(low), percent(high), percent(e.SequenceFalsePositiveRate), e.FalseAlarms)
	if v := r.CrossValidation; v != nil {
		line("Cross-validated\t%d of %d units in %d blocks: %s (95 %% interval %s to %s); false alarms: %d in %.1f hours, fewer than %.0f a day with 95 %% confidence",
			v.FalsePositives, v.Units, v.Folds, percent(v.FalsePositiveRate), percent(v.Low), percent(v.High), v.FalseAlarms, v.Hours, v.AlarmsPerDayBound)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(e.Scenarios) > 0 {
		if err := writeScenarios(w, e); err != nil {
			return err
		}
	}
	if len(r.Curve) > 0 {
		return writeCurve(w, r.Curve)
	}
	return nil
}

func writeScenarios(w io.Writer, e *model.Evaluation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "\nSCENARIO\tUNITS\tSENSITIVITY\tPRECISION\tF\tAUC\tSEQUENCE F\tUNITS TO ALARM")
	for _, s := range e.Scenarios {
		alarm := "no alarm"
		if s.UnitsToAlarm != nil {
			alarm = strconv.Itoa(*s.UnitsToAlarm)
		}
		_, _ = fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%s\n",
			oneLine(s.Name), s.Units, s.Sensitivity, s.Precision, s.FMeasure, s.AUC, s.SequenceFMeasure, alarm)
	}
	_, _ = fmt.Fprintf(t, "median\t\t\t\t%.3f\t\t%.3f\n", *e.MedianFMeasure, *e.MedianSequenceFMeasure)
	_, _ = fmt.Fprintf(t, "least\t\t\t\t%.3f\t\t%.3f\n", *e.MinFMeasure, *e.MinSequenceFMeasure)
	return t.Flush()
}

func writeCurve(w io.Writer, curve []model.CurvePoint) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "\nLEARNT FROM\tFALSE POSITIVES\tBLOCKS\tMEAN\tSPREAD")
	for _, p := range curve {
		if p.Blocks == 0 {
			_, _ = fmt.Fprintf(t, "%d\ttoo few units\t0\t-\t-\n", p.Units)
			continue
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%d\t%s\t%s to %s\n",
			p.Units, percent(*p.FalsePositiveRate), p.Blocks, percent(*p.Mean), percent(*p.Least), percent(*p.Most))
	}
	return t.Flush()
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

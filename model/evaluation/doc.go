// Package evaluation runs the evaluation of Paundu, Okuda, Kadobayashi and Yamaguchi (ICICS 2015, their chapters 4 and
// 5) over recorded units, beside what they found, and what goes beyond it: false alarms a day, what each part of the
// method adds, and whether it carries over to other guests.
//
// It reads no files: [Data] holds the recordings, [Run] judges them, [Results.Tables] puts what was found
// into the tables of model/EVALUATION.md, and [Fill] puts them in their places. What was not recorded is left out. The same
// recordings give the same tables, byte for byte.
package evaluation

// Package model turns vectors of event counts into verdicts about one guest.
//
// A profile is learnt from units of normal operation. It looks at a guest in several ways ([View]): at single units and
// at sums over half a minute, bucket by bucket and octave by octave. For each, counts are scaled
// ([Scaling]), a one-class support vector machine is fitted around them by an
// [Engine], its solution is checked by ourselves ([Certify]), and scores of
// held-out blocks of the same units say which scores are ordinary
// ([Calibration]). A [Sequence] then gives each new unit a verdict, and
// says which features moved; a [Decider] turns the
// verdicts into a state. [Store] keeps one profile file per guest.
// A [Fallback] has a second engine solve what the first one cannot; a
// [Fingerprint] says what, besides the guest, a profile holds for.
//
// The one-class machine is the one of Schölkopf, Platt, Shawe-Taylor, Smola and
// Williamson, "Estimating the Support of a High-Dimensional Distribution"
// (Neural Computation 13, 2001), in the scaling used by LIBSVM; the idea of
// judging a virtual machine by the frequency of trace points in units of two
// seconds is Paundu, Okuda, Kadobayashi and Yamaguchi's (ICICS 2015).
//
// The package does no input or output but that of the profile store, uses no
// cgo, and knows nothing of where counts come from or what features mean.
package model

// Package bench has the project's benchmarks: what `virtsentry-lab bench NAME` measures, keeps in testdata/benchmarks, and writes as tables into
// lttng/BENCHMARKS.md and model/BENCHMARKS.md. A figure of a page is thus one that a command found, on the machine that the page names.
//
// CPU time is the kernel's own account of a process (proc(5), /proc/PID/stat); machines are shared and noisy, so that what is compared is
// measured in one run, in turns, and told as a ratio.
package bench

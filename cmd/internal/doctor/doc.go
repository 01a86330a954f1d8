// Package doctor finds out why virtsentry sees nothing of a domain, or not all of it, or could not from its next start on. It reads /proc, /sys,
// files and sockets, changes nothing, and needs neither the daemon nor root: what it may not read it reports as unknown.
package doctor

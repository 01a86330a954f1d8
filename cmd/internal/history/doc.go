// Package history keeps incidents, with the units around them, in an SQLite database. What is told to it is in memory at once and on disk soon:
// nobody who tells it something waits for a disk. An incident stays in memory until it is on disk, however long that takes; units may be dropped, and are
// counted. One goroutine writes.
package history

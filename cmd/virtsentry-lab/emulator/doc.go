// Package emulator plays visitors of the lab's auction site, as RUBiS's client emulator does: a fixed number of
// sessions, each a Markov chain over the site's pages with negative-exponential think times. It is a closed loop: a
// session waits for its page before it thinks about the next, so a slow server sees fewer requests, not a growing queue.
//
// What a visitor does next is data, not code: table.toml. The same seed gives every session the same walk, as long as
// the site answers the same.
package emulator

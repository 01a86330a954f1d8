package history

import "crypto/rand"

const (
	// idLetters leaves out what is easily taken for something else. An id begins with one of the first idFirst of them, so that it is no number.
	idLetters = "abcdefghjkmnpqrstuvwxyz23456789"
	idFirst   = 23
	idLength  = 8
)

// newID makes an id that no other incident has, on this host or another: there are more than 600,000,000,000.
func newID() string {
	var random [idLength]byte
	_, _ = rand.Read(random[:]) // never fails
	id := []byte{idLetters[int(random[0])%idFirst]}
	for _, b := range random[1:] {
		id = append(id, idLetters[int(b)%len(idLetters)])
	}
	return string(id)
}

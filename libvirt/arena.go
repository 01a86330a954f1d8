package libvirt

// #include <malloc.h>
import "C"

// OneArena has the C library's malloc serve all threads from one arena (mallopt(3), M_ARENA_MAX). libvirt's and LTTng's calls come from whichever thread Go has them run on;
// each would keep an arena of its own, most of it empty, of half a megabyte. Call it before the first of them.
func OneArena() { C.mallopt(C.M_ARENA_MAX, 1) }

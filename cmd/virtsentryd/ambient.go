package main

/*
#include <sys/prctl.h>

// It runs before Go makes a thread, and each thread has the ambient capabilities of the one that made it.
__attribute__((constructor)) static void drop_ambient(void) {
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}
*/
import "C" // The service manager gives the daemon its capability as an ambient one, which all programs that it runs would inherit. Hooks need none.

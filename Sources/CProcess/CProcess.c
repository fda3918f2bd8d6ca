#define _GNU_SOURCE
#include "CProcess.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

int cprocess_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }

int cprocess_memory_file(void) { return memfd_create("output", MFD_CLOEXEC); }

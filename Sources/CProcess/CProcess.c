#include "CProcess.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t cprocess_fork(void) { return fork(); }

int cprocess_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }

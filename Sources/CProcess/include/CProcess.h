// What Swift does not import of processes: fork, and calls of variable arguments.
#pragma once
#include <sys/types.h>

// fork(2). Only for a process that has a single thread.
pid_t cprocess_fork(void);

// Lets the calling process be killed when the one that started it ends. 0 on success.
int cprocess_die_with_parent(void);

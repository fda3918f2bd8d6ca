// What Swift does not import of processes: calls of variable arguments, and those of Linux alone.
#pragma once

// Lets the calling process be killed when the one that started it ends. 0 on success.
int cprocess_die_with_parent(void);
// Opens a file in memory, which children do not inherit by themselves. -1, with errno set, where that cannot be.
int cprocess_memory_file(void);

// What Swift does not import of processes: calls of variable arguments.
#pragma once

// Lets the calling process be killed when the one that started it ends. 0 on success.
int cprocess_die_with_parent(void);

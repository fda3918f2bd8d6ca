// What Swift does not import of processes: calls of variable arguments, and those of Linux alone.
#pragma once

#include <spawn.h>

// Lets the calling process be killed when the one that started it ends. 0 on success.
int cprocess_die_with_parent(void);
// Opens a file in memory, which children do not inherit by themselves. -1, with errno set, where that cannot be.
int cprocess_memory_file(void);
// Opens a pipe, which children do not inherit by themselves. -1, with errno set, where that cannot be.
int cprocess_pipe(int ends[2]);
// Lets a process that is started keep nothing open but its standard input, output and error. 0 on success.
int cprocess_close_others(posix_spawn_file_actions_t *actions);
// From now on a first SIGINT or SIGTERM is noted, and said so on stderr, where it would have ended the process; a second
// one ends it, unless it comes within a second. A signal that is ignored stays so.
void cprocess_note_interruption(void);
// The signal that was noted; 0 for none.
int cprocess_interruption(void);
// Ends the process as that signal would have ended it.
_Noreturn void cprocess_end_by(int signal);

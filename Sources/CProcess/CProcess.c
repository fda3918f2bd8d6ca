#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int cprocess_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }

int cprocess_memory_file(void) { return memfd_create("output", MFD_CLOEXEC); }

int cprocess_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int cprocess_close_others(posix_spawn_file_actions_t *actions) {
    return posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
}

static volatile sig_atomic_t interruption = 0;
static struct timespec noted_at;
static int stderr_is_terminal = 0;

static void note(int number) {
    int saved = errno;
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (interruption != 0) {
        // timeout(1) sends its signal to the process and to its group: within a second it is the same one again.
        long long passed = (now.tv_sec - noted_at.tv_sec) * 1000000000LL + now.tv_nsec - noted_at.tv_nsec;
        errno = saved;
        if (passed < 1000000000LL) return;
        // Ends the process when this handler returns.
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    noted_at = now;
    interruption = number;
    // The line break is for a terminal, whose cursor stands behind ^C or a line of progress.
    static const char text[] = "\nattntrace: stopping after this step; once more stops at once\n";
    int skip = stderr_is_terminal ? 0 : 1;
    ssize_t written = write(STDERR_FILENO, text + skip, sizeof text - 1 - skip);
    (void)written;
    errno = saved;
}

void cprocess_note_interruption(void) {
    stderr_is_terminal = isatty(STDERR_FILENO);
    static const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) != 0 || old.sa_handler != SIG_DFL) continue;
        struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
        // Not one in the midst of the other.
        sigemptyset(&action.sa_mask);
        for (int j = 0; j < 2; j++) sigaddset(&action.sa_mask, signals[j]);
        sigaction(signals[i], &action, NULL);
    }
}

int cprocess_interruption(void) { return interruption; }

void cprocess_end_by(int number) {
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number);
}

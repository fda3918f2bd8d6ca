// Loaded before everything (LD_PRELOAD): counts the calls that change files in the folder FAULT_FOLDER, and lets one of
// them go wrong.
//   FAULT_MODE  kill   SIGKILL in the place of the call
//               torn   half of the bytes, then SIGKILL; a call without bytes is made, then SIGKILL
//               from   the call and every later one fail with FAULT_ERRNO
//               once   only this call fails with FAULT_ERRNO
//   FAULT_AT    which call, from 1; 0 for none
//   FAULT_LOG   a file to which each call is appended: a line, then the bytes written; of one that fails only the line
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int started, at, count, fault_errno, log_file = -1;
static const char *folder, *mode;

static void start(void) {
    if (started) return;
    started = 1;
    folder = getenv("FAULT_FOLDER");
    mode = getenv("FAULT_MODE");
    at = getenv("FAULT_AT") ? atoi(getenv("FAULT_AT")) : 0;
    fault_errno = getenv("FAULT_ERRNO") ? atoi(getenv("FAULT_ERRNO")) : EIO;
    if (getenv("FAULT_LOG"))
        log_file = syscall(SYS_openat, AT_FDCWD, getenv("FAULT_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static void raw_write(const void *bytes, size_t size) {
    const char *next = bytes;
    while (size > 0) {
        long done = syscall(SYS_write, log_file, next, size);
        if (done <= 0) abort();
        next += done;
        size -= done;
    }
}

// Bytes of a write at a place of the file.
struct change {
    const char *kind, *path, *other;
    const void *bytes;
    size_t size;
    off_t offset;
};

static void note(const struct change *change, size_t size, int failed) {
    if (log_file < 0) return;
    char line[2 * PATH_MAX + 100];
    int length = snprintf(
        line, sizeof line, "%d\t%s\t%s\t%s\t%s\t%lld\t%zu\n", count, failed ? "failed" : "done", change->kind,
        change->path, change->other ? change->other : "", (long long)change->offset, failed ? 0 : size);
    raw_write(line, length);
    if (change->bytes && !failed) raw_write(change->bytes, size);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static int is_ours(const char *path) { return folder && !strncmp(path, folder, strlen(folder)); }

static int path_of(int descriptor, char *path) {
    char link[64];
    start();
    if (!folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

// Whether the next call shall fail; does not return where it shall end the process before the call.
// Called and left with the lock held.
static int fails(const struct change *change) {
    count++;
    if (!mode || at == 0 || count < at) return 0;
    if (!strcmp(mode, "kill") && count == at) die();
    if (!strcmp(mode, "from") || (!strcmp(mode, "once") && count == at)) {
        note(change, 0, 1);
        errno = fault_errno;
        return 1;
    }
    return 0;
}

static int is_torn(void) { return mode && !strcmp(mode, "torn") && count == at; }

static ssize_t written(int descriptor, const char *path, const void *bytes, size_t size, off_t offset, int moves) {
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    struct change change = {"write", path, NULL, bytes, size, moves ? lseek(descriptor, 0, SEEK_CUR) : offset};
    if (!fails(&change)) {
        size_t part = is_torn() ? size / 2 : size;
        done = moves ? syscall(SYS_write, descriptor, bytes, part)
                     : syscall(SYS_pwrite64, descriptor, bytes, part, offset);
        if (done >= 0) note(&change, done, 0);
        if (is_torn()) die();
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    char path[PATH_MAX];
    if (!path_of(descriptor, path)) return syscall(SYS_write, descriptor, bytes, size);
    return written(descriptor, path, bytes, size, 0, 1);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t offset) {
    char path[PATH_MAX];
    if (!path_of(descriptor, path)) return syscall(SYS_pwrite64, descriptor, bytes, size, offset);
    return written(descriptor, path, bytes, size, offset, 0);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset) {
    return pwrite64(descriptor, bytes, size, offset);
}

// Several pieces count as one call each.
ssize_t pwritev(int descriptor, const struct iovec *pieces, int number, off_t offset) {
    ssize_t all = 0;
    for (int i = 0; i < number; i++) {
        ssize_t done = pwrite64(descriptor, pieces[i].iov_base, pieces[i].iov_len, offset + all);
        if (done < 0) return all > 0 ? all : done;
        all += done;
    }
    return all;
}

ssize_t writev(int descriptor, const struct iovec *pieces, int number) {
    ssize_t all = 0;
    for (int i = 0; i < number; i++) {
        ssize_t done = write(descriptor, pieces[i].iov_base, pieces[i].iov_len);
        if (done < 0) return all > 0 ? all : done;
        all += done;
    }
    return all;
}

// A call without bytes: made by `call`, with the lock held.
#define SIMPLE(KIND, PATH, OTHER, OFFSET, CALL)                        \
    do {                                                               \
        pthread_mutex_lock(&lock);                                     \
        long done = -1;                                                \
        struct change change = {KIND, PATH, OTHER, NULL, 0, OFFSET};   \
        if (!fails(&change)) {                                         \
            done = CALL;                                               \
            if (done >= 0) note(&change, 0, 0);                        \
            if (is_torn()) die();                                      \
        }                                                              \
        int error = errno;                                             \
        pthread_mutex_unlock(&lock);                                   \
        errno = error;                                                 \
        return done;                                                   \
    } while (0)

int ftruncate64(int descriptor, off64_t length) {
    char path[PATH_MAX];
    if (!path_of(descriptor, path)) return syscall(SYS_ftruncate, descriptor, length);
    SIMPLE("truncate", path, NULL, length, syscall(SYS_ftruncate, descriptor, length));
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

int fsync(int descriptor) {
    char path[PATH_MAX];
    if (!path_of(descriptor, path)) return syscall(SYS_fsync, descriptor);
    SIMPLE("sync", path, NULL, 0, syscall(SYS_fsync, descriptor));
}

int fdatasync(int descriptor) { return fsync(descriptor); }

// The tests name files by their whole paths.
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    start();
    if (!is_ours(from) && !is_ours(to)) return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    SIMPLE("rename", from, to, 0, syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return renameat2(from_folder, from, to_folder, to, 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    start();
    if (!is_ours(to)) return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    SIMPLE("link", from, to, 0, syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int in, const char *path, int flags) {
    start();
    if (!is_ours(path)) return syscall(SYS_unlinkat, in, path, flags);
    SIMPLE("unlink", path, NULL, 0, syscall(SYS_unlinkat, in, path, flags));
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

static int opened(int in, const char *path, int flags, mode_t permission) {
    start();
    struct stat status;
    if (!(flags & O_CREAT) || !is_ours(path) || (!(flags & O_TRUNC) && stat(path, &status) == 0))
        return syscall(SYS_openat, in, path, flags, permission);
    SIMPLE("create", path, NULL, 0, syscall(SYS_openat, in, path, flags, permission));
}

static mode_t permission_of(int flags, va_list more) {
    return flags & O_CREAT ? va_arg(more, mode_t) : 0;
}

#define OPEN(NAME)                                          \
    int NAME(const char *path, int flags, ...) {            \
        va_list more;                                       \
        va_start(more, flags);                              \
        mode_t permission = permission_of(flags, more);     \
        va_end(more);                                       \
        return opened(AT_FDCWD, path, flags, permission);   \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                        \
    int NAME(int in, const char *path, int flags, ...) {    \
        va_list more;                                       \
        va_start(more, flags);                              \
        mode_t permission = permission_of(flags, more);     \
        va_end(more);                                       \
        return opened(in, path, flags, permission);         \
    }
OPENAT(openat)
OPENAT(openat64)

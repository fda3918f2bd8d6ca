// Loaded before libhdf5 (LD_PRELOAD): opening a dataset goes wrong as HDF5_FAULT says, as a hostile file would make it.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef long hid_t;

static char *volatile taken;

static void take_all_memory(void) {
    for (;;) {
        size_t size = 16 << 20;
        char *block = malloc(size);
        // As libhdf5 does where it forgets to look: writes to nowhere.
        memset(block, 1, size);
        taken = block;
    }
}

hid_t H5Dopen2(hid_t file, const char *name, hid_t access) {
    const char *fault = getenv("HDF5_FAULT");
    (void)file, (void)name, (void)access;
    if (!fault) return -1;
    if (!strcmp(fault, "crash")) raise(SIGSEGV);
    if (!strcmp(fault, "abort")) abort();
    if (!strcmp(fault, "heap")) {
        taken = (char *)malloc(64) + 16;
        free(taken);
    }
    if (!strcmp(fault, "killed")) raise(SIGKILL);
    if (!strcmp(fault, "terminated")) raise(SIGTERM);
    if (!strcmp(fault, "memory")) take_all_memory();
    if (!strcmp(fault, "hang")) for (;;) pause();
    if (!strcmp(fault, "slow")) usleep(600 * 1000);
    return -1;
}

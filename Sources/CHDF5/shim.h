// libhdf5 and its high-level library, and the macros among them that Swift cannot import, as functions.
#pragma once
#include <fcntl.h>
#include <hdf5.h>
#include <hdf5_hl.h>

static inline unsigned chdf5_acc_rdonly(void) { return H5F_ACC_RDONLY; }
static inline unsigned chdf5_acc_swmr_read(void) { return H5F_ACC_SWMR_READ; }
static inline unsigned chdf5_acc_excl(void) { return H5F_ACC_EXCL; }
static inline hsize_t chdf5_unlimited(void) { return H5S_UNLIMITED; }
static inline hid_t chdf5_file_access(void) { return H5P_FILE_ACCESS; }
static inline hid_t chdf5_file_create(void) { return H5P_FILE_CREATE; }
static inline hid_t chdf5_dataset_create(void) { return H5P_DATASET_CREATE; }
static inline hid_t chdf5_dataset_access(void) { return H5P_DATASET_ACCESS; }
static inline hid_t chdf5_group_create(void) { return H5P_GROUP_CREATE; }
static inline hid_t chdf5_f32le(void) { return H5T_IEEE_F32LE; }
static inline hid_t chdf5_f64le(void) { return H5T_IEEE_F64LE; }
static inline hid_t chdf5_i32le(void) { return H5T_STD_I32LE; }
static inline hid_t chdf5_i64le(void) { return H5T_STD_I64LE; }
static inline hid_t chdf5_u64le(void) { return H5T_STD_U64LE; }
static inline hid_t chdf5_u8le(void) { return H5T_STD_U8LE; }
static inline hid_t chdf5_c_s1(void) { return H5T_C_S1; }
static inline haddr_t chdf5_undefined_address(void) { return HADDR_UNDEF; }
static inline size_t chdf5_variable(void) { return H5T_VARIABLE; }

// Whether another open file holds the lock below; 36 is F_OFD_GETLK.
static inline int chdf5_is_locked(int descriptor) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = 0, .l_start = 0, .l_len = 0, .l_pid = 0};
    return fcntl(descriptor, 36, &lock) == 0 && lock.l_type != F_UNLCK;
}

// Takes a whole-file write lock that belongs to the open file, not the process; 0 when it was free. The number is
// F_OFD_SETLK, which Linux hides without _GNU_SOURCE. Another kind of lock than libhdf5's own, so readers do not meet it.
static inline int chdf5_lock(int descriptor) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = 0, .l_start = 0, .l_len = 0, .l_pid = 0};
    return fcntl(descriptor, 37, &lock);
}

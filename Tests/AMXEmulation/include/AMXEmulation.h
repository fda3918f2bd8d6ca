// AMX products compiled for tiles in plain C, so that their layout and arithmetic are tested on every machine.
#pragma once

#include "ckernels.h"

/// The products that `ck_kernels_for(CK_AMX)` has, on tiles that are arrays.
const ck_products *emulated_amx_products(void);

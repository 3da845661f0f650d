// Functions that both the host and a GPU call.
#pragma once

#if defined(__CUDACC__)
#define SSAMBA_HOST_DEVICE __host__ __device__
#else
#define SSAMBA_HOST_DEVICE
#endif

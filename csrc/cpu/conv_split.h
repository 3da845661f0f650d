// How a convolution is shared among threads.
#pragma once

#include <algorithm>

#include "../causal_conv1d.h"
#include "isa.h"
#include "kernels.h"
#include "parallel.h"

namespace ssamba {

// Enough work for one item to be worth a thread's while. Chosen by shape alone, as the order in which the gradients of
// weight and bias are summed follows from it and must not depend on the number of threads.
inline void split_tokens(ConvArgs& args) {
  constexpr int64_t kChannels = 512, kElements = 48 * 1024, kLeastTokens = 64, kRound = 16;
  args.splits = (args.channels + kChannels - 1) / kChannels;
  const int64_t channels = args.splits ? (args.channels + args.splits - 1) / args.splits : 0;
  args.split_channels = (channels + kRound - 1) / kRound * kRound;
  args.splits = args.channels ? (args.channels + args.split_channels - 1) / args.split_channels : 0;
  const int64_t tokens = kElements / std::max<int64_t>(channels, 1);
  args.chunk_tokens = std::max({tokens / kLeastTokens * kLeastTokens, kLeastTokens, 4 * args.width});
  args.chunks = std::max<int64_t>(1, (args.length + args.chunk_tokens - 1) / args.chunk_tokens);
}

inline int64_t work_items(const ConvArgs& args) { return args.batch * args.chunks * args.splits; }

inline void convolve_backward_in_parallel(const ConvBackwardArgs& args) {
  parallel_items(work_items(args),
                 [&](int64_t begin, int64_t end) { SSAMBA_LAUNCH(launch_causal_conv1d_backward, args, begin, end); });
}

}  // namespace ssamba

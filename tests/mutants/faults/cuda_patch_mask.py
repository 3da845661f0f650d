from mutants.plant import Fault, in_file

FRESH = "it is made by the op, dense and aligned, and its channels fill packs by the guard before"

FAULTS = [
    *in_file(
        "csrc/cuda/patch_mask.cu",
        250,
        Fault("bound", "inside[i] = {{patch < args.patches => patch <= args.patches}};", "a patch behind the last"),
        Fault(
            "index",
            "inside[i] && {{args.mask[batch * args.mask_batch + patch * args.mask_patch]"
            " => args.mask[batch * args.patches + patch]}};",
            "the mask's strides are not asked for",
        ),
        Fault(
            "index",
            "channel < args.channels; {{channel += kLanes * kPack => channel += kThreads * kPack}})",
            "channels are left out",
        ),
        Fault(
            "mask",
            "if (inside[i] && {{!masked[i] => true}}) x[i]",
            "masked patches are read",
            equivalent="what is read of a masked patch is used by nobody",
        ),
        Fault(
            "term",
            "{{if (args.pos.data) out[c] += widen(pos.at(c));"
            " => if (args.pos.data && !masked[i]) out[c] += widen(pos.at(c));}}",
            "masked patches have no position",
        ),
        Fault(
            "index",
            "row_at<pos_t>(args.pos, 0, 0, {{patch => first}}) + channel",
            "a thread's patches share a position",
        ),
        Fault(
            "configuration",
            "out[c] = {{masked[i] ? instead.at(c) : widen(x[i].at(c))"
            " => masked[i] ? instead.at(kPack == 8 ? c & 3 : c) : widen(x[i].at(c))}};",
            "the mask token's second half in packs of 8",
        ),
        Fault(
            "grid",
            "batch < args.batch; {{batch += gridDim.y => batch += args.batch}}) { bool inside[kRows]",
            "clips beyond the grid are left out",
        ),
        Fault(
            "configuration",
            "ceil_divide(args.patches, {{kPatches * kPatchesOfThread<kPack> => kPatches * 4}}))",
            "too few blocks in packs of 8",
        ),
        Fault(
            "bound",
            "const int64_t end = {{args.batch - begin < args.split_clips ? args.batch : begin + args.split_clips"
            " => begin + args.split_clips}};",
            "the last split goes beyond the clips",
        ),
        Fault(
            "partial sum",
            "({{split * args.chunks + blockIdx.x => int64_t(blockIdx.x)}}) * args.channels;",
            "splits overwrite each other's sum of the token",
        ),
        Fault(
            "partial sum",
            "static_cast<acc_t*>(args.dpos) + ({{split * args.patches + patch => patch}}) * args.channels",
            "splits overwrite each other's dpos",
        ),
        Fault(
            "bound", "if ({{batch + i >= end => false}}) continue; dout[i]", "clips behind the split's last are read"
        ),
        Fault(
            "partial sum",
            "if ({{batch + i >= end => batch + i >= args.batch}}) continue; #pragma unroll",
            "clips of the next split count twice",
        ),
        Fault("term", "{{all.at(c) += value; => if (!masked[i]) all.at(c) += value;}}", "dpos without masked patches"),
        Fault("mask", "{{masked[i] ? Pack<in_t, kPack>{} : dout[i] => dout[i]}});", "dx of masked patches"),
        Fault("barrier", "{{__syncthreads(); => }} if (threadIdx.y == 0", "before the patches' sums are added"),
        Fault(
            "barrier", "{{__syncthreads(); => }} // before the next channels", "before the next sums take their place"
        ),
        Fault("partial sum", "for (int i = {{1 => 2}}; i < kPatches; ++i)", "a patch's sum is left out"),
        Fault(
            "configuration",
            "hidden.at(c) += {{shared.sums[i][threadIdx.x][c]"
            " => shared.sums[i][threadIdx.x][kPack == 8 ? c ^ 1 : c]}};",
            "neighbours change places in the token's gradient in packs of 8",
        ),
        Fault(
            "bound",
            "if (threadIdx.y == 0 && {{channel < args.channels => true}})",
            "sums of channels that do not exist",
        ),
        Fault(
            "grid",
            "args.clip_splits = {{ceil_divide(args.batch, args.split_clips)"
            " => args.batch > args.split_clips ? args.batch / args.split_clips : 1}};",
            "the last, smaller split is left out",
        ),
        Fault("grid", "{{split += gridDim.y => split += args.clip_splits}})", "splits beyond the grid are left out"),
        Fault(
            "alignment",
            "const bool packed = {{args.channels % kPack == 0 => true}} && packs_fit(args.x,",
            "channels need not fill packs",
            equivalent="rows of the result, which the op makes, would not fit packs either",
        ),
        Fault("alignment", "{{packs_fit(args.x, sizeof(in_t), kPack) => true}} &&", "x need not be aligned"),
        Fault(
            "alignment",
            "{{packs_fit(args.out, sizeof(in_t), kPack) => true}} &&",
            "out need not be aligned",
            equivalent=FRESH,
        ),
        Fault("alignment", "{{packs_fit(args.pos, sizeof(pos_t), kPack) => true}} &&", "pos need not be aligned"),
        Fault("alignment", "{{aligned_to_16(args.mask_token) => true}};", "the mask token need not be aligned"),
        Fault(
            "alignment",
            "const bool packed = {{args.channels % kPack == 0 => true}} && packs_fit(args.dout,",
            "channels need not fill packs, backward",
            equivalent="rows of dx, which the op makes, would not fit packs either",
        ),
        Fault("alignment", "{{packs_fit(args.dout, sizeof(in_t), kPack) => true}} &&", "dout need not be aligned"),
        Fault(
            "alignment",
            "{{packs_fit(args.dx, sizeof(in_t), kPack) => true}};",
            "dx need not be aligned",
            equivalent=FRESH,
        ),
    ),
    *in_file(
        "csrc/cuda/sample_patch_mask.cu",
        290,
        Fault(
            "bound",
            "if ({{cells <= kSharedCells => cells <= kSharedCells + 1}})",
            "a grid one cell too large for the block",
        ),
        Fault(
            "bound",
            "if ({{cells <= kSharedCells => cells < kSharedCells}})",
            "a grid that just fits is taken for large",
            equivalent="both kernels draw the same mask",
        ),
        Fault("offset", "out[{{clip * cells => int32_t(clip * cells)}} + i] = drawn.mask[i];", "more than 2^31 cells"),
        Fault(
            "barrier",
            "{{__syncthreads(); => }} for (int64_t i = threadIdx.x; i < cells",
            "before the mask is written out",
        ),
        Fault("bound", "if ({{clip < batch => clip <= batch}}) sample_clip_mask", "a clip behind the last"),
        Fault(
            "scratch",
            "fresh + {{clip * cells => 0}}",
            "all clips draw in one scratch",
        ),
        Fault(
            "grid",
            "dim3(unsigned({{ceil_divide(batch, kThreads) => (batch + kThreads - 2) / kThreads}}))",
            "the last clip has no block where it would be alone there",
        ),
    ),
    *in_file(
        "csrc/sample_patch_mask.h",
        300,
        Fault(
            "term",
            "random.below(grid.rows + side - 1) - ({{side - 1 => side}});",
            "squares begin a row too early",
        ),
        Fault("state", "{{found += !mask[cell]; => found += 1;}}", "patches found before count again"),
        Fault("state", "{{fresh[j] = fresh[i]; => }}", "a patch can be given back twice"),
        Fault(
            "bound",
            "random.below({{grid.max_cluster - grid.min_cluster + 1 => grid.max_cluster - grid.min_cluster}})",
            "the largest square is never drawn",
        ),
    ),
]

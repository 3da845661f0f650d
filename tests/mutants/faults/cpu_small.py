"""Patch masks, sums, scratch and threads."""

from mutants.plant import Fault, in_file

FAULTS = [
    *in_file(
        "csrc/cpu/patch_mask_kernel.cpp",
        750,
        Fault(
            "index",
            "args.mask[{{batch * args.mask_batch + patch * args.mask_patch => batch * args.patches + patch}}]",
            "the mask's strides are not asked for",
        ),
        Fault(
            "bound",
            "int({{channels - c < kLanes<acc_t> ? channels - c : kLanes<acc_t> => kLanes<acc_t>}});"
            " Vec<acc_t> value = load_widened(source",
            "a row's last vector goes beyond it",
        ),
        Fault(
            "bound",
            "int64_t last = {{args.patches - first < args.chunk_patches ? args.patches : first + args.chunk_patches"
            " => first + args.chunk_patches}}; for (int64_t p = first; p < last; ++p) { in_t* out",
            "the last chunk goes beyond the patches",
        ),
        Fault("index", "row_at<pos_t>(args.pos, 0, 0, {{p => p - first}})", "positions begin anew in every chunk"),
        Fault(
            "partial sum",
            "{{begins ? value : load_widened(sum + c, count) + value => value}}, count);",
            "only the last row",
        ),
        Fault(
            "state",
            "{{__builtin_memset(token_sum, 0, std::size_t(args.channels) * sizeof(acc_t)); => }}",
            "the token's gradient begins anywhere",
        ),
        Fault(
            "mask", "{{__builtin_memset(dx, 0, bytes); => __builtin_memcpy(dx, dout, bytes);}}", "dx of masked patches"
        ),
        Fault("state", "dout, {{batch == 0 => batch == 1}}, args.channels);", "dpos begins with the second clip"),
        Fault(
            "partial sum",
            "static_cast<acc_t*>(args.dmask_token) + {{item * args.channels => 0}};",
            "chunks write over each other's sum of the token",
        ),
    ),
    *in_file(
        "csrc/cpu/patch_mask.cpp",
        760,
        Fault(
            "grid",
            "args.chunks = {{(args.patches + args.chunk_patches - 1) / args.chunk_patches"
            " => std::max<int64_t>(1, args.patches / args.chunk_patches)}};",
            "the last, smaller chunk is left out",
        ),
        Fault(
            "bound",
            "const int64_t elements = {{std::max<int64_t>(1, args.channels * clips_of_item)"
            " => args.channels * clips_of_item}};",
            "a division by zero where there is nothing",
        ),
    ),
    *in_file(
        "csrc/cpu/parallel.h",
        815,
        Fault(
            "bound",
            "body(begin, {{std::min(begin + turn, items) => begin + turn}});",
            "the last turn goes beyond the items",
        ),
        Fault(
            "state",
            "if (failure) {{std::rethrow_exception(failure); => }}",
            "a thread's failure is forgotten",
            survives="only test_out_of_memory.py comes by it, which is not asked under the sanitizer's allocator",
        ),
        Fault(
            "order",
            "{{next = items; => }} if (!failed",
            "threads go on after a failure",
            equivalent="the first failure comes out all the same: only later",
        ),
    ),
    *in_file(
        "csrc/cpu/scratch.h",
        820,
        Fault(
            "scratch",
            "if ({{bytes > bytes_ => bytes > bytes_ + 4096}}) resize(bytes);",
            "a block a little too small is kept",
        ),
        Fault("scratch", "block_({{kept_.lent ? own_ : kept_ => kept_}})", "two scratches of a call share a block"),
        Fault(
            "scratch",
            "used_ += {{(elements + step - 1) / step * step => elements}};",
            "pieces are not aligned",
            equivalent="vectors are loaded and stored from any address: only time",
        ),
        Fault(
            "scratch",
            "if ({{bytes_ > kKeptBytes => false}}) resize(0);",
            "large blocks are kept",
            survives="memory alone: no test asks what a thread keeps after a large scan",
        ),
    ),
    *in_file(
        "csrc/cpu/sum_partials_kernel.cpp",
        825,
        Fault(
            "bound",
            "int({{end - column < kLanes<acc_t> ? end - column : kLanes<acc_t> => kLanes<acc_t>}});",
            "the last vector goes beyond the columns",
        ),
        Fault("partial sum", "for (int64_t i = {{0 => 1}}; i < count; ++i) sum", "the first partial sum is left out"),
    ),
    *in_file(
        "csrc/cpu/sum_partials.h",
        828,
        Fault(
            "grid",
            "parallel_items({{(size + kColumns - 1) / kColumns => (size + kColumns - 2) / kColumns}},",
            "a last column that is alone in its item is left out",
        ),
        Fault(
            "bound", "{{end * kColumns < size ? end * kColumns : size => end * kColumns}});", "columns behind the last"
        ),
    ),
    *in_file(
        "csrc/cpu/transpose_sum.h",
        830,
        Fault(
            "partial sum",
            "store(sums, {{load(sums) + fold_all<T, together, kLanes<T> / 2>(v + i)"
            " => fold_all<T, together, kLanes<T> / 2>(v + i)}});",
            "only the last vectors' sums",
        ),
        Fault("partial sum", "for (int part = 1; {{part < kParts => part < 1}}; ++part)", "a sum's first part alone"),
    ),
    *in_file(
        "csrc/cpu/sample_patch_mask.cpp",
        833,
        Fault(
            "bound",
            "const int64_t last = {{end * kClipsOfItem < batch ? end * kClipsOfItem : batch => end * kClipsOfItem}};",
            "clips behind the last",
        ),
        Fault(
            "grid",
            "parallel_items({{(batch + kClipsOfItem - 1) / kClipsOfItem => batch / kClipsOfItem}},",
            "the last, smaller item is left out",
        ),
    ),
]

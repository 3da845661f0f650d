"""Small headers that kernels share: dispatch, numbers, packs, sums."""

from mutants.plant import Fault, in_file

FAULTS = [
    *in_file(
        "csrc/cuda/sum_partials.cuh",
        310,
        Fault(
            "offset",
            "sum += partials[{{i * size + column => int32_t(i * size + column)}}];",
            "more than 2^31 partial sums",
        ),
        Fault(
            "partial sum",
            "i < count; {{i += rows => i += kMostSumRows}})",
            "rows are taken for 16 where there are fewer",
        ),
        Fault("barrier", "{{__syncthreads(); => }} if (row > 0", "before the rows' sums are added"),
        Fault("partial sum", "for (int i = {{1 => 2}}; i < rows; ++i)", "a row's sum is left out"),
        Fault(
            "bound", "if (row > 0 || {{column >= size => column > size}}) return;", "a sum behind the last is written"
        ),
        Fault("bound", "if ({{column < size => column <= size}}) {", "a column behind the last is read"),
        Fault("grid", "if ({{size == 0 => false}}) return;", "a grid without blocks is launched"),
        Fault(
            "dispatch", "if ({{partials.scalar_type() == ScalarType::Double => false}})", "sums of double as of float"
        ),
    ),
    *in_file(
        "csrc/cuda/dispatch.h",
        320,
        Fault(
            "alignment",
            "return {{reinterpret_cast<std::uintptr_t>(rows.data) % std::uintptr_t(unit) == 0 => true}} &&",
            "the address need not be aligned",
        ),
        Fault("alignment", "{{fits(rows.direction) => true}} &&", "the stride of directions need not be"),
        Fault("alignment", "&& {{fits(rows.batch) => true}} &&", "the stride of clips need not be"),
        Fault("alignment", "&& {{fits(rows.time) => true}})", "the stride of tokens need not be"),
        Fault(
            "alignment",
            "const int64_t unit = {{bytes * count < 16 ? bytes * count : 16"
            " => bytes * count < 8 ? bytes * count : 8}};",
            "8 bytes are enough for packs of 16",
        ),
        Fault("alignment", "(data) % {{16 => 8}} == 0;", "8 bytes are enough for packs of 16 of a parameter"),
        Fault("grid", "return {{(a + b - 1) / b => a / b + 1}};", "one block too many where the last is full"),
        Fault(
            "dispatch",
            "case Dtype::bfloat16: {{return body(Type<__nv_bfloat16>{}); => return body(Type<__half>{});}}",
            "bfloat16 is taken for float16",
        ),
    ),
    *in_file(
        "csrc/cuda/launch.cuh",
        330,
        Fault(
            "grid",
            "return unsigned({{count < kMostBlocksY ? count : kMostBlocksY => count}});",
            "a grid's second axis without its cap",
        ),
        Fault(
            "grid",
            "return unsigned({{count < kMostBlocksY ? count : kMostBlocksY => count < kMostBlocksY ? count : 1}});",
            "one block on the second axis where the cap is reached",
            equivalent="blocks go on in steps of the grid, whatever it is: slower, the same values",
        ),
    ),
    *in_file(
        "csrc/cuda/numbers.cuh",
        340,
        Fault(
            "order",
            "words[i / 2] >> {{16 * (i % 2) => 16 * (1 - i % 2)}});",
            "the halves of a word change places",
        ),
        Fault(
            "operand",
            "to_bits(element(i)) | {{to_bits(element(i + 1)) << 16 => to_bits(element(i)) << 16}};",
            "both halves of a word get the first",
        ),
        Fault(
            "order",
            "return {{word_of(__floats2bfloat162_rn(low, high)) => word_of(__floats2bfloat162_rn(high, low))}};",
            "two bfloat16 change places in their word",
        ),
        Fault(
            "order",
            "return {{word_of(__floats2half2_rn(low, high)) => word_of(__floats2half2_rn(high, low))}};",
            "two float16 change places in their word",
        ),
        Fault("sign", "return 1.0 / (1.0 + {{exp(-x) => exp(x)}});", "the double sigmoid falls"),
        Fault("constant", "fast_exp2(x * {{-1.44269504f => -1.4426f}})", "log2(e) to four digits in the sigmoid"),
        Fault(
            "configuration",
            "reinterpret_cast<uint4*>(&pack)[i] = reinterpret_cast<const uint4*>(from)[{{i => 0}}];",
            "packs longer than 16 bytes read their first part again",
        ),
        Fault(
            "configuration",
            "reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(&pack)[{{i => 0}}];",
            "packs longer than 16 bytes write their first part again",
        ),
    ),
    *in_file(
        "csrc/cuda/pack_column.cuh",
        360,
        Fault(
            "offset",
            "{{uint64_t(unsigned(t)) * stride => uint64_t(unsigned(t) * stride)}}",
            "tokens more than 2^32 bytes away",
        ),
        Fault(
            "alignment",
            "({{reinterpret_cast<uintptr_t>(first) | stride => stride}}) %",
            "the address need not be aligned",
        ),
        Fault(
            "alignment",
            "({{reinterpret_cast<uintptr_t>(first) | stride => reinterpret_cast<uintptr_t>(first)}}) %",
            "the stride need not be aligned",
        ),
        Fault("bound", "{{count >= kCount => count > 0}} && (columns.aligned() && ...)", "packs need not be full"),
        Fault("alignment", "count >= kCount && {{(columns.aligned() && ...) => true}}", "packs need not be aligned"),
        Fault(
            "mask",
            "{{i < access.count ? from[i] : narrow<value_t>(0) => from[i]}};",
            "elements behind the edge are read",
        ),
        Fault("bound", "if ({{i < access.count => true}}) to[i]", "elements behind the edge are written"),
        Fault("mask", "if ({{!exists => false}}) return {};", "rows behind the clip's end are read"),
        Fault(
            "bound",
            "{{count < 0 ? 0 : count < kCount ? int(count) : kCount"
            " => count < kCount ? int(count) : kCount}}, count >= kCount",
            "a negative count stays",
            equivalent="no element is below a negative count, as none is below 0",
        ),
    ),
    *in_file(
        "csrc/cuda/scan_blocks.h",
        380,
        Fault(
            "grid",
            "return {{args.batch * args.groups * ceil_divide(args.channels / args.groups, channels)"
            " => args.batch * ceil_divide(args.channels, channels)}};",
            "blocks are counted as if there was one group",
        ),
        Fault(
            "grid",
            "return {{block.latency + warps * block.issue => block.latency + block.issue}};",
            "a scheduler's warps cost as one",
        ),
        Fault("grid", "if ({{10 * needed < 9 * least => needed < least}})", "a narrow block need not save a tenth"),
        Fault(
            "grid",
            "const int64_t blocks = {{ceil_divide(scan_blocks(args, block.channels()), multiprocessors)"
            " => scan_blocks(args, block.channels()) / multiprocessors}};",
            "the last, smaller wave costs nothing",
        ),
    ),
    *in_file(
        "csrc/cuda/scan_math.cuh",
        390,
        Fault(
            "constant",
            "return {{x > 20.0 ? x : log1p(exp(x)) => x > 8.0 ? x : log1p(exp(x))}};",
            "the double softplus is the identity above 8",
        ),
        Fault(
            "constant",
            "return {{x > 20.0 ? x : log1p(exp(x)) => log1p(exp(x))}};",
            "the double softplus overflows",
        ),
        Fault(
            "term",
            "log1p_unit(fast_exp2({{-fabsf(x) * kLog2E<float> => -fabsf(x)}}));",
            "2^-|x| in the place of e^-|x|",
        ),
    ),
    *in_file(
        "csrc/logarithms.h",
        395,
        Fault("constant", "p = p * e - {{0.499994931f => 0.4999f}};", "log(1 + e), a coefficient"),
        Fault("constant", "p = p * e + {{0.99999997f => 0.9999f}};", "log(1 + e), the first coefficient"),
    ),
    *in_file(
        "csrc/logarithms.h",
        397,
        Fault("constant", "p = p * e - {{0.248429813f => 0.248f}};", "log(1 + e), a coefficient, on the CPU"),
        library="cpu",
    ),
]

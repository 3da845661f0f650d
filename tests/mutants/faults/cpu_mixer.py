"""Products, and the mixers made of them."""

from mutants.plant import Fault, in_file

FAULTS = [
    *in_file(
        "csrc/cpu/product_kernel.cpp",
        765,
        Fault("index", "* args.inner + {{output % kPanel => int64_t(0)}};", "all of a panel is its first outputs"),
        Fault(
            "bound",
            "const int count = int({{left < lanes ? left : lanes => lanes}});",
            "the last vector goes beyond a row",
        ),
        Fault(
            "bound",
            "if ({{left <= 0 => left < 0}}) return;",
            "a vector without outputs goes on",
            equivalent="of no outputs none is read or written",
        ),
        Fault(
            "term",
            "if (args.add) {{value = args.keep * load_first<Vec<float>>(out, count) + args.scale * value;"
            " => value = load_first<Vec<float>>(out, count) + args.scale * value;}}",
            "all of what is there is kept",
        ),
        Fault("index", "(args.bias + {{first => output}}, count)", "the second vector has the first's bias"),
        Fault("bound", "for (; {{end - row >= kRowBlock => end - row > kRowBlock}};", "a last block that is full"),
    ),
    *in_file(
        "csrc/cpu/products.h",
        775,
        Fault("bound", "body(i * item, {{std::min((i + 1) * item, rows) => (i + 1) * item}});", "rows behind the last"),
        Fault(
            "grid", "parallel_items({{(rows + item - 1) / item => rows / item}},", "the last, shorter item is left out"
        ),
    ),
    *in_file(
        "csrc/cpu/packed_mixer.cpp",
        780,
        Fault("index", "z.weight += {{panels_of(m.inner) * kPanel => m.inner}} * m.width", "panels that are not full"),
        Fault("index", "if (m.in_bias) {{z.bias += m.inner; => }}", "z has x's bias"),
        Fault("constant", "args.scale = {{0.5f => 1.0f}};", "the sum of the directions, not their mean"),
        Fault(
            "scratch",
            "m.y = m.projected + m.rows() * {{2 * m.projections() => m.projections()}};",
            "y over projections",
        ),
        Fault("scratch", "({{5 * m.inner => 4 * m.inner}} +", "memory without y"),
        Fault("term", "args.keep = {{m.times => 1.0f}},", "the sum so far is not weighted"),
    ),
    *in_file(
        "csrc/cpu/mixer.h",
        790,
        Fault("index", "= m.conv[({{r * m.inner + c => c}}) * m.taps + k];", "one filter for both directions"),
        Fault(
            "index",
            "row = item / args.chunks * m.length + {{first => int64_t(0)}};",
            "chunks are projected as the first",
        ),
        Fault(
            "bound",
            "const int64_t last = row + {{std::min(chunk, m.length - first) => chunk}};",
            "rows of the next clip",
        ),
        Fault("index", "backward.weight += {{panels_of(P) * kPanel => P}} * m.inner;", "panels that are not full"),
        Fault("index", "args.B = {m.projected + {{m.rank => int64_t(0)}}, direction,", "B begins with the steps"),
        Fault(
            "order", "args.reverse[1] = {{true => false}}, args.silu = true", "the second convolution looks back, too"
        ),
        Fault(
            "order", "args.reverse[1] = {{true => false}}, args.delta_softplus", "the second scan walks forward, too"
        ),
        Fault(
            "length",
            "args.delta_softplus = true, args.lengths = {{m.lengths => nullptr}};",
            "the scan knows no lengths",
            equivalent="the convolution leaves u of padding zero, B and C with it: so is y, and what gradients meet",
        ),
        Fault(
            "length", "args.silu = true, args.lengths = {{m.lengths => nullptr}};", "the convolution knows no lengths"
        ),
    ),
    *in_file(
        "csrc/cpu/bi_mixer.cpp",
        800,
        Fault(
            "bound",
            "count = {{std::min(outputs - first, kPanel) => kPanel}};",
            "panels are filled from behind the matrix",
        ),
        Fault(
            "index", "matrices + {{item / panels * outputs * inner => int64_t(0)}} +", "one matrix for both directions"
        ),
        Fault(
            "mask",
            "if ({{count < kPanel => false}}) std::fill_n",
            "a panel's rest is not zero",
            equivalent="outputs that do not exist are stored nowhere",
        ),
        Fault("partial sum", "for (int64_t i = {{1 => 2}}; i < parts; ++i)", "a part of dB and dC is left out"),
        Fault("index", "out[n] += part[{{i * 2 * rows * N + n => i * rows * N + n}}];", "parts of the other direction"),
        Fault("term", "to_u, nullptr, u, E, {{true => false}}, 1}", "du of the projections alone"),
        Fault("operand", "+ r + N, floats({{g.C => g.B}}) +", "dC is dB"),
        Fault("index", "args.dz = {mutable_floats(g.xz) + {{E => int64_t(0)}}, 0,", "dz over dx"),
        Fault("bound", "if ({{rows == 0 => false}}) return {zeros_like(x)", "nothing to do is not seen"),
        Fault(
            "checkpoint",
            "m.checkpoints = keep ? {{mutable_floats(checkpoints) => mutable_floats(y)}} : nullptr;",
            "checkpoints lie elsewhere",
        ),
    ),
]

"""Vectors, for levels below AVX-512: what a level has of its own is planted where this machine can run it."""

from mutants.plant import Fault, in_file

FAULTS = in_file(
    "csrc/cpu/simd.h",
    910,
    Fault(
        "mask", "for (int i = 0; {{i < count => i < count - 1}}; ++i) v[i] = p[i];", "a rest's last lane is not read"
    ),
    Fault("mask", "for (int i = 0; {{i < count => i <= count}}; ++i) p[i] = v[i];", "a lane behind a rest is written"),
    Fault(
        "mask",
        "if ({{count >= lanes => count >= lanes - 1}}) { __builtin_memcpy(&v, p, sizeof v); return v; }",
        "a rest of all lanes but one is read whole",
    ),
    Fault(
        "constant",
        "p = p * f + {{5.550733954e-2f => 5.5507e-2f}};",
        "2^f, a coefficient",
        survives="1e-8 of the value, less than a float's last place: only make exhaustive could see it",
    ),
    Fault("constant", "p = p * f + {{2.402224243e-1f => 2.402e-1f}};", "2^f, another"),
    Fault("constant", "for (int k = {{14 => 9}}; k >= 1; --k)", "fewer terms of the double 2^f"),
    Fault(
        "constant",
        "at_most(at_least(v, {{-126.0f => -127.0f}}), 128.0f)",
        "powers of two below normal floats",
        equivalent="who raises to powers so small without bounds of his own adds 1 to them",
    ),
    Fault("bound", "{{w = x < -126.0f ? Vec<float>{} : w; => }}", "very negative powers wrap around"),
    Fault("bound", "{{w = x >= 128.0f ? broadcast(__builtin_inff()) : w; => }}", "very large powers wrap around"),
    Fault("constant", "return {{x == x ? w : x => w}}; }); } #endif", "a NaN step is some number"),
    Fault(
        "constant",
        "return x.each(y, [](Vec<T> v, Vec<T> w) { return v > {{T(20) => T(8)}} ? v : w; });",
        "the double softplus is the identity above 8",
    ),
    Fault("constant", "{ return v > {{T(20) => T(8)}} ? broadcast(T(1)) : w; });", "its slope is 1 above 8"),
    Fault("constant", "(bits + 0x7fff + {{((bits >> 16) & 1) => (bits & 0)}}) >> 16;", "bfloat16 rounds ties down"),
    Fault(
        "constant",
        "__builtin_convertvector({{v == v ? rounded : quiet => rounded}}, VecLike<uint16_t, float>)",
        "a NaN is rounded",
    ),
    Fault(
        "constant",
        "return {{SSAMBA_PS(max, broadcast(bound), x) => SSAMBA_PS(max, x, broadcast(bound))}};",
        "of a NaN and a bound the bound",
    ),
    Fault("constant", "(v * kLog2E<float>, {{-126.0f => -12.0f}}); });", "e^x is bounded from below by 2^-12"),
    Fault("sign", "(exp2(x * {{-kLog2E<T> => kLog2E<T>}}) + T(1));", "the sigmoid falls"),
    Fault(
        "constant",
        "const Int whole = Int(rounded) << 52; const Vec<double> f = (bounded - (rounded - round_magic)) *"
        " {{kLn2<double> => 0.693147}};",
        "ln 2 to six digits in the double 2^x",
    ),
    Fault(
        "constant",
        "x < {{-1022.0 => -100.0}} ? broadcast(-1022.0) : x;",
        "double powers below 2^-100 are 2^-1022",
    ),
    Fault(
        "constant",
        "*slope = x.each(rising, [](Vec<T> v, Vec<T> w) { return {{v == v ? w : v => w}}; });",
        "the slope of a NaN",
        equivalent="what it is multiplied with is a NaN as well",
    ),
)

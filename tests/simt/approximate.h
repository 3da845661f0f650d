// Instructions that a GPU rounds as it likes, within a bound that its manual states: here the result is off by as much
// as a seed draws within the bound, and always by as much for the same operand.
#pragma once

namespace simt {

// ex2.approx.ftz.f32: 2^x, relative error at most 2^-22; a subnormal operand or result is 0.
float ex2_approx_ftz(float x);

// div.approx.f32: x / y, at most 2 units in the last place off for |y| in [2^-126, 2^126]; 0 for a larger finite one.
float div_approx(float x, float y);

}  // namespace simt

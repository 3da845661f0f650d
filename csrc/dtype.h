// The element types of the ops' activations.
#pragma once

namespace ssamba {

enum class Dtype { float32, float64, float16, bfloat16 };

}  // namespace ssamba

# The instruction sets that kernels are compiled for, lowest first, and how. tests/exhaustive compiles so too.
set(levels baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND levels avx2 avx512)
endif()
set(flags_baseline "")
set(flags_avx2 -mavx2 -mfma -mf16c)
set(flags_avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512)

# `sources`, compiled once per level: one object library `name`_`level` for each.
function(add_levels name)
  foreach(level IN LISTS levels)
    add_library(${name}_${level} OBJECT ${ARGN})
    # GCC's own AVX-512 headers read a variable they leave undefined on purpose, and vector arguments of internal
    # functions need no stable ABI.
    target_compile_options(${name}_${level} PRIVATE
      ${flags_${level}} -ffp-contract=fast -fno-math-errno -fno-trapping-math
      -Wno-maybe-uninitialized -Wno-uninitialized -Wno-psabi)
    target_compile_definitions(${name}_${level} PRIVATE SSAMBA_KERNEL_ISA=${level})
    list(APPEND objects $<TARGET_OBJECTS:${name}_${level}>)
  endforeach()
  set(${name}_objects ${objects} PARENT_SCOPE)
endfunction()

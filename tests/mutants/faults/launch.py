"""Launches for a GPU: judged by a runtime that writes down what it is asked (tests/simt/runtime)."""

from functools import partial

from mutants.plant import Fault, in_file

Own = partial(Fault, own=True)

FAULTS = [
    *in_file(
        "csrc/cuda/launch.cuh",
        950,
        Own("bound", "if ({{shared_bytes > kGranted => shared_bytes > 2 * kGranted}})", "much memory is not asked for"),
        Own("bound", "if ({{shared_bytes > kGranted => shared_bytes >= kGranted}})", "what is granted is asked for"),
        Own("operand", "MaxDynamicSharedMemorySize, {{int(shared_bytes) => int(kGranted)}})", "too little asked for"),
        Own(
            "dispatch",
            "int(shared_bytes)); {{if (error != cudaSuccess) refuse_launch(function, error); => (void)error;}} }",
            "refused memory is not noticed",
        ),
        Own(
            "dispatch",
            "kernel, arguments...); {{if (error != cudaSuccess) refuse_launch(function, error); => (void)error;}} }",
            "a launch that failed is not noticed",
        ),
        Own("operand", "shared_bytes, {{config.stream = stream => config.stream = nullptr}};", "the default stream"),
        Own(
            "operand", "{{config.dynamicSmemBytes = shared_bytes => config.dynamicSmemBytes = 0}},", "no shared memory"
        ),
        Own("operand", "{{config.gridDim = grid => config.gridDim = block}},", "blocks in the place of the grid"),
        Own("operand", "{{config.blockDim = block => config.blockDim = grid}};", "the grid in the place of blocks"),
        Own("dispatch", "if ({{error == cudaErrorNoKernelImageForDevice => false}})", "no word of the architectures"),
        Own("dispatch", "{{plain ? plain : mangled => mangled}};", "a kernel's name as the linker has it"),
        Own(
            "dispatch",
            'if ({{cudaFuncGetName(&mangled, kernel) != cudaSuccess => false}}) return "a kernel";',
            "a name that is not there is read",
        ),
        Own("constant", "kMostBlocksY = {{65535 => 65536}};", "a grid one block too high"),
        library="launch",
    ),
    *in_file(
        "csrc/cuda/on_device.h",
        970,
        Own("dispatch", "guard_({{x.get_device_index() => 0}})", "another device is made current"),
        Own("dispatch", "stream_(current_stream({{x.get_device_index() => 0}}))", "the stream of another device"),
        Own("dispatch", "{{check_device_is_right(x.get_device_index()); => }}", "a device is used unasked"),
        Own("dispatch", "check_device_is_right({{x.get_device_index() => 0}});", "another device is asked about"),
        Own("dispatch", "{{get && get(device, &stream) == 0 => get(device, &stream) == 0}}", "torch for CPUs alone"),
        Own(
            "dispatch", "get && {{get(device, &stream) == 0 => get(device, &stream) != 1}}", "torch refuses by another"
        ),
        Own("dispatch", "return {{static_cast<Stream>(stream) => Stream{}}};", "the default stream"),
        library="launch",
    ),
    *in_file(
        "csrc/cuda/multiprocessors.h",
        980,
        Own("dispatch", "{{cudaGetDevice(&device); => }}", "the multiprocessors of the first device"),
        Own("dispatch", "{{cudaDevAttrMultiProcessorCount => cudaDeviceAttr(1)}}", "another attribute"),
        library="launch",
    ),
]

// What a launch did wrong: collected while its threads run, thrown when it ends.
#pragma once

#include <string>

#include "block.h"

namespace simt {

void begin_launch(const void* kernel);
// Throws if there was a fault, with the kernel's name.
void end_launch();

// The first fault counts: what follows may come of it.
void record_fault(const std::string& what);
bool faulty();

// The block that runs, for reports.
bool thread_runs();
std::string thread_text();
// Ends the running thread, in place of an exception, which would have to cross from one stack to another.
[[noreturn]] void abandon_thread();

std::string line_text(const SourceLine& where);
std::string index_text(uint3 index);
std::string mask_text(unsigned mask);

}  // namespace simt

#include "async_copies.h"

#include <iterator>
#include <map>

namespace simt {
namespace {

// A thread's groups of copies under way, the last of which is open.
std::map<int, std::vector<std::vector<Copy>>> under_way;

auto& groups() {
  auto& own = under_way[thread_number()];
  if (own.empty()) own.emplace_back();
  return own;
}

}  // namespace

void begin_copy(const Copy& copy, const SourceLine& where) {
  if (!is_shared(copy.to)) fail("an asynchronous copy goes to a place that is not in shared memory", where);
  groups().back().push_back(copy);
}

void close_group() { groups().emplace_back(); }

std::vector<Copy> arrived(int pending) {
  std::vector<Copy> copies;
  for (auto& own = groups(); int(own.size()) - 1 > pending; own.erase(own.begin()))
    copies.insert(copies.end(), own.front().begin(), own.front().end());
  return copies;
}

void forget_copies() { under_way.clear(); }

}  // namespace simt

/// Recognises a process that was forked from the one that created an object.
#pragma once

#include <cstdint>

namespace pairnet {

/// Remembers the process in which it was created. A fork copies memory but only the calling thread: in the child,
/// the other threads are gone and a mutex that one of them held stays locked forever.
class Process {
  public:
    Process();

    /// Whether the current process was forked from the one in which this object was created. Never blocks.
    bool is_forked() const;

  private:
    std::uint64_t forks_;  // forks between the first process and the one that created this object
};

}  // namespace pairnet

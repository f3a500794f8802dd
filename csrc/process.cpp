#include "process.h"

#include <atomic>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace pairnet {
namespace {

std::atomic<std::uint64_t> forks{0};  // counted in the child; cheaper to compare than getpid(), a system call

std::uint64_t counted_forks() {
#if defined(__unix__) || defined(__APPLE__)
    [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] { ++forks; });
#endif
    return forks.load(std::memory_order_relaxed);
}

}  // namespace

Process::Process() : forks_(counted_forks()) {}

bool Process::is_forked() const {
    return forks.load(std::memory_order_relaxed) != forks_;
}

}  // namespace pairnet

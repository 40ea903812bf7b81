#include "services/common/runtime/heap_account.h"

#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

namespace bulkhead {
namespace {

constinit thread_local HeapAccount* current = nullptr;

int64_t SizeOf(void* block) { return static_cast<int64_t>(malloc_usable_size(block)); }

// As the standard wants it of operator new: asks the handler, if there is one, until there is memory.
template <typename F>
void* Allocate(F allocate) {
  void* block;
  while ((block = allocate()) == nullptr) {
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) {
      throw std::bad_alloc();
    }
    handler();
  }
  if (current != nullptr && !current->Take(SizeOf(block))) {
    std::free(block);
    throw std::bad_alloc();
  }
  return block;
}

// The same for those who ask not to be thrown at.
template <typename F>
void* OrNull(F allocate) noexcept {
  try {
    return allocate();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void Free(void* block) noexcept {
  if (current != nullptr && block != nullptr) {
    current->GiveBack(SizeOf(block));
  }
  std::free(block);
}

}  // namespace

HeapAccount::HeapAccount(int64_t limit, absl::AnyInvocable<void()> on_exceeded)
    : limit_(limit), on_exceeded_(std::move(on_exceeded)) {}

HeapAccount::Scope::Scope(HeapAccount* account) : before_(std::exchange(current, account)) {}

HeapAccount::Scope::~Scope() { current = before_; }

void HeapAccount::Allow(int64_t bytes) {
  const int64_t limit = limit_.load(std::memory_order_relaxed);
  limit_.store(limit > std::numeric_limits<int64_t>::max() - bytes ? limit : limit + bytes, std::memory_order_relaxed);
}

void HeapAccount::Lift() {
  limit_.store(std::numeric_limits<int64_t>::max() - kReserveBytes, std::memory_order_relaxed);
}

bool HeapAccount::Take(int64_t bytes) {
  const int64_t held = this->held() + bytes;
  const int64_t limit = limit_.load(std::memory_order_relaxed);
  if (held > limit) {
    if (!exceeded_.exchange(true, std::memory_order_relaxed)) {
      const Scope none(nullptr);
      on_exceeded_();
    }
    if (bytes >= kLargeBytes || held > limit + kReserveBytes) {
      return false;
    }
  }
  held_.store(held, std::memory_order_relaxed);
  return true;
}

}  // namespace bulkhead

// All forms, though the standard library makes the others of the first: sanitizers bring forms of their own, which don't fit these.
void* operator new(size_t size) {
  return bulkhead::Allocate([size] { return std::malloc(size == 0 ? 1 : size); });
}
void* operator new(size_t size, std::align_val_t alignment) {
  return bulkhead::Allocate(
      [size, to = static_cast<size_t>(alignment)] { return std::aligned_alloc(to, (size + to - 1) / to * to); });
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return bulkhead::OrNull([size] { return ::operator new(size); });
}
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return bulkhead::OrNull([size, alignment] { return ::operator new(size, alignment); });
}
void* operator new[](size_t size) { return ::operator new(size); }
void* operator new[](size_t size, std::align_val_t alignment) { return ::operator new(size, alignment); }
void* operator new[](size_t size, const std::nothrow_t& tag) noexcept { return ::operator new(size, tag); }
void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t& tag) noexcept {
  return ::operator new(size, alignment, tag);
}

void operator delete(void* block) noexcept { bulkhead::Free(block); }
void operator delete(void* block, size_t) noexcept { bulkhead::Free(block); }
void operator delete(void* block, std::align_val_t) noexcept { bulkhead::Free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { bulkhead::Free(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { bulkhead::Free(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept { bulkhead::Free(block); }
void operator delete[](void* block) noexcept { bulkhead::Free(block); }
void operator delete[](void* block, size_t) noexcept { bulkhead::Free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { bulkhead::Free(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { bulkhead::Free(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { bulkhead::Free(block); }
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept { bulkhead::Free(block); }

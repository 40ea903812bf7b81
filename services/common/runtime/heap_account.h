// What a piece of work holds on the heap, and an end to it.
#ifndef SERVICES_COMMON_RUNTIME_HEAP_ACCOUNT_H_
#define SERVICES_COMMON_RUNTIME_HEAP_ACCOUNT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/functional/any_invocable.h"

namespace bulkhead {

// Counts the bytes that operator new gave and operator delete took back while the account was in scope, on whatever thread. Linking this
// replaces both operators of the program; a thread without a scope pays for it by one look at a thread-local variable.
//
// It is a limit for work that goes wrong, not a measure: what the work allocates and another thread frees stays on its account (see Allow),
// and what comes from elsewhere and is freed here is taken off it. Memory of malloc itself, as C libraries have it, does not count.
//
// Once the limit is crossed the account is exceeded for good: `on_exceeded` is called, and allocations of kLargeBytes or more throw
// std::bad_alloc. Smaller ones, which may be those of code that ends the work in good order, do so kReserveBytes later.
class HeapAccount {
 public:
  static constexpr int64_t kLargeBytes = 64 << 10;
  static constexpr int64_t kReserveBytes = 64 << 20;

  // `limit`: of bytes, above 0. `on_exceeded` is called at most once, inside of an allocation: without the account in scope, and it must be
  // short.
  HeapAccount(int64_t limit, absl::AnyInvocable<void()> on_exceeded);
  HeapAccount(const HeapAccount&) = delete;
  HeapAccount& operator=(const HeapAccount&) = delete;

  // While it lives, what its thread allocates and frees goes to `account`, or to none when that is null. Scopes nest. One account is in scope
  // of one thread at a time.
  class Scope {
   public:
    explicit Scope(HeapAccount* account);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    HeapAccount* const before_;
  };

  // Raises the limit: for what the work hands over to others, who free it. Within the scope.
  void Allow(int64_t bytes);
  // No limit any more: the work is over.
  void Lift();

  // Thread-safe, both.
  int64_t held() const { return held_.load(std::memory_order_relaxed); }
  bool exceeded() const { return exceeded_.load(std::memory_order_relaxed); }

  // For the operators. False: the allocation shall fail.
  bool Take(int64_t bytes);
  void GiveBack(int64_t bytes) { held_.store(held() - bytes, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> limit_;
  std::atomic<int64_t> held_ = 0;
  std::atomic<bool> exceeded_ = false;
  absl::AnyInvocable<void()> on_exceeded_;
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_RUNTIME_HEAP_ACCOUNT_H_

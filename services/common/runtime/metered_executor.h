// An executor whose work is on a heap account.
#ifndef SERVICES_COMMON_RUNTIME_METERED_EXECUTOR_H_
#define SERVICES_COMMON_RUNTIME_METERED_EXECUTOR_H_

#include <memory>
#include <type_traits>
#include <utility>

#include "boost/asio/any_io_executor.hpp"
#include "boost/asio/prefer.hpp"
#include "boost/asio/query.hpp"
#include "boost/asio/require.hpp"
#include "boost/asio/strand.hpp"
#include "services/common/runtime/heap_account.h"

namespace bulkhead {

// Does on a strand what it is given, with `account` in scope. Give it to co_spawn: all steps of the coroutine, and of those that it awaits,
// are on the account. Thread-safe; copies are the same executor.
class MeteredExecutor {
 public:
  using Strand = boost::asio::strand<boost::asio::any_io_executor>;

  MeteredExecutor(Strand strand, std::shared_ptr<HeapAccount> account)
      : strand_(std::move(strand)), account_(std::move(account)) {}

  template <typename F>
  void execute(F&& function) const {
    strand_.execute([account = account_, function = std::forward<F>(function)]() mutable {
      const HeapAccount::Scope scope(account.get());
      std::move(function)();
    });
  }

  // The properties are those of the strand.
  template <typename Property>
    requires boost::asio::can_query_v<const Strand&, const Property&>
  decltype(auto) query(const Property& property) const {
    return boost::asio::query(strand_, property);
  }
  template <typename Property>
    requires boost::asio::can_require_v<const Strand&, const Property&>
  MeteredExecutor require(const Property& property) const {
    return {boost::asio::require(strand_, property), account_};
  }
  template <typename Property>
    requires boost::asio::can_prefer_v<const Strand&, const Property&>
  MeteredExecutor prefer(const Property& property) const {
    return {boost::asio::prefer(strand_, property), account_};
  }

  friend bool operator==(const MeteredExecutor& a, const MeteredExecutor& b) noexcept {
    return a.strand_ == b.strand_ && a.account_ == b.account_;
  }
  friend bool operator!=(const MeteredExecutor& a, const MeteredExecutor& b) noexcept { return !(a == b); }

 private:
  Strand strand_;
  std::shared_ptr<HeapAccount> account_;
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_RUNTIME_METERED_EXECUTOR_H_

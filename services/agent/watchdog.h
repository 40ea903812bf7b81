// Finds agents that hold a thread without awaiting anything.
#ifndef SERVICES_AGENT_WATCHDOG_H_
#define SERVICES_AGENT_WATCHDOG_H_

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "boost/asio/any_io_executor.hpp"
#include "services/common/runtime/executor.h"

namespace bulkhead::agent {

// A coroutine cannot be interrupted, so an agent in an endless loop keeps its thread. The watchdog asks each strand, and
// the executor itself, for a sign of life every `limit` of real time: a strand that gives none while the executor does is
// held by its agent. For each thread that is lost so, another one is added, so that other runs go on. Thread-safe.
class Watchdog {
 public:
  // `executor` outlives the watchdog.
  Watchdog(absl::Duration limit, Executor* executor);
  // Blocks until the threads that it has added are back: not from one of them.
  ~Watchdog();

  // Watching ends with this. Movable.
  class Watched {
   public:
    Watched(Watched&&) noexcept = default;
    Watched& operator=(Watched&&) noexcept = default;
    ~Watched();

   private:
    friend class Watchdog;
    struct Strand;
    explicit Watched(std::shared_ptr<Strand> strand) : strand_(std::move(strand)) {}
    std::shared_ptr<Strand> strand_;
  };
  // `on_unresponsive` is called at most once, on a thread of the watchdog, between one and two limits after the strand
  // was last free.
  [[nodiscard]] Watched Watch(boost::asio::any_io_executor strand, std::function<void()> on_unresponsive);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_WATCHDOG_H_

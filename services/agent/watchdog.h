// Finds agents that hold a thread without awaiting anything.
#ifndef SERVICES_AGENT_WATCHDOG_H_
#define SERVICES_AGENT_WATCHDOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "boost/asio/any_io_executor.hpp"
#include "services/common/runtime/executor.h"

namespace bulkhead::agent {

// A coroutine cannot be interrupted, so an agent in an endless loop keeps its thread. The watchdog asks each strand
// for a sign of life every `limit` of real time: a strand that gives none while the executor does is
// held by its agent. For each thread that is held so, another one is added until it is free again, so that other runs go on. The executor itself is
// asked several times a second: when agents hold all of its threads, one is added within moments, whatever the limit is. Thread-safe.
class Watchdog {
 public:
  // What is known of a strand that gives no sign of life.
  struct Report {
    // By how much the memory of the process has grown since the strand was asked: how an agent looks that allocates without end. Other
    // agents may have had their part in it.
    int64_t grown_bytes = 0;
  };

  // `executor` outlives the watchdog. With a `limit` of zero nobody is reported.
  Watchdog(absl::Duration limit, Executor* executor);
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
  // was last free; up to one limit later when no thread was free at all. `name` is what Holders gives.
  [[nodiscard]] Watched Watch(boost::asio::any_io_executor strand, std::string name,
                              std::function<void(const Report&)> on_unresponsive);

  // For an orderly end, which must not wait for agents: nobody is reported any more, and threads that are held are replaced within moments.
  void Release();

  // The names of the strands that hold their threads now: those that give no sign of life for `limit` of real time. After Release.
  std::vector<std::string> Holders(absl::Duration limit) const;

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_WATCHDOG_H_

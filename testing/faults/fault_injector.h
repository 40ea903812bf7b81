// Breaks calls between services on purpose: holds, fails, delays or loses the nth call of a method, on the client's
// side of the channel.
#ifndef TESTING_FAULTS_FAULT_INJECTOR_H_
#define TESTING_FAULTS_FAULT_INJECTOR_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/support/client_interceptor.h"
#include "services/common/time/clock.h"
#include "testing/faults/hold.h"

namespace bulkhead::testing {

// Makes the interceptors of the channels that it is given to (Platform::Options::client_interceptors). A fault is set
// for the nth call, counted from 1 and from now, of a method such as "bulkhead.tool.v1.ToolService/InvokeTool",
// whichever service makes it. Each fault strikes once. Thread-safe. Outlives the channels.
class FaultInjector {
 public:
  FaultInjector();
  // Resumes every call that is still held.
  ~FaultInjector();
  FaultInjector(const FaultInjector&) = delete;
  FaultInjector& operator=(const FaultInjector&) = delete;

  // The call waits before anything of it is sent, until the test resumes or fails it. Its deadline runs on.
  std::shared_ptr<Hold> HoldCall(std::string_view method, int nth = 1);

  // The call ends with `status`, and nothing of it reaches the server.
  void FailCall(std::string_view method, absl::Status status, int nth = 1);

  // The server does what is asked, and the caller gets `status` instead of the answer.
  void LoseResponse(std::string_view method, absl::Status status, int nth = 1);

  // The call is sent `delay` of real time later. For what cannot be expressed with a hold: prefer that.
  void DelayCall(std::string_view method, absl::Duration delay, int nth = 1);

  // Calls of `method` that were begun, struck by a fault or not.
  int CallsOf(std::string_view method) const;

  // For one channel.
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> MakeInterceptors();

 private:
  class Interceptor;
  class Factory;

  struct Fault {
    enum class Kind { kHold, kFail, kLose, kDelay };
    Kind kind;
    absl::Status status;
    absl::Duration delay;
    std::shared_ptr<Hold> hold;
  };

  void Add(std::string_view method, int nth, Fault fault);
  // Counts a call and takes its fault, if it has one.
  std::unique_ptr<Fault> Begin(std::string_view method);

  // Real time: a delayed call is about the transport.
  std::unique_ptr<Clock> timers_;
  mutable absl::Mutex mutex_;
  std::map<std::string, int, std::less<>> calls_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, int>, Fault> faults_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Hold>> holds_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::testing

#endif  // TESTING_FAULTS_FAULT_INJECTOR_H_

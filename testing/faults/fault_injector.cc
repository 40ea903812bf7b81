#include "testing/faults/fault_injector.h"

#include <optional>

#include "absl/strings/strip.h"
#include "grpcpp/support/status.h"
#include "services/common/status/grpc_status.h"
#include "services/common/time/clock.h"

namespace bulkhead::testing {

using grpc::experimental::ClientInterceptorFactoryInterface;
using grpc::experimental::ClientRpcInfo;
using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

// Lives as long as its call. gRPC runs it once for each batch of the call's operations, one batch after the other.
class FaultInjector::Interceptor : public grpc::experimental::Interceptor {
 public:
  Interceptor(Clock* timers, std::unique_ptr<Fault> fault) : timers_(timers), fault_(std::move(fault)) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (fault_ == nullptr) {
      methods->Proceed();
      return;
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      Begin(methods);
      return;
    }
    Continue(methods);
  }

 private:
  void Begin(InterceptorBatchMethods* methods) {
    switch (fault_->kind) {
      case Fault::Kind::kHold:
        fault_->hold->Arrive([this, methods](absl::Status status) {
          if (!status.ok()) {
            failure_ = ToGrpcStatus(status);
          }
          Continue(methods);
        });
        return;
      case Fault::Kind::kFail:
        failure_ = ToGrpcStatus(fault_->status);
        Continue(methods);
        return;
      case Fault::Kind::kLose:
        Continue(methods);
        return;
      case Fault::Kind::kDelay:
        timers_->CallAt(timers_->Now() + fault_->delay, [this, methods] { Continue(methods); });
        return;
    }
  }

  void Continue(InterceptorBatchMethods* methods) {
    if (failure_.has_value()) {
      // Nothing is sent: what the call waits for is made up here.
      if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_RECV_MESSAGE)) {
        methods->FailHijackedRecvMessage();
      }
      if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_RECV_STATUS)) {
        *methods->GetRecvStatus() = *failure_;
      }
      if (!hijacked_) {
        hijacked_ = true;
        methods->Hijack();
        return;
      }
    } else if (fault_->kind == Fault::Kind::kLose &&
               methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      *methods->GetRecvStatus() = ToGrpcStatus(fault_->status);
    }
    methods->Proceed();
  }

  Clock* timers_;
  std::unique_ptr<Fault> fault_;
  std::optional<grpc::Status> failure_;
  bool hijacked_ = false;
};

class FaultInjector::Factory : public ClientInterceptorFactoryInterface {
 public:
  explicit Factory(FaultInjector* injector) : injector_(injector) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(ClientRpcInfo* info) override {
    return new Interceptor(injector_->timers_.get(), injector_->Begin(absl::StripPrefix(info->method(), "/")));
  }

 private:
  FaultInjector* injector_;
};

FaultInjector::FaultInjector() : timers_(CreateSystemClock()) {}

FaultInjector::~FaultInjector() {
  std::vector<std::shared_ptr<Hold>> holds;
  {
    absl::MutexLock lock(mutex_);
    holds.swap(holds_);
  }
  for (const std::shared_ptr<Hold>& hold : holds) {
    hold->Resume();
  }
}

std::shared_ptr<Hold> FaultInjector::HoldCall(std::string_view method, int nth) {
  auto hold = std::make_shared<Hold>();
  {
    absl::MutexLock lock(mutex_);
    holds_.push_back(hold);
  }
  Add(method, nth, {.kind = Fault::Kind::kHold, .status = {}, .delay = {}, .hold = hold});
  return hold;
}

void FaultInjector::FailCall(std::string_view method, absl::Status status, int nth) {
  Add(method, nth, {.kind = Fault::Kind::kFail, .status = std::move(status), .delay = {}, .hold = nullptr});
}

void FaultInjector::LoseResponse(std::string_view method, absl::Status status, int nth) {
  Add(method, nth, {.kind = Fault::Kind::kLose, .status = std::move(status), .delay = {}, .hold = nullptr});
}

void FaultInjector::DelayCall(std::string_view method, absl::Duration delay, int nth) {
  Add(method, nth, {.kind = Fault::Kind::kDelay, .status = {}, .delay = delay, .hold = nullptr});
}

int FaultInjector::CallsOf(std::string_view method) const {
  absl::MutexLock lock(mutex_);
  auto calls = calls_.find(method);
  return calls == calls_.end() ? 0 : calls->second;
}

std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> FaultInjector::MakeInterceptors() {
  std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<Factory>(this));
  return interceptors;
}

void FaultInjector::Add(std::string_view method, int nth, Fault fault) {
  absl::MutexLock lock(mutex_);
  auto calls = calls_.find(method);
  const int begun = calls == calls_.end() ? 0 : calls->second;
  faults_.insert_or_assign({std::string(method), begun + nth}, std::move(fault));
}

std::unique_ptr<FaultInjector::Fault> FaultInjector::Begin(std::string_view method) {
  absl::MutexLock lock(mutex_);
  const int call = ++calls_[std::string(method)];
  auto fault = faults_.find({std::string(method), call});
  if (fault == faults_.end()) {
    return nullptr;
  }
  auto taken = std::make_unique<Fault>(std::move(fault->second));
  faults_.erase(fault);
  return taken;
}

}  // namespace bulkhead::testing

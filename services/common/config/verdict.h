// What the checks of a whole configuration come to.
#ifndef SERVICES_COMMON_CONFIG_VERDICT_H_
#define SERVICES_COMMON_CONFIG_VERDICT_H_

#include <string>
#include <utility>
#include <vector>

#include "bulkhead/common/v1/config.pb.h"

namespace bulkhead::config {

struct Violation {
  std::string path;
  std::string problem;  // "must be ...". Quotes no secret.
};

struct Verdict {
  std::vector<Violation> violations;
  // What production would refuse, in staging.
  std::vector<Violation> warnings;
};

// Collects what is wrong; what is only unsafe counts by environment.
class VerdictBuilder {
 public:
  explicit VerdictBuilder(common::v1::Environment environment) : environment_(environment) {}

  void Wrong(std::string path, std::string problem) {
    verdict_.violations.push_back({std::move(path), std::move(problem)});
  }

  // Refused in production, a warning in staging, allowed elsewhere.
  void Unsafe(std::string path, std::string problem) {
    problem += " in production";
    if (environment_ == common::v1::ENVIRONMENT_PRODUCTION) {
      Wrong(std::move(path), std::move(problem));
    } else if (environment_ == common::v1::ENVIRONMENT_STAGING) {
      verdict_.warnings.push_back({std::move(path), std::move(problem)});
    }
  }

  Verdict Done() && { return std::move(verdict_); }

 private:
  const common::v1::Environment environment_;
  Verdict verdict_;
};

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_VERDICT_H_

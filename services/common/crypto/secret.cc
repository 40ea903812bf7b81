#include "services/common/crypto/secret.h"

#include <openssl/mem.h>

#include <ostream>
#include <string>
#include <utility>

namespace bulkhead {
namespace {

// Clears all that `value` holds room for: a string that was moved from, or shortened, keeps its old bytes in the
// buffer.
void Wipe(std::string& value) {
  value.resize(value.capacity());
  OPENSSL_cleanse(value.data(), value.size());
  value.clear();
}

}  // namespace

Secret::Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { Wipe(other.value_); }

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe(value_);
    value_ = std::move(other.value_);
    Wipe(other.value_);
  }
  return *this;
}

Secret::~Secret() { Wipe(value_); }

bool operator==(const Secret& a, const Secret& b) {
  return a.value_.size() == b.value_.size() && CRYPTO_memcmp(a.value_.data(), b.value_.data(), a.value_.size()) == 0;
}

std::ostream& operator<<(std::ostream& out, const Secret&) { return out << "[secret]"; }

}  // namespace bulkhead

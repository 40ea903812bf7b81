#include "services/auth/password_hasher.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/auth/errors.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr size_t kSaltBytes = 16;
constexpr size_t kHashBytes = 32;

struct StoredHash {
  crypto::ScryptParameters parameters;
  std::string salt;
  std::string hash;
};

std::string Format(const StoredHash& stored) {
  return absl::StrCat("scrypt$", stored.parameters.n, "$", stored.parameters.r, "$", stored.parameters.p, "$",
                      absl::WebSafeBase64Escape(stored.salt), "$", absl::WebSafeBase64Escape(stored.hash));
}

absl::StatusOr<StoredHash> Parse(std::string_view text) {
  std::vector<std::string_view> parts = absl::StrSplit(text, '$');
  StoredHash stored;
  if (parts.size() != 6 || parts[0] != "scrypt" || !absl::SimpleAtoi(parts[1], &stored.parameters.n) ||
      !absl::SimpleAtoi(parts[2], &stored.parameters.r) || !absl::SimpleAtoi(parts[3], &stored.parameters.p) ||
      !absl::WebSafeBase64Unescape(parts[4], &stored.salt) || !absl::WebSafeBase64Unescape(parts[5], &stored.hash) ||
      stored.hash.size() != kHashBytes) {
    return AuthError(absl::StatusCode::kDataLoss, "a stored password hash is malformed", "PASSWORD_HASH_MALFORMED");
  }
  return stored;
}

bool SameCost(const crypto::ScryptParameters& a, const crypto::ScryptParameters& b) {
  return a.n == b.n && a.r == b.r && a.p == b.p;
}

}  // namespace

PasswordHasher::PasswordHasher(crypto::ScryptParameters parameters, BlockingPool* pool)
    : parameters_(parameters), pool_(pool), dummy_salt_(crypto::RandomBytes(kSaltBytes)) {}

Awaitable<absl::StatusOr<std::string>> PasswordHasher::Hash(const Secret& password) {
  StoredHash stored{.parameters = parameters_, .salt = crypto::RandomBytes(kSaltBytes), .hash = ""};
  CO_ASSIGN_OR_RETURN(Secret hash, co_await Derive(password, stored.salt, stored.parameters));
  stored.hash = std::string(hash.Reveal());
  co_return Format(stored);
}

Awaitable<absl::StatusOr<bool>> PasswordHasher::Verify(const Secret& password,
                                                       const std::optional<std::string>& stored) {
  StoredHash expected{.parameters = parameters_, .salt = dummy_salt_, .hash = ""};
  // An account without a password takes the same work as no account.
  const bool has_password = stored.has_value() && !stored->empty();
  if (has_password) {
    CO_ASSIGN_OR_RETURN(expected, Parse(*stored));
  }
  CO_ASSIGN_OR_RETURN(Secret hash, co_await Derive(password, expected.salt, expected.parameters));
  co_return has_password&& crypto::ConstantTimeEquals(hash.Reveal(), expected.hash);
}

bool PasswordHasher::NeedsRehash(const std::string& stored) const {
  absl::StatusOr<StoredHash> parsed = Parse(stored);
  return !parsed.ok() || !SameCost(parsed->parameters, parameters_);
}

Awaitable<absl::StatusOr<Secret>> PasswordHasher::Derive(const Secret& password, const std::string& salt,
                                                         const crypto::ScryptParameters& parameters) {
  hashes_.fetch_add(1, std::memory_order_relaxed);
  co_return co_await RunBlocking(pool_, [password = password.Copy(), salt, parameters] {
    return crypto::Scrypt(password, salt, parameters, kHashBytes);
  });
}

}  // namespace bulkhead::auth

// A string that must not leak.
#ifndef SERVICES_COMMON_CRYPTO_SECRET_H_
#define SERVICES_COMMON_CRYPTO_SECRET_H_

#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead {

// Holds bytes that are wiped when it dies, and prints as "[secret]". Comparison takes constant time for equal lengths.
// Move-only, so that copies are deliberate (Copy).
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  // The bytes; valid while the Secret lives and is not moved. Named so that a use stands out in review.
  std::string_view Reveal() const { return value_; }
  Secret Copy() const { return Secret(value_); }
  bool empty() const { return value_.empty(); }

  friend bool operator==(const Secret& a, const Secret& b);
  template <typename Sink>
  friend void AbslStringify(Sink& sink, const Secret&) {
    sink.Append("[secret]");
  }
  // Also keeps GoogleTest from printing the bytes of an object that it does not know.
  friend std::ostream& operator<<(std::ostream& out, const Secret& secret);

 private:
  std::string value_;
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_CRYPTO_SECRET_H_

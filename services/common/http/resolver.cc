#include "services/common/http/resolver.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ares.h"
#include "boost/asio/ip/address.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/this_coro.hpp"
#include "services/common/status/error.h"

namespace bulkhead::http {
namespace {

using Tcp = boost::asio::ip::tcp;

constexpr absl::Duration kTry = absl::Seconds(3);

struct Answer {
  int status = ARES_ENOTFOUND;
  std::vector<boost::asio::ip::address> addresses;
};

boost::asio::ip::address ToAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    return boost::asio::ip::address_v4(ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr));
  }
  boost::asio::ip::address_v6::bytes_type bytes;
  const in6_addr& raw = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  std::copy(std::begin(raw.s6_addr), std::end(raw.s6_addr), bytes.begin());
  return boost::asio::ip::address_v6(bytes);
}

// Owns itself until c-ares calls back, once, on its own thread.
struct Question {
  absl::AnyInvocable<void(Answer)> done;

  static void OnAnswer(void* self, int status, int /*timeouts*/, ares_addrinfo* found) {
    const std::unique_ptr<Question> question(static_cast<Question*>(self));
    Answer answer{.status = status};
    if (status == ARES_SUCCESS && found != nullptr) {
      for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
        if (node->ai_family == AF_INET || node->ai_family == AF_INET6) {
          answer.addresses.push_back(ToAddress(node->ai_addr));
        }
      }
    }
    if (found != nullptr) {
      ares_freeaddrinfo(found);
    }
    question->done(std::move(answer));
  }
};

using Channel = std::shared_ptr<ares_channel_t>;

// A channel with a thread of its own that waits for the name servers; ends with its last owner. Null when it cannot be made.
Channel NewChannel(absl::Duration timeout) {
  ares_options options{};
  options.evsys = ARES_EVSYS_DEFAULT;
  options.timeout = static_cast<int>(absl::ToInt64Milliseconds(std::min(timeout / 2, kTry)));
  options.tries = 2;
  ares_channel_t* channel = nullptr;
  if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
      ares_init_options(&channel, &options, ARES_OPT_EVENT_THREAD | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) !=
          ARES_SUCCESS) {
    return nullptr;
  }
  return Channel(channel, ares_destroy);
}

}  // namespace

Awaitable<absl::StatusOr<std::vector<Tcp::endpoint>>> Resolve(std::string host, uint16_t port, absl::Duration timeout) {
  if (host == "localhost") {
    co_return std::vector<Tcp::endpoint>{{boost::asio::ip::address_v4::loopback(), port},
                                         {boost::asio::ip::address_v6::loopback(), port}};
  }
  boost::system::error_code no_address;
  const boost::asio::ip::address literal = boost::asio::ip::make_address(host, no_address);
  if (!no_address) {
    co_return std::vector<Tcp::endpoint>{{literal, port}};
  }

  Answer answer;
  const Channel channel = NewChannel(timeout);
  if (channel != nullptr) {
    // Several servers, each with several tries, may take longer together than the caller can wait.
    boost::asio::steady_timer limit(co_await boost::asio::this_coro::executor, absl::ToChronoMilliseconds(timeout));
    limit.async_wait([channel](boost::system::error_code cancelled) {
      if (!cancelled) {
        ares_cancel(channel.get());
      }
    });
    answer = co_await AwaitCallback<Answer>([channel = channel.get(), &host](absl::AnyInvocable<void(Answer)> done) {
      ares_addrinfo_hints hints{};
      hints.ai_family = AF_UNSPEC;
      hints.ai_socktype = SOCK_STREAM;
      ares_getaddrinfo(channel, host.c_str(), nullptr, &hints, &Question::OnAnswer, new Question{std::move(done)});
    });
    limit.cancel();
  }
  std::vector<Tcp::endpoint> endpoints;
  for (const boost::asio::ip::address& address : answer.addresses) {
    endpoints.emplace_back(address, port);
  }
  if (endpoints.empty()) {
    co_return MakeError(absl::StatusCode::kUnavailable,
                        absl::StrCat("the host ", host, " cannot be found: ", ares_strerror(answer.status)),
                        {.domain = "bulkhead.http", .reason = "HOST_UNKNOWN", .metadata = {{"host", host}}});
  }
  co_return endpoints;
}

}  // namespace bulkhead::http

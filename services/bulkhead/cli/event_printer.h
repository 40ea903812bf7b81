// Events of runs as lines for people.
#ifndef SERVICES_BULKHEAD_CLI_EVENT_PRINTER_H_
#define SERVICES_BULKHEAD_CLI_EVENT_PRINTER_H_

#include <map>
#include <string>
#include <string_view>

#include "nlohmann/json_fwd.hpp"
#include "services/bulkhead/cli/console.h"

namespace bulkhead::cli {

// Prints the frames of one run's subscription as they arrive. For one thread; several printers share a console.
class EventPrinter {
 public:
  // `who` begins each line, in `colour`; empty for a single run. `console` outlives the printer.
  EventPrinter(Console* console, std::string who, Colour colour);

  // `frame` is a ServerFrame in JSON. With --json it is printed as it is, with `who` as "user" where there is one.
  void Print(const nlohmann::json& frame);

 private:
  void PrintEvent(const nlohmann::json& event);
  // False for progress that is too little to say.
  bool Noteworthy(const nlohmann::json& progress);

  Console* console_;
  std::string who_;
  Colour colour_;
  std::map<int, double> shown_progress_;  // By step.
};

// "agentStarted" of "agent_started": the payload's key in proto JSON.
std::string PayloadKey(std::string_view type);

// "1.53 s", "240 ms" of a proto duration such as "1.530s".
std::string ShortDuration(const std::string& duration);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_EVENT_PRINTER_H_

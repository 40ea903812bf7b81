// Agents that are a model with tools: asked, it calls tools until it has an answer.
#ifndef SERVICES_AGENT_MODELS_MODEL_AGENT_H_
#define SERVICES_AGENT_MODELS_MODEL_AGENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/agent/agent.h"

namespace bulkhead::agent {

// What a user's definition says.
struct ModelAgentSpec {
  std::string instructions;        // The system prompt.
  std::string model;               // Its id in the configuration.
  std::vector<std::string> tools;  // "table.load"
  int max_turns = 0;               // Model calls; 0 takes kDefaultTurns.
  int64_t max_tokens = 0;          // Of the run's model calls; 0 leaves it to the configured limits.
};

inline constexpr int kDefaultTurns = 50;

// An instance for one run. The input is the user's message: the text, when it is an object with one member that is a string; its JSON otherwise. The answer's
// summary is the model's last text; its data has `model`, `turns`, `finish_reason` and `tokens`.
//
// In a thread, what was asked and answered before goes first: the inputs and the summaries of its earlier runs.
//
// The tool calls of one turn are made in parallel. A tool that fails, is not among `tools`, or is called with what is no JSON object, is the model's to deal
// with: it gets the error as the result. Fails with what RunContext::CallModel answers; RESOURCE_EXHAUSTED `MODEL_TURNS_EXCEEDED`, `MODEL_TOKENS_EXCEEDED`;
// ABORTED `MODEL_REPLY_INVALID` when no call of three turns in a row could be made.
std::unique_ptr<Agent> MakeModelAgent(ModelAgentSpec spec);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_MODEL_AGENT_H_

#include "services/bulkhead/program.h"

int main(int argc, char** argv) { return bulkhead::RunProgram(argc, argv, {}); }
